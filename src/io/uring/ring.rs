//! One worker's ring: submissions of a turn, completions, and the slots they belong to.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};
use rustix::event::EventfdFlags;
use slab::Slab;

use super::buffers::{Buffers, GROUP};
use super::slot::{Op, Reading, Slot, Writing};

/// Submissions that wait for the end of a turn; a turn with more makes one more system call.
const SUBMISSIONS: u32 = 256;
/// Completions the kernel keeps for us; beyond it keeps them on its own heap, never lost.
const COMPLETIONS: u32 = 4096;
/// Sockets with staged bytes that wait for the end of a turn; more are submitted before it.
const DIRTY: usize = 64;
/// `user_data` of cancellations: their own result says nothing that is not known otherwise.
pub(super) const IGNORED: u64 = u64::MAX;

/// `IORING_ENTER_GETEVENTS`: run what the kernel deferred to us, whether or not we wait.
const GETEVENTS: u32 = 1;

/// Wakers to be used, and dropped, while the ring is not borrowed: both may end a task, and with it
/// a socket.
#[derive(Default)]
pub(super) struct Wakes {
    pub(super) due: Vec<Waker>,
    pub(super) replaced: Vec<Waker>,
}

pub(super) struct Ring {
    // Dropped first: the kernel must let go of buffers and slots before they are freed.
    pub(super) uring: IoUring,
    /// Becomes readable, edge-triggered, whenever a completion waits. The ring's own descriptor does not
    /// under `DEFER_TASKRUN`: polled, it sleeps through deferred work (Linux 6.18). Nobody reads it: its
    /// counter has room for 2⁶⁴ edges.
    bell: OwnedFd,
    pub(super) id: u32,
    pub(super) buffers: Buffers,
    pub(super) slots: Slab<Slot>,
    dirty: Vec<u32>,
    pub(super) wakes: Wakes,
    /// Orphans that still send.
    pub(super) orphans: usize,
    pub(super) spares: Vec<Vec<u8>>,
    /// Completions taken off a full queue to make room for submissions.
    pub(super) late: VecDeque<cqueue::Entry>,
    /// Submissions that a kernel short of memory did not make room for.
    overflow: VecDeque<squeue::Entry>,
    queued: u32,
    /// Who turns the ring, and whether it has been called since the last turn.
    attendant: Option<Waker>,
    called: bool,
    /// Somebody turns it.
    pub(super) attended: bool,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        static RINGS: AtomicU32 = AtomicU32::new(0);
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::register(&uring)?;
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        uring.submitter().register_eventfd(bell.as_raw_fd())?;
        Ok(Self {
            uring,
            bell,
            id: RINGS.fetch_add(1, Ordering::Relaxed),
            buffers,
            slots: Slab::new(),
            dirty: Vec::new(),
            wakes: Wakes::default(),
            orphans: 0,
            spares: Vec::new(),
            late: VecDeque::new(),
            overflow: VecDeque::new(),
            queued: 0,
            attendant: None,
            called: false,
            attended: false,
        })
    }

    /// The bell, for who attends the ring.
    pub(super) fn bell(&self) -> io::Result<OwnedFd> {
        self.bell.try_clone()
    }

    /// Takes a socket in; it must be in blocking mode, else the kernel would not wait for it.
    pub(super) fn insert(&mut self, tcp: TcpStream) -> u32 {
        u32::try_from(self.slots.insert(Slot::new(tcp))).unwrap_or(u32::MAX)
    }

    pub(super) fn take_wakes(&mut self) -> Wakes {
        std::mem::take(&mut self.wakes)
    }

    /// Who polls wants to hear when the slot can be read.
    pub(super) fn wait_to_read(&mut self, index: u32, cx: &Context<'_>) {
        store(&mut self.slots[index as usize].reader, &mut self.wakes, cx);
    }

    /// Who polls wants to hear when the slot can be written.
    pub(super) fn wait_to_write(&mut self, index: u32, cx: &Context<'_>) {
        store(&mut self.slots[index as usize].writer, &mut self.wakes, cx);
    }

    /// Remembers who polls as the one to call when there is something to submit.
    pub(super) fn attendant(&mut self, cx: &Context<'_>) {
        store(&mut self.attendant, &mut self.wakes, cx);
    }

    /// Something was asked for since the last turn.
    fn call(&mut self) {
        if !self.called
            && let Some(attendant) = &self.attendant
        {
            self.called = true;
            attendant.wake_by_ref();
        }
    }

    /// Submits and reaps; whether anything came of it.
    pub(super) fn turn(&mut self) -> bool {
        self.called = false;
        self.submit_overflow();
        self.send_staged();
        let waiting = {
            let submissions = self.uring.submission();
            submissions.taskrun() || submissions.cq_overflow()
        };
        if self.queued > 0 || waiting {
            self.enter();
        }
        let reaped = self.reap() > 0;
        // What the kernel did not take, or keeps for another look without ringing the bell (it runs some
        // twenty deferred completions at a time), is for another turn, after the tasks that are ready.
        let left = self.queued > 0 || !self.overflow.is_empty() || self.uring.submission().taskrun();
        if left {
            self.call();
        }
        reaped || !self.wakes.replaced.is_empty()
    }

    fn enter(&mut self) {
        self.uring.submission().sync();
        // SAFETY: no argument is passed; the entries pushed keep to the contract of `push`.
        let entered = unsafe { self.uring.submitter().enter::<()>(self.queued, 0, GETEVENTS, None) };
        match entered {
            Ok(count) => self.queued = self.queued.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX)),
            // What was not taken stays queued for the next turn, which `turn` asks for. A kernel short of memory
            // says so in every one: no log is helped by that.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => {
                tracing::debug!(%error, "io_uring_enter");
            }
            Err(error) => tracing::warn!(%error, "io_uring_enter"),
        }
    }

    /// Queues `entry`, which is about slot memory that lives until its completion.
    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        if !self.overflow.is_empty() || !self.has_room() {
            self.overflow.push_back(entry.clone());
        } else {
            self.place(entry);
        }
        self.call();
    }

    /// Whether the queue takes another entry, after a submission if need be.
    fn has_room(&mut self) -> bool {
        if self.uring.submission().is_full() {
            self.enter();
            // A kernel whose completions are not taken may refuse submissions.
            self.late.extend(self.uring.completion());
        }
        !self.uring.submission().is_full()
    }

    fn place(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to (a slot's `sending`, the buffers) stays where it is and is not
        // freed before the operation's last completion: see `Slot::is_still`.
        let placed = unsafe { self.uring.submission().push(entry) };
        debug_assert!(placed.is_ok(), "room was looked for");
        self.queued += 1;
    }

    fn submit_overflow(&mut self) {
        while !self.overflow.is_empty() && self.has_room() {
            if let Some(entry) = self.overflow.pop_front() {
                self.place(&entry);
            }
        }
    }

    /// Puts the slot on the list of those with staged bytes.
    pub(super) fn mark_dirty(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.dirty && slot.writing == Writing::Idle {
            slot.dirty = true;
            self.dirty.push(index);
            self.call();
            if self.dirty.len() >= DIRTY {
                self.send_staged();
                self.enter();
            }
        }
    }

    fn send_staged(&mut self) {
        while let Some(index) = self.dirty.pop() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            if !std::mem::take(&mut slot.dirty) {
                continue; // another socket by now: the one that was marked was aborted
            }
            slot.sending = std::mem::take(&mut slot.staged);
            slot.sent = 0;
            self.send(index);
        }
    }

    pub(super) fn send(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let rest = &slot.sending[slot.sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(slot.tcp.as_raw_fd()), rest.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .user_data(Op::Send.tag(index));
        slot.writing = Writing::Sending;
        self.push(&entry);
    }

    /// Asks for the peer's next bytes.
    pub(super) fn ask_to_read(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let fd = Fd(slot.tcp.as_raw_fd());
        let entry = if slot.bulk {
            slot.reading = Reading::Polling;
            opcode::PollAdd::new(fd, poll_flags(libc::POLLIN | libc::POLLRDHUP))
                .build()
                .user_data(Op::Readable.tag(index))
        } else {
            slot.reading = Reading::Receiving;
            opcode::RecvMulti::new(fd, GROUP).build().user_data(Op::Receive.tag(index))
        };
        self.push(&entry);
    }

    /// Asks for room to write.
    pub(super) fn ask_to_write(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.writing = Writing::Polling;
        let entry = opcode::PollAdd::new(Fd(slot.tcp.as_raw_fd()), poll_flags(libc::POLLOUT))
            .build()
            .user_data(Op::Writable.tag(index));
        self.push(&entry);
    }

    pub(super) fn cancel(&mut self, tag: u64) {
        self.push(&opcode::AsyncCancel::new(tag).build().user_data(IGNORED));
    }

    /// Stops a multishot receive.
    pub(super) fn stop_receiving(&mut self, index: u32) {
        self.slots[index as usize].reading = Reading::Stopping;
        self.cancel(Op::Receive.tag(index));
    }

    /// A buffer for staged bytes.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spares.pop().unwrap_or_default()
    }
}

fn store(place: &mut Option<Waker>, wakes: &mut Wakes, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        wakes.replaced.extend(place.replace(cx.waker().clone()));
    }
}

fn poll_flags(flags: i16) -> u32 {
    u32::from(flags.cast_unsigned())
}
