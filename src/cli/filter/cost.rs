//! Counts and times a filter without being in its way: what `bench` puts beside it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::filters::{HostCall, Level, Observer};

/// Times kept of one callback.
const TIMES_MAX: usize = 200_000;

/// Keeps how long each callback took; of host calls it is told nothing, since to tell them costs time.
#[derive(Default)]
pub(super) struct Clock(Mutex<BTreeMap<&'static str, Vec<Duration>>>);

impl Clock {
    /// The times since the last time, by callback.
    pub(super) fn take(&self) -> BTreeMap<&'static str, Vec<Duration>> {
        self.0.lock().map(|mut times| std::mem::take(&mut *times)).unwrap_or_default()
    }
}

impl Observer for Clock {
    fn line(&self, _: Level, _: &str) {}

    fn end(&self, callback: &'static str, _: &str, took: Duration) {
        if let Ok(mut times) = self.0.lock() {
            let times = times.entry(callback).or_default();
            if times.len() < TIMES_MAX {
                times.push(took);
            }
        }
    }

    fn times(&self) -> bool {
        true
    }
}

/// Counts host calls and the bytes they hand over.
#[derive(Default)]
pub(super) struct Counter {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// Calls and bytes since the last time.
    pub(super) fn take(&self) -> (u64, u64) {
        (self.calls.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

impl Observer for Counter {
    fn line(&self, _: Level, _: &str) {}

    fn host_call(&self, call: HostCall) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(call.bytes as u64, Ordering::Relaxed);
    }

    fn traces(&self) -> bool {
        true
    }
}

/// The middle and the 99th percentile of many times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Spread {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
        Self { count: times.len(), p50: at(50), p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_nanos).collect();
        let spread = Spread::of(times);
        assert_eq!((spread.count, spread.p50.as_nanos(), spread.p99.as_nanos()), (100, 51, 100));
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
