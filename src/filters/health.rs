//! How a filter fares, for the operator: what went wrong last, and whether it is let rest.
//!
//! Written off the fast path only, when a VM dies or does not start; refuses to keep a history.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// The fortunes of one plugin on all workers.
#[derive(Debug, Default)]
pub struct Health(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    last_failure: Option<(SystemTime, String)>,
    rests_until: Option<Instant>,
}

impl Health {
    /// A VM died.
    pub fn failed(&self, reason: &str) {
        self.note(reason, None);
    }

    /// A VM did not start; the next attempt is after `pause`.
    pub fn rests(&self, reason: &str, pause: Duration) {
        self.note(reason, Instant::now().checked_add(pause));
    }

    /// A VM has started.
    pub fn started(&self) {
        if let Ok(mut record) = self.0.lock() {
            record.rests_until = None;
        }
    }

    /// Whether no VM is started at the moment because the last did not start.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.0.lock().is_ok_and(|record| record.rests_until.is_some_and(|until| until > Instant::now()))
    }

    /// The last failure of this generation, and when.
    #[must_use]
    pub fn last_failure(&self) -> Option<(SystemTime, String)> {
        self.0.lock().ok()?.last_failure.clone()
    }

    fn note(&self, reason: &str, rests_until: Option<Instant>) {
        if let Ok(mut record) = self.0.lock() {
            record.last_failure = Some((SystemTime::now(), reason.to_owned()));
            record.rests_until = rests_until.or(record.rests_until);
        }
    }
}
