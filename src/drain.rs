//! Drain, written once: tell everyone to stop taking new work, wait for the work under way.
//!
//! ```text
//!   Running ──drain()──▶ Draining ──last guard dropped──▶ finished
//!                            └────────deadline───────────▶ abandoned (N left)
//! ```
//!
//! It refuses to decide what stopping means: every room watches and acts in its own way
//! (a listener stops accepting, a connection sends GOAWAY, a keep-alive answers `close`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// Starts a drain and waits for its end.
#[derive(Debug)]
pub struct Drain {
    signal: watch::Sender<bool>,
    open: Arc<Open>,
}

/// Sees the drain begin, and hands out guards for work that should finish first.
#[derive(Clone, Debug)]
pub struct Watch {
    signal: watch::Receiver<bool>,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    guards: AtomicUsize,
    none_left: Notify,
}

/// Work the drain waits for; one per connection, never per request.
#[derive(Debug)]
pub struct Guard(Arc<Open>);

/// One worker's view of the drain, without a lock: its connections ask it with every request.
#[derive(Debug, Default)]
pub struct Local {
    draining: Cell<bool>,
    /// By seat; a seat that was left is given to the next connection.
    waiting: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

/// One connection's place in a [`Local`].
#[derive(Debug)]
pub struct Seat {
    local: Rc<Local>,
    number: usize,
}

/// How a drain ended; the log says which.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything under way finished by itself.
    Finished,
    /// The grace period ended with this many connections still open.
    Abandoned(usize),
}

/// A new drain and its first watch.
#[must_use]
pub fn channel() -> (Drain, Watch) {
    let (signal, receiver) = watch::channel(false);
    let open = Arc::new(Open::default());
    (Drain { signal, open: open.clone() }, Watch { signal: receiver, open })
}

impl Drain {
    /// Announces the drain and waits up to `grace` for all guards.
    pub async fn drain(&self, grace: Duration) -> Ending {
        self.signal.send_replace(true);
        let deadline = tokio::time::sleep(grace);
        tokio::pin!(deadline);
        loop {
            let changed = self.open.none_left.notified();
            if self.open.guards.load(Ordering::Acquire) == 0 {
                return Ending::Finished;
            }
            tokio::select! {
                () = changed => {}
                () = &mut deadline => return match self.open.guards.load(Ordering::Acquire) {
                    0 => Ending::Finished,
                    left => Ending::Abandoned(left),
                },
            }
        }
    }
}

impl Watch {
    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.signal.borrow()
    }

    /// Completes when the drain begins (or its owner is gone).
    pub async fn draining(&mut self) {
        let _ = self.signal.wait_for(|draining| *draining).await;
    }

    /// A guard the drain waits for.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.open.guards.fetch_add(1, Ordering::AcqRel);
        Guard(self.open.clone())
    }
}

impl Local {
    /// A view kept by a task of this worker.
    #[must_use]
    pub fn start(mut watch: Watch) -> Rc<Self> {
        let local = Rc::new(Self::default());
        let weak = Rc::downgrade(&local);
        tokio::task::spawn_local(async move {
            watch.draining().await;
            let Some(local) = weak.upgrade() else { return };
            local.draining.set(true);
            for waiting in local.waiting.borrow_mut().iter_mut() {
                if let Some(waker) = waiting.take() {
                    waker.wake();
                }
            }
        });
        local
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// A place for one connection.
    #[must_use]
    pub fn seat(self: &Rc<Self>) -> Seat {
        let number = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut waiting = self.waiting.borrow_mut();
            waiting.push(None);
            waiting.len() - 1
        });
        Seat { local: self.clone(), number }
    }
}

impl Seat {
    /// Ready once the drain has begun.
    pub fn poll_draining(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.local.draining.get() {
            return Poll::Ready(());
        }
        let waiting = &mut self.local.waiting.borrow_mut()[self.number];
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.local.waiting.borrow_mut()[self.number] = None;
        self.local.free.borrow_mut().push(self.number);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.guards.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_guards_and_says_who_was_left() {
        let (drain, mut watch) = channel();
        let guard = watch.guard();
        assert_eq!(drain.drain(Duration::from_millis(5)).await, Ending::Abandoned(1));
        watch.draining().await;
        assert!(watch.is_draining());
        drop(guard);
        assert_eq!(drain.drain(Duration::from_secs(5)).await, Ending::Finished);
    }
}
