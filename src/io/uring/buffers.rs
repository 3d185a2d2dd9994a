//! The buffers a worker's ring receives into: one ring of provided buffers for all its sockets, so
//! that a stream that waits pins none.
//!
//! It refuses to know whose bytes they are; a buffer that was lent must come back by
//! [`Buffers::give_back`], or it is lost to the worker.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Bytes of one buffer: a request with its cookies, a WebSocket message. What is longer is read
/// past the ring, into the reader's own memory.
pub(super) const BUFFER_BYTES: usize = 4096;

/// Buffers of a worker, a power of two: more than complete between two turns of a busy one.
/// Together they are 2 MiB, of which only what was ever used is resident.
const BUFFERS: u16 = 512;

/// The group's number in the kernel; there is one group in a ring.
pub(super) const GROUP: u16 = 0;

/// Entries of the ring the kernel reads, on a page of their own (`io_uring_register_buf_ring(3)`); pages
/// have up to 64 KiB.
#[repr(C, align(65536))]
struct Entries([BufRingEntry; BUFFERS as usize]);

pub(super) struct Buffers {
    entries: Box<Entries>,
    memory: Box<[u8]>,
    tail: u16,
}

impl Buffers {
    /// Buffers registered with `ring`.
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        // SAFETY: an entry is three integers (`io_uring_buf`), for which zeros are a value.
        let entries: Box<Entries> = unsafe { Box::<Entries>::new_zeroed().assume_init() };
        let memory = vec![0; usize::from(BUFFERS) * BUFFER_BYTES].into_boxed_slice();
        let mut buffers = Self { entries, memory, tail: 0 };
        let address = std::ptr::from_ref(&*buffers.entries) as u64;
        // SAFETY: entries and memory are on the heap and live as long as the ring (`Ring` drops the
        // ring first); the count is that of the array, and its page is aligned.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)? };
        (0..BUFFERS).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    /// The bytes of a lent buffer.
    pub(super) fn bytes(&self, id: u16, from: usize, to: usize) -> &[u8] {
        let start = usize::from(id) * BUFFER_BYTES;
        &self.memory[start + from..start + to]
    }

    /// Hands buffer `id` to the kernel (again).
    pub(super) fn give_back(&mut self, id: u16) {
        let address = self.memory[usize::from(id) * BUFFER_BYTES..].as_ptr() as u64;
        let entry = &mut self.entries.0[usize::from(self.tail % BUFFERS)];
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, which lives; the kernel only reads it, and
        // reads it with acquire, so that a released store shows it the entry written above.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.0.as_ptr());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }
}
