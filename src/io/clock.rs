//! A deadline that is cheap to move: one timer per connection, re-armed only when it fires.
//!
//! ```text
//!   arm(10s) … arm(75s) … arm(10s)      each only stores an instant
//!   timer fires ──▶ deadline moved on? ──yes──▶ sleep until it
//!                                      └─no───▶ elapsed
//! ```

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A movable deadline; disarmed until [`Watchdog::arm`].
#[derive(Default)]
pub struct Watchdog {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Watchdog {
    /// Sets the deadline to `after` from now.
    pub fn arm(&mut self, after: Duration) {
        let deadline = Instant::now() + after;
        self.deadline = Some(deadline);
        // A timer set for earlier will notice by itself; one set for later must come forward.
        if let Some(sleep) = &mut self.sleep
            && sleep.deadline() > deadline
        {
            sleep.as_mut().reset(deadline);
        }
    }

    /// Sets the deadline unless one is set.
    pub fn arm_once(&mut self, after: Duration) {
        if self.deadline.is_none() {
            self.arm(after);
        }
    }

    /// Takes the deadline away.
    pub fn disarm(&mut self) {
        self.deadline = None;
    }

    /// Ready when the deadline has passed; pending for ever while disarmed.
    pub fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Watchdogs kept for the next wait: as many as a busy worker has requests under way, at some
/// 150 bytes each.
const KEPT: usize = 1024;

/// Watchdogs of one worker that are used again: a limit on a wait then costs no timer of its own.
///
/// A timer that fires while its watchdog rests wakes whoever used it last, once, for nothing.
#[derive(Default)]
pub struct Watchdogs {
    resting: RefCell<Vec<Watchdog>>,
}

impl Watchdogs {
    /// Runs `work` for at most `patience`, counted from its first wait; `None` when that is over.
    /// It takes a reference, since futures are large and every hand they pass through moves them.
    pub async fn limit<F: Future>(&self, patience: Duration, mut work: Pin<&mut F>) -> Option<F::Output> {
        let mut lent = Lent { home: self, dog: None };
        std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                let dog = lent.dog.get_or_insert_with(|| {
                    let mut dog = self.resting.borrow_mut().pop().unwrap_or_default();
                    dog.arm(patience);
                    dog
                });
                dog.poll_elapsed(cx).map(|()| None)
            }
        })
        .await
    }
}

/// A watchdog that goes back when the wait is over or given up.
struct Lent<'a> {
    home: &'a Watchdogs,
    dog: Option<Watchdog>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut resting = self.home.resting.borrow_mut();
        if let Some(mut dog) = self.dog.take()
            && resting.len() < KEPT
        {
            dog.disarm();
            resting.push(dog);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_on_does_not_fire_early() {
        let started = Instant::now();
        let mut dog = Watchdog::default();
        dog.arm(Duration::from_secs(1));
        assert!(std::future::poll_fn(|cx| Poll::Ready(dog.poll_elapsed(cx))).await.is_pending());
        dog.arm(Duration::from_secs(5));
        std::future::poll_fn(|cx| dog.poll_elapsed(cx)).await;
        assert!(started.elapsed() >= Duration::from_secs(5));
        dog.arm(Duration::from_secs(60));
        assert!(std::future::poll_fn(|cx| Poll::Ready(dog.poll_elapsed(cx))).await.is_pending());
        dog.arm(Duration::from_secs(1));
        std::future::poll_fn(|cx| dog.poll_elapsed(cx)).await;
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_used_again_keeps_each_waits_own_limit() {
        let dogs = Watchdogs::default();
        let started = Instant::now();
        for (limit, work) in [(60, 1), (5, 20), (60, 50), (1, 2)] {
            let began = Instant::now();
            let done = dogs.limit(Duration::from_secs(limit), pin!(sleep(Duration::from_secs(work)))).await;
            assert_eq!(done.is_some(), work < limit);
            assert_eq!(began.elapsed().as_secs(), limit.min(work));
        }
        assert_eq!(started.elapsed().as_secs(), 1 + 5 + 50 + 1);
        assert_eq!(dogs.resting.borrow().len(), 1);
    }
}
