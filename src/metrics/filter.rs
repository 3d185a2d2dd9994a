//! What filters did and what they cost: one worker's part of it, and what all threads share.
//!
//! ```text
//!   callback ─▶ FilterShard (plain cells of a worker) ──flush, on scrape──▶ families ─▶ text
//!   start, compile, call out ─▶ FilterMetrics (shared, any thread) ──────────▲
//! ```
//!
//! Refuses labels that a client or a guest could choose; what guests define themselves is in
//! `custom`.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::filter_labels::{DeniedCapability, FilterFailure, FilterPhase, HttpCallResult};
use super::shard::{CLASSES, LocalGauge, class_of};
use super::{Metrics, counters, gauges, register};

/// Bounds of a callback's duration in seconds: from what a filter of a few headers takes (1 µs)
/// past the default deadlines (20 and 50 ms).
const CALLBACK_BUCKETS: [f64; 10] = [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 5e-4, 2.5e-3, 2e-2, 1e-1];

/// The families of all filters.
#[derive(Clone)]
pub(super) struct FilterFamilies {
    calls: IntCounterVec,
    durations: HistogramVec,
    failures: IntCounterVec,
    local_replies: IntCounterVec,
    paused: IntGaugeVec,
    buffered: IntGaugeVec,
    overflows: IntCounterVec,
    http_calls: IntCounterVec,
    memory: IntGaugeVec,
    instances: IntGaugeVec,
    starts: IntCounterVec,
    spares: IntGaugeVec,
    generation: IntGaugeVec,
    compile_seconds: GaugeVec,
    log_dropped: IntCounterVec,
    denied: IntCounterVec,
}

/// What is known of one filter off the workers, and what is rare on them. Cheap to clone.
#[derive(Clone)]
pub struct FilterMetrics {
    /// VMs that live now, with spares.
    pub instances: IntGauge,
    /// Linear memory of these VMs, in bytes.
    pub memory: IntGauge,
    /// VMs started.
    pub starts: IntCounter,
    /// VMs that are started and wait to be needed.
    pub spares: IntGauge,
    /// Generation of the filter in force.
    pub generation: IntGauge,
    /// How long the last compilation took, in seconds; 0 when the code came from the cache.
    pub compile_seconds: Gauge,
    /// Log lines of the filter that were dropped.
    pub log_dropped: IntCounter,
    name: Arc<str>,
    families: FilterFamilies,
}

/// One worker's counters of one filter.
pub struct FilterShard {
    phases: [OnceCell<PhaseShard>; FilterPhase::ALL.len()],
    failures: RefCell<[Option<LocalIntCounter>; FilterFailure::ALL.len()]>,
    local_replies: RefCell<[Option<LocalIntCounter>; CLASSES.len()]>,
    paused: LocalGauge,
    buffered: LocalGauge,
    overflows: LocalIntCounter,
    shared: FilterMetrics,
}

struct PhaseShard {
    calls: LocalIntCounter,
    duration: LocalHistogram,
}

impl FilterFamilies {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, more: &[&str]| {
            counters(r, &format!("lockgate_filter_{name}"), help, &[&["filter"], more].concat())
        };
        let gauges = |name: &str, help: &str| gauges(r, &format!("lockgate_filter_{name}"), help, &["filter"]);
        let durations =
            HistogramOpts::new("lockgate_filter_duration_seconds", "Time in the callbacks of a filter, by phase.")
                .buckets(CALLBACK_BUCKETS.to_vec());
        let compile = Opts::new("lockgate_filter_compile_seconds", "How long the last compilation took; 0 if cached.");
        Ok(Self {
            calls: counters("calls_total", "Callbacks of a filter, by phase.", &["phase"])?,
            durations: register(r, HistogramVec::new(durations, &["filter", "phase"]))?,
            failures: counters("failures_total", "Failures of a filter, by reason.", &["reason"])?,
            local_replies: counters("local_replies_total", "Responses made by a filter, by status class.", &["class"])?,
            paused: gauges("paused_streams", "Streams that a filter has paused.")?,
            buffered: gauges("buffered_bytes", "Body bytes that wait for a filter.")?,
            overflows: counters("buffer_overflows_total", "Bodies that did not fit in the buffer of a filter.", &[])?,
            http_calls: counters(
                "http_calls_total",
                "Calls out of a filter, by upstream and result (ok, failed, timeout, refused).",
                &["upstream", "result"],
            )?,
            memory: gauges("memory_bytes", "Linear memory of the VMs of a filter.")?,
            instances: gauges("instances", "VMs of a filter, with spares.")?,
            starts: counters("instance_starts_total", "VMs of a filter that were started.", &[])?,
            spares: gauges("spares", "VMs of a filter that are started and wait.")?,
            generation: gauges("generation", "Generation of a filter in force.")?,
            compile_seconds: register(r, GaugeVec::new(compile, &["filter"]))?,
            log_dropped: counters("log_dropped_total", "Log lines of a filter that were dropped.", &[])?,
            denied: counters(
                "denied_total",
                "What a filter asked for and may not do, by capability.",
                &["capability"],
            )?,
        })
    }
}

impl Metrics {
    /// The shared metrics of the filter `name`, which must come from the configuration.
    #[must_use]
    pub fn filter(&self, name: &str) -> FilterMetrics {
        let families = self.filters.clone();
        FilterMetrics {
            instances: families.instances.with_label_values(&[name]),
            memory: families.memory.with_label_values(&[name]),
            starts: families.starts.with_label_values(&[name]),
            spares: families.spares.with_label_values(&[name]),
            generation: families.generation.with_label_values(&[name]),
            compile_seconds: families.compile_seconds.with_label_values(&[name]),
            log_dropped: families.log_dropped.with_label_values(&[name]),
            name: name.into(),
            families,
        }
    }
}

