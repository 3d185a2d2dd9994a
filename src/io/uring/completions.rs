//! What the kernel answered: each completion goes to the slot it belongs to, and wakes who waits.
//!
//! It refuses to run anybody's code: wakers are collected, for a moment when the ring is not borrowed.

use io_uring::cqueue;

use super::buffers::BUFFER_BYTES;
use super::ring::{IGNORED, Ring};
use super::slot::{Lent, Op, Reading, Writing};

/// Buffers one socket may hold before its reader took them: then its receive is stopped.
const INBOX: usize = 4;
/// Send buffers kept for the next send, and the largest that is kept.
const SPARES: usize = 64;
const SPARE_BYTES: usize = 16 * 1024;

impl Ring {
    /// Takes what has completed; how much that was.
    pub(super) fn reap(&mut self) -> usize {
        let mut reaped = 0;
        loop {
            let next = self.late.pop_front().or_else(|| self.uring.completion().next());
            let Some(entry) = next else { return reaped };
            reaped += 1;
            if entry.user_data() == IGNORED {
                continue;
            }
            let (index, op) = Op::of(entry.user_data());
            match op {
                Op::Receive => self.received(index, entry.result(), entry.flags()),
                Op::Readable => self.readable(index, entry.result()),
                Op::Send => self.sent(index, entry.result()),
                Op::Writable => self.writable(index),
            }
            self.bury(index);
        }
    }

    fn received(&mut self, index: u32, result: i32, flags: u32) {
        let slot = &mut self.slots[index as usize];
        if !cqueue::more(flags) {
            slot.reading = Reading::Idle;
        }
        let buffer = cqueue::buffer_select(flags);
        match (usize::try_from(result), buffer) {
            (Ok(length @ 1..), Some(buffer)) if !slot.orphan => {
                let to = u16::try_from(length).unwrap_or(u16::MAX);
                slot.inbox.push_back(Lent { buffer, from: 0, to });
                slot.bulk |= length == BUFFER_BYTES;
                slot.drained = false;
            }
            (Ok(1..), Some(buffer)) => self.buffers.give_back(buffer),
            (Ok(_), _) => slot.ended = Some(None),
            // No buffer is left: it is read past the ring, so that who holds them holds up nobody.
            (Err(_), _) if -result == libc::ENOBUFS => slot.bulk = true,
            (Err(_), _) if -result == libc::ECANCELED => {}
            (Err(_), _) => slot.ended = Some(Some(-result)),
        }
        let full = slot.bulk || slot.inbox.len() >= INBOX;
        let stop = full && slot.reading == Reading::Receiving;
        self.wakes.due.extend(slot.reader.take());
        if stop {
            self.stop_receiving(index);
        }
    }

    fn readable(&mut self, index: u32, result: i32) {
        let slot = &mut self.slots[index as usize];
        slot.reading = Reading::Idle;
        slot.drained = result < 0;
        self.wakes.due.extend(slot.reader.take());
    }

    fn sent(&mut self, index: u32, result: i32) {
        let slot = &mut self.slots[index as usize];
        slot.writing = Writing::Idle;
        match usize::try_from(result) {
            Ok(count) => slot.sent += count,
            Err(_) if -result == libc::EINTR || -result == libc::EAGAIN => {}
            Err(_) => slot.failed = Some(-result),
        }
        if slot.failed.is_some() || (slot.orphan && slot.abort) {
            slot.staged.clear();
            slot.sent = slot.sending.len();
        }
        if slot.sent < slot.sending.len() {
            return self.send(index);
        }
        let done = std::mem::take(&mut slot.sending);
        slot.sent = 0;
        self.wakes.due.extend(slot.writer.take());
        let next = std::mem::take(&mut slot.staged);
        if next.is_empty() {
            if let Err(error) = slot.shut_when_sent() {
                slot.failed = error.raw_os_error();
            }
            self.keep_spare(next);
        } else {
            slot.sending = next;
            self.send(index);
        }
        self.keep_spare(done);
    }

    fn keep_spare(&mut self, mut spare: Vec<u8>) {
        if self.spares.len() < SPARES && (1..=SPARE_BYTES).contains(&spare.capacity()) {
            spare.clear();
            self.spares.push(spare);
        }
    }

    fn writable(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.writing = Writing::Idle;
        self.wakes.due.extend(slot.writer.take());
    }
}
