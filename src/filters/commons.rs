//! What the VMs of one filter share across workers and reloads: shared data with compare-and-swap, and queues.
//!
//! ABI, 12. Everything has a limit: a full store refuses what is new and changes what is there.
//! It refuses to call anybody: a consumer gets a note in its worker's mailbox.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::status::Status;

/// Queues of one filter.
const QUEUES_MAX: usize = 100;

/// Bytes of one key, name or queue item.
const ITEM_BYTES_MAX: usize = 1 << 20;

/// Shared data and queues of one filter.
#[derive(Default)]
pub struct Commons {
    /// The filter's name.
    filter: String,
    store: Mutex<Store>,
    /// Across all filters: an id names its queue wherever it goes.
    all: Arc<Queues>,
}

/// The queues of all filters of a process, by id.
#[derive(Default)]
pub struct Queues {
    by_id: Mutex<HashMap<u32, Arc<Queue>>>,
    /// By filter and name.
    by_name: Mutex<HashMap<String, HashMap<Vec<u8>, u32>>>,
    last: AtomicU32,
}

#[derive(Default)]
struct Store {
    values: HashMap<Vec<u8>, (Bytes, u32)>,
    bytes: usize,
    /// One counter for all keys, beginning at 1.
    cas: u32,
}

#[derive(Default)]
struct Queue {
    items: Mutex<VecDeque<Bytes>>,
    /// The mailbox of the last registrant.
    consumer: Mutex<Option<mpsc::WeakSender<u32>>>,
}

/// Where a consumer is told which queue has something.
pub type Mailbox = mpsc::Sender<u32>;

impl Commons {
    /// The commons of `filter`, whose queues can be found from others.
    #[must_use]
    pub fn new(filter: &str, all: Arc<Queues>) -> Self {
        Self { filter: filter.to_owned(), store: Mutex::default(), all }
    }

    /// A value and its cas.
    #[must_use]
    pub fn read(&self, key: &[u8]) -> Option<(Bytes, u32)> {
        self.store.lock().ok()?.values.get(key).cloned()
    }

    /// Stores a value. `cas` 0 is unconditional; a new key is stored whatever it says (ABI, 12).
    ///
    /// # Errors
    /// `CAS_MISMATCH`; `INTERNAL_FAILURE` when the store is full.
    pub fn write(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        (bytes_max, keys_max): (usize, usize),
    ) -> Result<(), Status> {
        let mut store = self.store.lock().map_err(|_| Status::InternalFailure)?;
        let old = match store.values.get(key) {
            Some((_, held)) if cas != 0 && *held != cas => return Err(Status::CasMismatch),
            Some((value, _)) => Some(value.len()),
            None => None,
        };
        let grown = store.bytes - old.map_or(0, |old| key.len() + old) + key.len() + value.len();
        if grown > bytes_max || (old.is_none() && store.values.len() >= keys_max) {
            return Err(Status::InternalFailure);
        }
        store.bytes = grown;
        store.cas = store.cas.wrapping_add(1).max(1);
        let cas = store.cas;
        store.values.insert(key.to_vec(), (Bytes::copy_from_slice(value), cas));
        Ok(())
    }

    /// Makes a queue or finds it again; the caller becomes its consumer.
    ///
    /// # Errors
    /// `INTERNAL_FAILURE` beyond 100 queues.
    pub fn register(&self, name: &[u8], consumer: Option<mpsc::WeakSender<u32>>) -> Result<u32, Status> {
        let mut by_name = self.all.by_name.lock().map_err(|_| Status::InternalFailure)?;
        let own = by_name.entry(self.filter.clone()).or_default();
        let id = match own.get(name) {
            Some(&id) => id,
            None if own.len() >= QUEUES_MAX || name.len() > ITEM_BYTES_MAX => return Err(Status::InternalFailure),
            None => {
                let id = self.all.last.fetch_add(1, Ordering::Relaxed) + 1;
                own.insert(name.to_vec(), id);
                id
            }
        };
        let mut all = self.all.by_id.lock().map_err(|_| Status::InternalFailure)?;
        let queue = all.entry(id).or_default();
        if let (Ok(mut place), Some(consumer)) = (queue.consumer.lock(), consumer) {
            *place = Some(consumer);
        }
        Ok(id)
    }

    /// The id of a queue of `filter`, which may be this one.
    #[must_use]
    pub fn resolve(&self, filter: &str, name: &[u8]) -> Option<u32> {
        let filter = if filter.is_empty() { &self.filter } else { filter };
        self.all.by_name.lock().ok()?.get(filter)?.get(name).copied()
    }

    /// Puts an item into a queue and tells its consumer.
    ///
    /// # Errors
    /// `NOT_FOUND`; `INTERNAL_FAILURE` when the queue is full.
    pub fn enqueue(&self, id: u32, item: &[u8], items_max: usize) -> Result<(), Status> {
        let queue = self.all.find(id).ok_or(Status::NotFound)?;
        {
            let mut items = queue.items.lock().map_err(|_| Status::InternalFailure)?;
            if items.len() >= items_max || item.len() > ITEM_BYTES_MAX {
                return Err(Status::InternalFailure);
            }
            items.push_back(Bytes::copy_from_slice(item));
        }
        let consumer = queue.consumer.lock().ok().and_then(|consumer| consumer.as_ref()?.upgrade());
        // A full mailbox has notes enough: the consumer dequeues until it is empty.
        if let Some(consumer) = consumer {
            let _ = consumer.try_send(id);
        }
        Ok(())
    }

