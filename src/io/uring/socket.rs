//! A socket whose reads and writes go through its worker's ring.
//!
//! It refuses to be used on another thread: every call there is an error, never a race.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::task::coop;

use super::ring::Ring;
use super::slot::{Reading, Writing};
use super::with_ring;

/// Writes up to this are gathered and leave with the turn; a longer one goes to the kernel at once,
/// since copying it would cost more than the call.
const GATHERED_BYTES: usize = 8 * 1024;
/// Bytes a socket may have staged or under way before its writer waits.
const UNSENT_BYTES: usize = 64 * 1024;
/// Reads past the ring that bring less than this are those of a peer that sends messages.
const SMALL_READ: usize = 2048;

/// A TCP connection in the ring of the worker that made it.
#[derive(Debug)]
pub struct Socket {
    ring: u32,
    index: u32,
}

const ELSEWHERE: &str = "a socket of a worker's ring was used outside it";

fn elsewhere<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::other(ELSEWHERE)))
}

impl Socket {
    /// Moves `tcp` into this thread's ring; `Err` gives it back where there is none.
    ///
    /// # Errors
    /// `tcp` itself, unchanged.
    pub fn adopt(tcp: TcpStream) -> Result<Self, TcpStream> {
        if !super::is_running() || tcp.set_nonblocking(false).is_err() {
            return Err(tcp);
        }
        let mut tcp = Some(tcp);
        let inserted = with_ring(|ring| {
            let index = ring.insert(tcp.take()?);
            Some((ring.id, index))
        });
        match (inserted.flatten(), tcp) {
            (Some((ring, index)), _) => Ok(Self { ring, index }),
            (None, Some(tcp)) => Err(tcp),
            (None, None) => unreachable!("a socket is taken only with a slot for it"),
        }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Ring, u32) -> R) -> Option<R> {
        with_ring(|ring| (ring.id == self.ring).then(|| work(ring, self.index))).flatten()
    }

    /// Whether a read may give something.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.with(|ring, index| ring.poll_readable(index, cx)).unwrap_or(Poll::Ready(()))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let turn = ready!(coop::poll_proceed(cx));
        let read = self.with(|ring, index| ring.poll_read(index, cx, buffer)).unwrap_or_else(elsewhere);
        if read.is_ready() {
            turn.made_progress();
        }
        read
    }

    /// Takes bytes to send; they leave when the worker's turn ends.
    ///
    /// # Errors
    /// The socket's, of this write or of one before.
    pub fn poll_write(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let turn = ready!(coop::poll_proceed(cx));
        let wrote = self.with(|ring, index| ring.poll_write(index, cx, pieces)).unwrap_or_else(elsewhere);
        if wrote.is_ready() {
            turn.made_progress();
        }
        wrote
    }

    /// Ends the writing side when all that was written has left; it does not wait for that, as `shutdown`
    /// does not wait for the kernel's own buffer.
    ///
    /// # Errors
    /// The socket's.
    pub fn shutdown(&self) -> io::Result<()> {
        let outside = || Err(io::Error::other(ELSEWHERE));
        self.with(|ring, index| ring.shutdown(index)).unwrap_or_else(outside)
    }

    /// Runs `set` on the descriptor, for its options.
    pub fn options<R>(&self, set: impl FnOnce(SockRef<'_>) -> R) -> Option<R> {
        self.with(|ring, index| set(SockRef::from(&ring.slots[index as usize].tcp)))
    }

    /// What is under way is not worth finishing when the handle is dropped.
    pub fn abort_on_drop(&self) {
        self.with(|ring, index| ring.slots[index as usize].abort = true);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.with(Ring::orphan);
    }
}

impl Ring {
    fn poll_readable(&mut self, index: u32, cx: &Context<'_>) -> Poll<()> {
        let slot = &mut self.slots[index as usize];
        if !slot.inbox.is_empty() || slot.ended.is_some() {
            return Poll::Ready(());
        }
        if slot.may_have_more() {
            return Poll::Ready(());
        }
        self.await_bytes(index, cx)
    }

    /// Who has read all and does not ask again for a while must still learn of the end: an idle backend.
    fn keep_listening(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        let read_all = slot.inbox.is_empty() && slot.ended.is_none() && !slot.may_have_more();
        if read_all && slot.reading == Reading::Idle {
            self.ask_to_read(index);
        }
    }

    fn await_bytes<T>(&mut self, index: u32, cx: &Context<'_>) -> Poll<T> {
        self.wait_to_read(index, cx);
        if self.slots[index as usize].reading == Reading::Idle {
            self.ask_to_read(index);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, index: u32, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let slot = &mut self.slots[index as usize];
        if !slot.inbox.is_empty() {
            while buffer.remaining() > 0
                && let Some(lent) = slot.inbox.front_mut()
            {
                let bytes = self.buffers.bytes(lent.buffer, lent.from.into(), lent.to.into());
                let took = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..took]);
                if took == bytes.len() {
                    let done = lent.buffer;
                    slot.inbox.pop_front();
                    self.buffers.give_back(done);
                } else {
                    lent.from += u16::try_from(took).unwrap_or(0);
                }
            }
            self.keep_listening(index);
            return Poll::Ready(Ok(()));
        }
        match slot.ended {
            Some(None) => return Poll::Ready(Ok(())),
            Some(Some(code)) => return Poll::Ready(Err(io::Error::from_raw_os_error(code))),
            None => {}
        }
        if slot.may_have_more() {
            // SAFETY: the kernel only writes initialised bytes, and nothing is taken out of it.
            let room = unsafe { buffer.unfilled_mut() };
            let want = room.len();
            match SockRef::from(&slot.tcp).recv_with_flags(room, libc::MSG_DONTWAIT) {
                Ok(read) => {
                    slot.drained = read < want;
                    slot.bulk = read >= SMALL_READ;
                    if read == 0 && want > 0 {
                        slot.ended = Some(None);
                    }
                    // SAFETY: the kernel has written `read` bytes at the start of what is unfilled.
                    unsafe { buffer.assume_init(read) };
                    buffer.advance(read);
                    self.keep_listening(index);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => slot.drained = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.await_bytes(index, cx)
    }

    fn poll_write(&mut self, index: u32, cx: &Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let slot = &mut self.slots[index as usize];
        if let Some(error) = slot.failure() {
            return Poll::Ready(Err(error));
        }
        if slot.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let total = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if total > GATHERED_BYTES && slot.unsent() == 0 && slot.writing == Writing::Idle {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            return match SockRef::from(&slot.tcp).send_vectored_with_flags(pieces, flags) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_to_write(index, cx);
                    self.ask_to_write(index);
                    Poll::Pending
                }
                sent => Poll::Ready(sent),
            };
        }
        let room = UNSENT_BYTES.saturating_sub(slot.unsent());
        if (room == 0 || slot.writing == Writing::Polling) && total > 0 {
            self.wait_to_write(index, cx);
            return Poll::Pending;
        }
        if slot.staged.capacity() == 0 {
            let spare = self.spare();
            self.slots[index as usize].staged = spare;
        }
        let slot = &mut self.slots[index as usize];
        let mut left = room;
        for piece in pieces {
            let took = piece.len().min(left);
            slot.staged.extend_from_slice(&piece[..took]);
            left -= took;
        }
        if total > 0 {
            self.mark_dirty(index);
        }
        Poll::Ready(Ok(room - left))
    }

    fn shutdown(&mut self, index: u32) -> io::Result<()> {
        let slot = &mut self.slots[index as usize];
        if let Some(error) = slot.failure() {
            return Err(error);
        }
        slot.shut = true;
        slot.shut_when_sent()
    }
}
