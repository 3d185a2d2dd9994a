//! How long the sender of a body is waited for, and its reader: silence has a limit, and so has a trickle.
//!
//! ```text
//!   waited so far  ≤  silence + received ÷ rate        and no single wait > silence
//! ```
//!
//! Only time in which the sender's bytes were wanted and not there counts: who is slow because the next hop
//! is slow is not judged. It refuses to judge pace by the clock on the wall: a body that came fast may rest later.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::io::clock::Watchdog;
use crate::io::memory;
use crate::limits::{Limits, STALL_WHEN_SHORT};

/// How long a sender is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// At once.
    pub silence: Duration,
    /// Bytes that buy a second more in all; 0: all the time there is.
    pub rate: usize,
}

impl Patience {
    /// The patience with clients.
    #[must_use]
    pub const fn with_clients(limits: &Limits) -> Self {
        Self { silence: limits.body_idle_timeout, rate: limits.body_rate_min }
    }

    /// The same for a sender whose request is answered already: both may talk at any pace from here.
    #[must_use]
    pub const fn at_any_rate(self) -> Self {
        Self { rate: 0, ..self }
    }

    /// How long the next wait may be, after others of `waited` and `received` bytes.
    fn left(self, waited: Duration, received: u64) -> Duration {
        if self.rate == 0 {
            return self.silence;
        }
        let earned = Duration::from_millis(received.saturating_mul(1000) / self.rate as u64);
        self.silence.saturating_add(earned).saturating_sub(waited).min(self.silence)
    }
}

/// The waits for one sender.
#[derive(Default)]
pub struct Waits {
    watchdog: Watchdog,
    /// Since when the present one goes on.
    since: Option<Instant>,
    /// All that are over.
    waited: Duration,
}

impl Waits {
    /// Waits on for a sender of whom `received` bytes have come; ready when that is too long.
    pub fn poll_over(&mut self, patience: Patience, received: u64, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.since {
            Some(since) => since,
            None => {
                self.watchdog.arm(patience.left(self.waited, received));
                *self.since.insert(Instant::now())
            }
        };
        loop {
            ready!(self.watchdog.poll_elapsed(cx));
            // The patience may have grown meanwhile: an answer has begun.
            let left = patience.left(self.waited, received).saturating_sub(since.elapsed());
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.watchdog.arm(left);
        }
    }

    /// Something has come, or nothing is wanted now.
    pub fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
            self.watchdog.disarm();
        }
    }
}

/// The wait for a reader that takes nothing.
#[derive(Default)]
pub struct Stall {
    watchdog: Watchdog,
    since: Option<Instant>,
}

impl Stall {
    /// Waits on; ready when it has been `patience`, or [`STALL_WHEN_SHORT`] and memory is short. Who stalls is
    /// looked at that often, since nothing else would wake it.
    pub fn poll_over(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.since {
            Some(since) => since,
            None => {
                self.watchdog.arm(patience.min(STALL_WHEN_SHORT));
                *self.since.insert(Instant::now())
            }
        };
        loop {
            ready!(self.watchdog.poll_elapsed(cx));
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() || (memory::is_short() && since.elapsed() >= STALL_WHEN_SHORT) {
                return Poll::Ready(());
            }
            self.watchdog.arm(left.min(STALL_WHEN_SHORT));
        }
    }

    /// It has taken something.
    pub fn end(&mut self) {
        if self.since.take().is_some() {
            self.watchdog.disarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const PATIENCE: Patience = Patience { silence: Duration::from_secs(10), rate: 100 };

    /// How long a sender lasts that sends `bytes` every `pause`; at most `most` times.
    async fn lasts(patience: Patience, bytes: u64, pause: Duration, most: u32) -> Option<Duration> {
        let (began, mut waits, mut received) = (Instant::now(), Waits::default(), 0);
        for _ in 0..most {
            let over = std::future::poll_fn(|cx| waits.poll_over(patience, received, cx));
            tokio::select! {
                biased;
                () = sleep(pause) => {}
                () = over => return Some(began.elapsed()),
            }
            waits.end();
            received += bytes;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_wait_and_a_trickle_all_of_them() {
        let second = Duration::from_secs(1);
        assert_eq!(lasts(PATIENCE, 1_000_000, second * 11, 9).await, Some(second * 10), "silence");
        // A byte a second buys 10 ms: 10 s and what 10 bytes bought.
        let trickle = lasts(PATIENCE, 1, second, 1000).await.expect("too slow");
        assert!((10.0..10.2).contains(&trickle.as_secs_f64()), "{trickle:?}");
        assert_eq!(lasts(PATIENCE, 100, second, 1000).await, None, "at the rate");
        assert_eq!(lasts(PATIENCE.at_any_rate(), 1, second * 9, 1000).await, None, "any rate");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_is_wanted_does_not_count() {
        let mut waits = Waits::default();
        for received in 0..100 {
            let over = std::future::poll_fn(|cx| waits.poll_over(PATIENCE, received, cx));
            assert!(tokio::time::timeout(Duration::from_millis(50), over).await.is_err());
            waits.end();
            sleep(Duration::from_secs(30)).await; // sleep: the clock of this test stands still; the next hop is slow
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_meanwhile_is_waited_for_longer() {
        let (began, mut waits) = (Instant::now(), Waits::default());
        waits.waited = Duration::from_secs(8);
        let first = std::future::poll_fn(|cx| waits.poll_over(PATIENCE, 0, cx));
        assert!(tokio::time::timeout(Duration::from_secs(1), first).await.is_err());
        std::future::poll_fn(|cx| waits.poll_over(PATIENCE.at_any_rate(), 0, cx)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_has_its_whole_patience_and_anew_after_each_byte() {
        let (mut stall, patience) = (Stall::default(), Duration::from_secs(60));
        for moves in [59, 3] {
            let wait = std::future::poll_fn(|cx| stall.poll_over(patience, cx));
            assert!(tokio::time::timeout(Duration::from_secs(moves), wait).await.is_err(), "{moves}");
            stall.end();
        }
        let began = Instant::now();
        std::future::poll_fn(|cx| stall.poll_over(patience, cx)).await;
        assert_eq!(began.elapsed(), patience);
    }
}
