//! The filters of one worker: which VM serves, what it asked for between requests, and who follows when it dies.
//!
//! ```text
//!   Slot (one per plugin) ─▶ Running ─▶ Vm            spare ◀─stock─ office
//!        ▲ adopt                 │ trap: streams lost, VM dropped, next spare adopted
//!        └───────────────────────┘
//! ```
//!
//! Nothing here starts a VM on the worker, unless each stream has its own by `isolation = "stream"`.

mod running;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::plugin::{Isolation, Plugin};
use super::state::{CallOut, CallResponse, Effect};
use super::stream::Shared;
use super::vm::{Callback, Died, Vm};
use crate::backend::{Backends, Target};
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Interim, Outgoing, Response};
use crate::metrics::{FilterFailure, FilterPhase, FilterShard, HttpCallResult, Shard};
pub use running::{Lost, Running};

/// How long a request waits for a VM that is being started.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// After a start that failed: the next attempt, and the longest pause they grow to.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long a replaced filter may take to finish after `proxy_on_done` answered 0.
const DONE_PATIENCE: Duration = Duration::from_secs(10);

/// Reports of dead VMs, one line each, per worker and second.
const REPORTS_PER_SECOND: u32 = 10;

/// How calls out leave the house; tools put something else in its place.
pub trait Outbound {
    /// Sends a request and returns the head of the response.
    fn send(&self, name: &str, target: Arc<Target>, request: Outgoing) -> Sending;
}

/// A call under way.
pub type Sending = std::pin::Pin<Box<dyn Future<Output = Result<Response>>>>;

impl Outbound for Rc<Backends> {
    fn send(&self, _name: &str, target: Arc<Target>, request: Outgoing) -> Sending {
        let backends = self.clone();
        Box::pin(async move { Backends::send(&backends, &target, None, Box::new(request)).await })
    }
}

/// The filters of one worker.
pub struct Host {
    slots: RefCell<HashMap<*const Plugin, Rc<Slot>>>,
    office: Handle,
    outbound: Box<dyn Outbound>,
    shard: Rc<Shard>,
    reports: Cell<(Option<Instant>, u32)>,
}

/// One plugin on one worker.
struct Slot {
    plugin: Arc<Plugin>,
    shard: Rc<FilterShard>,
    current: RefCell<Option<Rc<Running>>>,
    starting: Cell<bool>,
    started: Notify,
    /// After a failed start: when to try again, and how long the pause was.
    pause: Cell<Option<(Instant, Duration)>>,
    ended: Cell<Option<Instant>>,
}

impl Host {
    /// The filters of this worker; replaced ones are ended by a task of it.
    #[must_use]
    pub fn start(office: Handle, outbound: Box<dyn Outbound>, shard: Rc<Shard>) -> Rc<Self> {
        let host = Rc::new(Self { slots: RefCell::default(), office, outbound, shard, reports: Cell::new((None, 0)) });
        tokio::task::spawn_local(sweep(Rc::downgrade(&host)));
        host
    }

    /// The VM that serves a new request of `plugin`; waits for one that is being started.
    ///
    /// # Errors
    /// `filter-failed`: none can be started now.
    pub async fn running(self: &Rc<Self>, plugin: &Arc<Plugin>) -> Result<Rc<Running>> {
        let slot = self.slot(plugin);
        if plugin.settings.isolation == Isolation::Stream {
            return match Vm::start(plugin, plugin.observer.clone()) {
                Ok(vm) => Ok(self.adopt(&slot, vm)),
                Err(reason) => Err(slot.refuse(FilterFailure::Start, &reason)),
            };
        }
        if let Some(running) = slot.current() {
            return Ok(running);
        }
        self.started(&slot).await
    }

    /// The VM of `plugin` that is there already; the common case, without a future.
    #[must_use]
    pub fn ready(&self, plugin: &Arc<Plugin>) -> Option<Rc<Running>> {
        if plugin.settings.isolation == Isolation::Stream {
            return None;
        }
        self.slots.borrow().get(&Arc::as_ptr(plugin))?.current()
    }

    fn slot(&self, plugin: &Arc<Plugin>) -> Rc<Slot> {
        let key = Arc::as_ptr(plugin);
        if let Some(slot) = self.slots.borrow().get(&key) {
            return slot.clone();
        }
        let slot = Rc::new(Slot {
            plugin: plugin.clone(),
            shard: self.shard.filter(&plugin.settings.name),
            current: RefCell::default(),
            starting: Cell::new(false),
            started: Notify::new(),
            pause: Cell::new(None),
            ended: Cell::new(None),
        });
        self.slots.borrow_mut().insert(key, slot.clone());
        slot
    }

    async fn started(self: &Rc<Self>, slot: &Rc<Slot>) -> Result<Rc<Running>> {
        let deadline = tokio::time::Instant::now() + START_PATIENCE;
        loop {
            // Registered before the look, so that no start is missed in between.
            let started = slot.started.notified();
            if let Some(running) = slot.current() {
                return Ok(running);
            }
            if let Some(vm) = slot.plugin.take_spare() {
                let running = self.adopt(slot, vm);
                *slot.current.borrow_mut() = Some(running.clone());
                self.restock(slot);
                return Ok(running);
            }
            if slot.plugin.retired() {
                // It was replaced between this request's look at the apps and now: nobody stocks it any more.
                let vm = Vm::start(&slot.plugin, slot.plugin.observer.clone());
                let vm = vm.map_err(|reason| slot.refuse(FilterFailure::Start, &reason))?;
                let running = self.adopt(slot, vm);
                *slot.current.borrow_mut() = Some(running.clone());
                return Ok(running);
            }
            if slot.pause.get().is_some_and(|(until, _)| until > Instant::now()) {
                return Err(slot.refuse(FilterFailure::BackOff, "it did not start a moment ago"));
            }
            self.restock(slot);
            if tokio::time::timeout_at(deadline, started).await.is_err() {
                return Err(slot.refuse(FilterFailure::NotReady, "no instance was started in time"));
            }
        }
    }

