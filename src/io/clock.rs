//! A deadline that is cheap to move: one timer per connection, re-armed only when it fires.
//!
//! ```text
//!   arm(10s) … arm(75s) … arm(10s)      each only stores an instant
//!   timer fires ──▶ deadline moved on? ──yes──▶ sleep until it
//!                                      └─no───▶ elapsed
//! ```

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
