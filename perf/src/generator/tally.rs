//! What the generator counts while its window is open: turns, bytes, failures, latencies.
//!
//! It refuses to count a turn from when it was sent: one that had to wait for a connection waited.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// An hour, in microseconds.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// The counts of one run, shared by its connections on one thread.
pub struct Tally {
    from: Instant,
    to: Instant,
    pub bytes: Cell<u64>,
    resumed: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    latency_us: RefCell<Histogram<u64>>,
}

impl Tally {
    /// The window opens after the warm-up.
    pub fn new(warm_up: Duration, measured: Duration) -> Result<Self, String> {
        let from = Instant::now() + warm_up;
        Ok(Self {
            from,
            to: from + measured,
            bytes: Cell::new(0),
            resumed: Cell::new(0),
            errors: Cell::new(0),
            first_error: RefCell::new(None),
            latency_us: RefCell::new(Histogram::new_with_max(LATENCY_US_MAX, 3).map_err(|error| error.to_string())?),
        })
    }

    pub fn window(&self) -> (Instant, Instant) {
        (self.from, self.to)
    }

    /// A turn that was meant to begin at `intended` is done. At a fixed rate it belongs to the window if it was
    /// meant to begin in it; as fast as it goes, if it ended in it: so CPU time and turns are of the same moments.
    /// `resumed`: it took up a TLS session.
    pub fn turn(&self, intended: Instant, open_loop: bool, resumed: bool) {
        let now = Instant::now();
        let when = if open_loop { intended } else { now };
        if when >= self.from && when < self.to {
            let us = u64::try_from(now.duration_since(intended).as_micros()).unwrap_or(LATENCY_US_MAX);
            self.latency_us.borrow_mut().saturating_record(us);
            self.resumed.set(self.resumed.get() + u64::from(resumed));
        }
    }

    /// Bytes of a body went by.
    pub fn body(&self, count: usize) {
        let now = Instant::now();
        if now >= self.from && now < self.to {
            self.bytes.set(self.bytes.get() + count as u64);
        }
    }

    /// Failures count whenever they come.
    pub fn failed(&self, what: impl Into<String>) {
        self.errors.set(self.errors.get() + 1);
        self.first_error.borrow_mut().get_or_insert(what.into());
    }

    /// The line that `load::own` reads.
    pub fn line(&self) -> String {
        let latency = self.latency_us.borrow();
        let at = |quantile: f64| latency.value_at_quantile(quantile);
        let error = self.first_error.borrow();
        format!(
            "found turns={} bytes={} errors={} resumed={} p50={} p99={} p999={} max={} error={}",
            latency.len(),
            self.bytes.get(),
            self.errors.get(),
            self.resumed.get(),
            at(0.5),
            at(0.99),
            at(0.999),
            latency.max(),
            error.as_deref().unwrap_or_default().replace('\n', " "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_turn_counts_from_when_it_was_meant() {
        let tally = Tally::new(Duration::ZERO, Duration::from_secs(60)).expect("a histogram");
        let intended = Instant::now().checked_sub(Duration::from_millis(500));
        tally.turn(intended.expect("the clock is older than that"), true, false);
        assert!(tally.line().starts_with("found turns=0 "), "it was meant before the window: {}", tally.line());
        let (from, _) = tally.window();
        while from.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        tally.turn(from, true, true);
        let line = tally.line();
        assert!(line.starts_with("found turns=1 "), "{line}");
        let p50: u64 =
            line.split("p50=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a number");
        assert!(p50 >= 20_000, "{line}");
    }
}