    /// Has the office start VMs until there are spares again.
    ///
    /// Between two starts it rests three times as long as one took: a client that finds a way to trap
    /// a filter at every request makes the restarts cost a quarter of one core, no more.
    fn restock(self: &Rc<Self>, slot: &Rc<Slot>) {
        if slot.starting.replace(true) {
            return;
        }
        let (slot, office) = (slot.clone(), self.office.clone());
        tokio::task::spawn_local(async move {
            loop {
                let plugin = slot.plugin.clone();
                let stocked = office.spawn_blocking(move || plugin.stock_one()).await;
                let rest = match stocked.unwrap_or_else(|error| Err(error.to_string())) {
                    // One may have been taken while the office looked; that restocking left it to this one.
                    Ok(None) if slot.plugin.is_stocked() => break,
                    Ok(None) => continue,
                    Ok(Some(took)) => {
                        slot.pause.set(None);
                        took * 3
                    }
                    Err(reason) => slot.failed_to_start(&reason),
                };
                slot.started.notify_waiters();
                tokio::time::sleep(rest).await;
            }
            slot.starting.set(false);
            slot.started.notify_waiters();
        });
    }

    fn adopt(self: &Rc<Self>, slot: &Slot, mut vm: Vm) -> Rc<Running> {
        vm.state().adopted = true;
        let notes = vm.take_notes();
        let running = Rc::new(Running {
            plugin: slot.plugin.clone(),
            shard: slot.shard.clone(),
            vm: RefCell::new(Some(vm)),
            host: Rc::downgrade(self),
            ticking: RefCell::default(),
            memory: Cell::new(0),
            done: Cell::new(false),
        });
        let effects = running.vm.borrow_mut().as_mut().map(|vm| running.take_effects(vm));
        running.carry_out(effects.unwrap_or_default());
        if let Some(mut notes) = notes {
            let weak = Rc::downgrade(&running);
            tokio::task::spawn_local(async move {
                while let Some(queue) = notes.recv().await {
                    let Some(running) = weak.upgrade() else { return };
                    let _ = running.with(FilterPhase::QueueReady, |vm| vm.queue_ready(queue));
                }
            });
        }
        running
    }

    /// Whether one more dead VM may be reported this second.
    fn may_report(&self) -> bool {
        let now = Instant::now();
        let (since, count) = self.reports.get();
        if since.is_none_or(|since| now - since > Duration::from_secs(1)) {
            self.reports.set((Some(now), 1));
            return true;
        }
        self.reports.set((since, count + 1));
        count < REPORTS_PER_SECOND
    }
}

impl Slot {
    fn current(&self) -> Option<Rc<Running>> {
        self.current.borrow().as_ref().filter(|running| running.is_alive()).cloned()
    }

    /// Notes a failed start; how long to rest before the next.
    fn failed_to_start(&self, reason: &str) -> Duration {
        let (first, longest) = BACK_OFF;
        let pause = self.pause.get().map_or(first, |(_, pause)| (pause * 2).min(longest));
        self.pause.set(Some((Instant::now() + pause, pause)));
        self.shard.failure(FilterFailure::Start);
        self.plugin.health.rests(reason, pause);
        let filter = &*self.plugin.settings.name;
        tracing::error!(filter, reason, ?pause, "an instance did not start");
        pause
    }

    fn refuse(&self, reason: FilterFailure, detail: &str) -> Error {
        self.shard.failure(reason);
        let word = reason.word();
        Error::new(Kind::FilterFailed, format!("filter={} reason={word}: {detail}", self.plugin.settings.name))
    }
}

/// Ends replaced filters once their last request has ended, once a second.
async fn sweep(host: Weak<Host>) {
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let Some(host) = host.upgrade() else { return };
        let retired: Vec<Rc<Slot>> =
            host.slots.borrow().values().filter(|slot| slot.plugin.retired()).cloned().collect();
        for slot in retired {
            if slot.has_ended() {
                host.slots.borrow_mut().remove(&Arc::as_ptr(&slot.plugin));
            }
        }
    }
}

impl Slot {
    /// Ends a replaced filter as far as it lets itself be ended; `true` when nothing is left.
    fn has_ended(&self) -> bool {
        let Some(running) = self.current() else { return true };
        if running.has_streams() {
            return false;
        }
        if self.ended.get().is_none() {
            self.ended.set(Some(Instant::now()));
            if matches!(running.with(FilterPhase::Other, Vm::end_root), Ok(true) | Err(Lost)) {
                running.done.set(true);
            }
        }
        let waited = self.ended.get().is_some_and(|since| since.elapsed() > DONE_PATIENCE);
        if running.done.get() || waited {
            running.stop();
        }
        !running.is_alive()
    }
}
