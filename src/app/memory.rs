//! Watches the memory of a process, and says when there is too little to take on more.
//!
//! It refuses to end what moves: new connections and requests are refused, who reads nothing is cut, and the rest ends
//! by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

use crate::io::memory::{self, Budget};
use crate::metrics::Metrics;

/// How often it is looked: a worker that receives 10 Gbit/s into memory takes some 120 MiB meanwhile. A look
/// costs two small files, some 20 µs.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Watches for as long as `office` runs; `setting` is `limits.memory`.
pub(super) fn watch(office: &Handle, setting: Option<usize>, metrics: Arc<Metrics>) {
    match Budget::find(setting) {
        Some(budget) => drop(office.spawn(look(budget, metrics))),
        None if setting.is_some() => {
            tracing::warn!("limits.memory is not watched: this system does not say what is used");
        }
        None => {}
    }
}

async fn look(budget: Budget, metrics: Arc<Metrics>) {
    let mebibytes = |bytes: u64| bytes >> 20;
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    metrics.memory.budget.set(gauge(budget.bytes));
    let mut beat = tokio::time::interval(LOOK_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let Some(used) = budget.used() else { continue };
        metrics.memory.used.set(gauge(used));
        let is_news = budget.judge(used);
        let short = memory::is_short();
        metrics.memory.short.set(i64::from(short));
        match (is_news, short) {
            (false, _) => {}
            (true, true) => tracing::warn!(
                used_mib = mebibytes(used),
                %budget,
                "memory is short; new connections and requests are refused, and who reads nothing is cut"
            ),
            (true, false) => tracing::info!(used_mib = mebibytes(used), "memory is enough again"),
        }
    }
}