impl FilterMetrics {
    /// The filter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a failure off the workers.
    pub fn failure(&self, reason: FilterFailure) {
        self.families.failures.with_label_values(&[&*self.name, reason.word()]).inc();
    }

    /// Counts a call out that ended. `upstream` is a name of the configuration, "" for any other.
    pub fn http_call(&self, upstream: &str, result: HttpCallResult) {
        self.families.http_calls.with_label_values(&[&*self.name, upstream, result.word()]).inc();
    }

    /// Counts what the filter asked for in vain.
    pub fn denied(&self, capability: DeniedCapability) {
        self.families.denied.with_label_values(&[&*self.name, capability.word()]).inc();
    }
}

impl FilterShard {
    pub(super) fn new(metrics: &Metrics, name: &str) -> Self {
        let shared = metrics.filter(name);
        let families = &shared.families;
        Self {
            phases: Default::default(),
            failures: RefCell::default(),
            local_replies: RefCell::default(),
            paused: LocalGauge::new(families.paused.with_label_values(&[name])),
            buffered: LocalGauge::new(families.buffered.with_label_values(&[name])),
            overflows: families.overflows.with_label_values(&[name]).local(),
            shared,
        }
    }

    /// What is shared with the other threads.
    #[must_use]
    pub fn shared(&self) -> &FilterMetrics {
        &self.shared
    }

    /// Counts a callback.
    pub fn call(&self, phase: FilterPhase, took: Duration) {
        let shard = self.phases[phase as usize].get_or_init(|| PhaseShard::new(&self.shared, phase));
        shard.calls.inc();
        shard.duration.observe(took.as_secs_f64());
    }

    /// Counts a failure.
    pub fn failure(&self, reason: FilterFailure) {
        let labels = [self.shared.name(), reason.word()];
        self.failures.borrow_mut()[reason as usize]
            .get_or_insert_with(|| self.shared.families.failures.with_label_values(&labels).local())
            .inc();
    }

    /// Counts a response that the filter made itself.
    pub fn local_reply(&self, status: u16) {
        let class = class_of(status);
        let labels = [self.shared.name(), CLASSES[class]];
        self.local_replies.borrow_mut()[class]
            .get_or_insert_with(|| self.shared.families.local_replies.with_label_values(&labels).local())
            .inc();
    }

    /// A stream was paused (1) or went on (-1).
    pub fn paused(&self, by: i64) {
        self.paused.add(by);
    }

    /// Body bytes began (positive) or ceased to wait for the filter.
    pub fn buffered(&self, by: i64) {
        self.buffered.add(by);
    }

    /// Counts a body that did not fit in its buffer.
    pub fn overflow(&self) {
        self.overflows.inc();
    }

    pub(super) fn flush(&self) {
        for phase in self.phases.iter().filter_map(OnceCell::get) {
            phase.calls.flush();
            phase.duration.flush();
        }
        let (failures, replies) = (self.failures.borrow(), self.local_replies.borrow());
        for counter in failures.iter().chain(replies.iter()).flatten() {
            counter.flush();
        }
        self.paused.flush();
        self.buffered.flush();
        self.overflows.flush();
    }
}

impl PhaseShard {
    fn new(shared: &FilterMetrics, phase: FilterPhase) -> Self {
        let labels = [shared.name(), phase.word()];
        Self {
            calls: shared.families.calls.with_label_values(&labels).local(),
            duration: shared.families.durations.with_label_values(&labels).local(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shard;
    use super::*;

    #[tokio::test]
    async fn what_a_worker_counts_is_shown_at_a_scrape() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let local = tokio::task::LocalSet::new();
        let text = local
            .run_until(async {
                let shard = Shard::start(&metrics);
                let filter = shard.filter("gate");
                filter.call(FilterPhase::RequestHeaders, Duration::from_micros(2));
                filter.call(FilterPhase::RequestHeaders, Duration::from_millis(30));
                filter.failure(FilterFailure::BackOff);
                filter.local_reply(401);
                filter.paused(2);
                shard.filter("gate").paused(-1);
                filter.buffered(100);
                filter.overflow();
                filter.shared().http_call("auth", HttpCallResult::Timeout);
                filter.shared().denied(DeniedCapability::SharedData);
                metrics.filter("gate").failure(FilterFailure::BackOff);
                metrics.filter("gate").instances.inc();
                metrics.render().await
            })
            .await;
        for line in [
            "lockgate_filter_calls_total{filter=\"gate\",phase=\"request_headers\"} 2",
            "lockgate_filter_duration_seconds_bucket{filter=\"gate\",phase=\"request_headers\",le=\"0.0000025\"} 1",
            "lockgate_filter_duration_seconds_bucket{filter=\"gate\",phase=\"request_headers\",le=\"0.1\"} 2",
            "lockgate_filter_failures_total{filter=\"gate\",reason=\"back-off\"} 2",
            "lockgate_filter_local_replies_total{class=\"4xx\",filter=\"gate\"} 1",
            "lockgate_filter_paused_streams{filter=\"gate\"} 1",
            "lockgate_filter_buffered_bytes{filter=\"gate\"} 100",
            "lockgate_filter_buffer_overflows_total{filter=\"gate\"} 1",
            "lockgate_filter_http_calls_total{filter=\"gate\",result=\"timeout\",upstream=\"auth\"} 1",
            "lockgate_filter_denied_total{capability=\"shared_data\",filter=\"gate\"} 1",
            "lockgate_filter_instances{filter=\"gate\"} 1",
            "lockgate_filter_generation{filter=\"gate\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn shared_metrics_may_go_to_any_thread() {
        fn is_shared<T: Send + Sync + Clone>() {}
        is_shared::<FilterMetrics>();
    }
}