    /// The oldest item of a queue.
    ///
    /// # Errors
    /// `NOT_FOUND`, `EMPTY`.
    pub fn dequeue(&self, id: u32) -> Result<Bytes, Status> {
        let queue = self.all.find(id).ok_or(Status::NotFound)?;
        let mut items = queue.items.lock().map_err(|_| Status::InternalFailure)?;
        items.pop_front().ok_or(Status::Empty)
    }
}

impl Queues {
    fn find(&self, id: u32) -> Option<Arc<Queue>> {
        self.by_id.lock().ok()?.get(&id).cloned()
    }
}

impl Drop for Commons {
    fn drop(&mut self) {
        if let (Ok(mut by_name), Ok(mut by_id)) = (self.all.by_name.lock(), self.all.by_id.lock())
            && let Some(own) = by_name.remove(&self.filter)
        {
            by_id.retain(|id, _| !own.values().any(|mine| mine == id));
        }
    }
}

/// The commons of all filters, by filter name (the ABI's `vm_id`); they live while a plugin does.
#[derive(Default)]
pub struct Registry {
    queues: Arc<Queues>,
    by_name: Mutex<HashMap<String, Weak<Commons>>>,
}

impl Registry {
    /// The commons of the filter `name`.
    #[must_use]
    pub fn of(&self, name: &str) -> Arc<Commons> {
        let fresh = || Arc::new(Commons::new(name, self.queues.clone()));
        let Ok(mut by_name) = self.by_name.lock() else { return fresh() };
        by_name.retain(|_, commons| commons.strong_count() > 0);
        if let Some(commons) = by_name.get(name).and_then(Weak::upgrade) {
            return commons;
        }
        let commons = fresh();
        by_name.insert(name.to_owned(), Arc::downgrade(&commons));
        commons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: (usize, usize) = (100, 3);

    #[test]
    fn abi_12_compare_and_swap() {
        let commons = Commons::default();
        assert_eq!(commons.write(b"a", b"1", 7, ROOM), Ok(()), "a new key is stored whatever cas says");
        let (value, cas) = commons.read(b"a").expect("stored");
        assert_eq!((&*value, cas), (&b"1"[..], 1));
        assert_eq!(commons.write(b"a", b"2", 7, ROOM), Err(Status::CasMismatch));
        assert_eq!(commons.write(b"a", b"2", cas, ROOM), Ok(()));
        assert_eq!(commons.write(b"a", b"3", 0, ROOM), Ok(()));
        assert_eq!(commons.read(b"a").map(|(_, cas)| cas), Some(3));
        assert_eq!(commons.read(b"b"), None);
    }

    #[test]
    fn a_full_store_keeps_what_it_has() {
        let commons = Commons::default();
        for key in [b"a", b"b", b"c"] {
            assert_eq!(commons.write(key, b"x", 0, ROOM), Ok(()));
        }
        assert_eq!(commons.write(b"d", b"x", 0, ROOM), Err(Status::InternalFailure));
        assert_eq!(commons.write(b"a", &[0; 96], 0, ROOM), Err(Status::InternalFailure));
        assert_eq!(commons.write(b"a", &[0; 95], 0, ROOM), Ok(()));
        assert_eq!(commons.write(b"a", b"x", 0, ROOM), Ok(()));
        assert_eq!(commons.write(b"b", &[0; 95], 0, ROOM), Ok(()));
    }

    #[test]
    fn queues_are_found_by_name_and_bounded() {
        let registry = Registry::default();
        let (one, other) = (registry.of("one"), registry.of("other"));
        let (mailbox, mut notes) = mpsc::channel(4);
        let id = one.register(b"q", Some(mailbox.downgrade())).expect("room");
        assert_eq!(one.register(b"q", None), Ok(id));
        assert_eq!(
            (one.resolve("", b"q"), other.resolve("", b"q"), other.resolve("one", b"q")),
            (Some(id), None, Some(id))
        );
        assert_ne!(other.register(b"q", None), Ok(id));
        assert_eq!(other.enqueue(id, b"hello", 1), Ok(()), "an id is good everywhere");
        assert_eq!(other.enqueue(id, b"again", 1), Err(Status::InternalFailure));
        assert_eq!(notes.try_recv(), Ok(id));
        assert_eq!(one.dequeue(id).as_deref(), Ok(&b"hello"[..]));
        assert_eq!(one.dequeue(id), Err(Status::Empty));
        assert_eq!(one.dequeue(99), Err(Status::NotFound));
        drop(one);
        assert_eq!(other.dequeue(id), Err(Status::NotFound));
        assert!(registry.of("one").resolve("", b"q").is_none());
    }
}
