//! What the ring knows of one socket: what has arrived, what is to leave, what is under way.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::task::Waker;

/// Which operation of a slot a completion belongs to; the low bits of its `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A multishot receive into the worker's buffers.
    Receive = 0,
    /// Wait until there is something to read.
    Readable = 1,
    /// The bytes of `sending`.
    Send = 2,
    /// Wait until there is room to write.
    Writable = 3,
}

impl Op {
    /// The `user_data` of this operation on slot `index`.
    pub(super) const fn tag(self, index: u32) -> u64 {
        (index as u64) << 2 | self as u64
    }

    /// What [`Op::tag`] made.
    #[allow(clippy::cast_possible_truncation, reason = "the index was a u32")]
    pub(super) const fn of(tag: u64) -> (u32, Self) {
        let op = match tag & 3 {
            0 => Self::Receive,
            1 => Self::Readable,
            2 => Self::Send,
            _ => Self::Writable,
        };
        ((tag >> 2) as u32, op)
    }
}

/// How the next bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing is asked of the kernel.
    Idle,
    /// A multishot receive is under way.
    Receiving,
    /// It was cancelled and has not ended yet.
    Stopping,
    /// A one-shot poll is under way; the bytes are read past the ring.
    Polling,
}

/// How written bytes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Nothing is asked of the kernel.
    Idle,
    /// The bytes of `sending` are under way.
    Sending,
    /// A one-shot poll for room is under way.
    Polling,
}

/// Bytes in a buffer of the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent {
    pub(super) buffer: u16,
    pub(super) from: u16,
    pub(super) to: u16,
}

pub(super) struct Slot {
    pub(super) tcp: TcpStream,
    pub(super) inbox: VecDeque<Lent>,
    pub(super) reading: Reading,
    /// The peer sends much: it is read past the ring, into the reader's memory.
    pub(super) bulk: bool,
    /// A read past the ring took all there was.
    pub(super) drained: bool,
    /// The end of the peer's bytes, or the error they ended with.
    pub(super) ended: Option<Option<i32>>,
    pub(super) reader: Option<Waker>,
    /// Bytes that leave with this turn.
    pub(super) staged: Vec<u8>,
    /// Bytes the kernel sends from, and how many of them have gone.
    pub(super) sending: Vec<u8>,
    pub(super) sent: usize,
    pub(super) writing: Writing,
    /// The slot is in the list of those that have staged bytes.
    pub(super) dirty: bool,
    pub(super) failed: Option<i32>,
    /// The writing side ends when what was written has left.
    pub(super) shut: bool,
    pub(super) writer: Option<Waker>,
    /// Its handle is gone: it ends when what was written has left.
    pub(super) orphan: bool,
    /// It is among the orphans that still send.
    pub(super) counted: bool,
    /// Its handle wants what is under way dropped, not finished.
    pub(super) abort: bool,
}

impl Slot {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            inbox: VecDeque::new(),
            reading: Reading::Idle,
            bulk: false,
            drained: true,
            ended: None,
            reader: None,
            staged: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            writing: Writing::Idle,
            dirty: false,
            failed: None,
            shut: false,
            writer: None,
            orphan: false,
            counted: false,
            abort: false,
        }
    }

    /// Bytes written by the handle that the kernel does not have yet.
    pub(super) fn unsent(&self) -> usize {
        self.staged.len() + self.sending.len() - self.sent
    }

    /// A read past the ring may find bytes.
    pub(super) fn may_have_more(&self) -> bool {
        self.bulk && self.reading == Reading::Idle && !self.drained
    }

    /// Nothing of it is under way in the kernel.
    pub(super) fn is_still(&self) -> bool {
        self.reading == Reading::Idle && self.writing == Writing::Idle
    }

    /// Ends the writing side if that is wanted and nothing is left to write.
    pub(super) fn shut_when_sent(&self) -> io::Result<()> {
        if self.shut && self.unsent() == 0 { self.tcp.shutdown(std::net::Shutdown::Write) } else { Ok(()) }
    }

    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.map(io::Error::from_raw_os_error)
    }
}
