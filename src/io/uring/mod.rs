//! io_uring beneath a worker: receives that wait in the kernel with buffers of the worker's ring, and
//! sends of a turn that leave in one system call.
//!
//! ```text
//!   poll_write ─▶ staged ─┐
//!   poll_read ─▶ receive ─┴▶ submissions ── after the ready tasks ─▶ one io_uring_enter
//!   tasks ◀── wakes ◀── completions ◀────────────────────────────────┘ (the ring's bell ends the runtime's sleep)
//! ```
//!
//! An operation owns the descriptor and its buffer from submission to its last completion, whatever
//! becomes of the socket's handle: a slot is used again only when nothing of it is under way. The
//! room refuses to run where the kernel forbids io_uring; [`start`] says so and epoll serves.

#![allow(unsafe_code, reason = "the kernel reads and writes memory that operations own")]

mod buffers;
mod completions;
mod endings;
mod ring;
mod slot;
mod socket;

use std::cell::RefCell;
use std::io;
use std::task::Poll;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use ring::Ring;
pub use socket::Socket;

thread_local! {
    static RING: RefCell<Option<Ring>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread's ring; `None` where there is none.
fn with_ring<R>(work: impl FnOnce(&mut Ring) -> R) -> Option<R> {
    RING.try_with(|ring| ring.borrow_mut().as_mut().map(work)).ok().flatten()
}

/// Gives this worker a ring. Its runtime must run [`attend`], and may call [`turn`] when it wakes.
///
/// # Errors
/// The kernel's: `ENOSYS` or `EPERM` where io_uring is missing or forbidden, `EINVAL` where the kernel
/// is older than 6.1, `EMFILE` or `ENOMEM` where descriptors or memory are short.
pub fn start() -> io::Result<()> {
    let ring = Ring::new()?;
    RING.with(|cell| *cell.borrow_mut() = Some(ring));
    Ok(())
}

/// Whether this thread has a ring, and somebody turns it.
#[must_use]
pub fn is_running() -> bool {
    with_ring(|ring| ring.attended).unwrap_or(false)
}

/// Submits what was asked for and wakes who has an answer.
pub fn turn() {
    while with_ring(Ring::turn).unwrap_or(false) {
        for waker in with_ring(Ring::take_wakes).unwrap_or_default().due {
            waker.wake();
        }
    }
}

/// Ends this thread's ring: lets what was written leave, cancels the rest, and waits for the kernel to let
/// go of it.
pub fn stop() {
    let ring = RING.with(|cell| cell.borrow_mut().take());
    if let Some(ring) = ring {
        ring.close();
    }
}

/// Turns the ring: when a completion comes, and once after the tasks that were ready when the first of
/// them asked for something, so that a busy runtime gathers and none is kept waiting. It must run as
/// long as the worker.
///
/// # Errors
/// When the ring cannot be watched.
pub async fn attend() -> io::Result<()> {
    let Some(bell) = with_ring(|ring| ring.bell()) else { return Ok(()) };
    // SAFETY: an `OwnedFd` gives the same descriptor every time and closes it only when dropped.
    let bell = unsafe { AsyncFd::register_with_interest(bell?, Interest::READABLE) }?;
    with_ring(|ring| ring.attended = true);
    let ended = std::future::poll_fn(|cx| {
        with_ring(|ring| ring.attendant(cx));
        turn();
        loop {
            match bell.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(mut ready)) => ready.clear_ready(),
            }
            turn();
        }
    })
    .await;
    with_ring(|ring| ring.attended = false);
    ended
}
