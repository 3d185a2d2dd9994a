//! How sockets leave the ring: their handle is dropped, what they wrote leaves or is given up, and only when
//! the kernel has let go of everything is the slot freed.
//!
//! It refuses to let missing bytes look like an end: a socket that loses any is reset.

use std::time::Duration;

use socket2::SockRef;

use super::ring::Ring;
use super::slot::{Op, Reading, Writing};

/// Sockets without a handle whose last bytes the kernel may still be sending, and how long the peer
/// may leave them unacknowledged: as for a closed socket the kernel's own buffer waits.
const ORPHANS: usize = 256;
const ORPHAN_SILENCE: Duration = Duration::from_secs(30);
/// How long an ending worker waits, twice, in steps of [`CLOSE_STEP`]: for bytes to leave, and for the
/// kernel to let go.
const CLOSE_STEPS: usize = 50;
const CLOSE_STEP: Duration = Duration::from_millis(10);

impl Ring {
    /// The handle is gone.
    pub(super) fn orphan(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.orphan = true;
        self.wakes.replaced.extend(slot.reader.take().into_iter().chain(slot.writer.take()));
        for lent in slot.inbox.drain(..) {
            self.buffers.give_back(lent.buffer);
        }
        if slot.unsent() > 0 {
            if slot.abort || self.orphans >= ORPHANS {
                // What is missing must not look like an end.
                let _ = SockRef::from(&slot.tcp).set_linger(Some(Duration::ZERO));
                slot.abort = true;
            } else if !slot.counted {
                self.orphans += 1;
                slot.counted = true;
                let _ = SockRef::from(&slot.tcp).set_tcp_user_timeout(Some(ORPHAN_SILENCE));
            }
        }
        if slot.abort {
            slot.staged = Vec::new();
            slot.dirty = false;
        }
        let (reading, writing, abort) = (slot.reading, slot.writing, slot.abort);
        match reading {
            Reading::Receiving => self.stop_receiving(index),
            Reading::Polling => self.cancel(Op::Readable.tag(index)),
            Reading::Idle | Reading::Stopping => {}
        }
        match writing {
            Writing::Sending if abort => self.cancel(Op::Send.tag(index)),
            Writing::Polling => self.cancel(Op::Writable.tag(index)),
            Writing::Sending | Writing::Idle => {}
        }
        self.bury(index);
    }

    /// Frees an orphan of which nothing is under way and nothing is owed.
    pub(super) fn bury(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        if !slot.orphan || !slot.is_still() || !slot.staged.is_empty() {
            return;
        }
        let slot = self.slots.remove(index as usize);
        self.orphans -= usize::from(slot.counted);
    }

    /// Lets what was written leave, then cancels the rest, each for a bounded time. What the kernel still
    /// holds after that is leaked: it may write there.
    pub(super) fn close(mut self) {
        for abort in [false, true] {
            for index in self.slots.iter().map(|(index, _)| index).collect::<Vec<_>>() {
                self.slots[index].abort |= abort;
                self.orphan(u32::try_from(index).unwrap_or(u32::MAX));
            }
            for _ in 0..CLOSE_STEPS {
                self.turn();
                if self.slots.is_empty() {
                    return;
                }
                std::thread::sleep(CLOSE_STEP);
            }
        }
        tracing::warn!(left = self.slots.len(), "io_uring did not let go of sockets in time");
        std::mem::forget(self);
    }
}
