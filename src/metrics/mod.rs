//! Metrics: counted on each worker without sharing, merged when somebody asks.
//!
//! ```text
//!   request ─▶ shard of its worker (plain cells) ──flush, on scrape──▶ registry ─▶ text
//! ```
//!
//! Labels come from the configuration or from closed lists, never from clients, so the number of
//! series is bounded; what filters define themselves (`custom`) has a limit per filter. Rare events
//! (links, reloads) write to the registry directly. Every name stands in `docs/metrics.md`, held by
//! a test.

mod custom;
mod filter;
mod filter_labels;
mod process;
mod shard;

use std::sync::Mutex;
use std::time::Duration;

use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tokio::sync::{mpsc, oneshot};

pub use custom::{CustomHandle, CustomKind, CustomMetrics};
use filter::FilterFamilies;
pub use filter::{FilterMetrics, FilterShard};
pub use filter_labels::{DeniedCapability, FilterFailure, FilterPhase, HttpCallResult};
pub use process::Memory;
use process::Process;
pub use shard::{AppShard, Protocol, Shard};

/// Bounds of the latency histograms in seconds: from a loopback hit to the longest timeout.
const DURATION_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 90.0];

/// How long a scrape waits for one worker's shard.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// The registry of a process.
pub struct Metrics {
    registry: Registry,
    shards: Mutex<Vec<mpsc::Sender<oneshot::Sender<()>>>>,
    requests: IntCounterVec,
    durations: HistogramVec,
    bytes: IntCounterVec,
    open_streams: IntGaugeVec,
    errors: IntCounterVec,
    client_connections: IntGaugeVec,
    accepted: IntCounterVec,
    backend_connections: IntCounterVec,
    retries: IntCounterVec,
    workers: IntGaugeVec,
    /// Memory against its budget.
    pub memory: Memory,
    /// Connections refused because a limit was reached, by limit.
    pub refused: IntCounterVec,
    /// TLS handshakes of clients and connectors, by kind and result.
    pub handshakes: IntCounterVec,
    /// Links by connector and state.
    pub links: IntGaugeVec,
    /// Round-trip time of the last probe of a link, by connector.
    pub link_rtt: GaugeVec,
    /// Links ended, by reason (on the edge), or reconnected, by reason (on the connector).
    pub link_ends: IntCounterVec,
    /// Requests waiting for a link.
    pub queued: IntGauge,
    /// Generation of the configuration in force.
    pub generation: IntGauge,
    /// Reloads by result.
    pub reloads: IntCounterVec,
    /// Access lines dropped because the log could not keep up.
    pub log_dropped: IntCounter,
    /// Metrics that filters define themselves.
    pub custom: CustomMetrics,
    filters: FilterFamilies,
    process: Process,
}

/// Declares a family and registers it; a name used twice is a mistake of this file.
fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let family = made?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::new(name, help))
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::new(name, help))
}

impl Metrics {
    /// A new registry with every family of `docs/metrics.md`.
    ///
    /// # Errors
    /// A family declared twice or misnamed: a mistake of this file, found by its tests.
    pub fn new() -> prometheus::Result<Self> {
        let r = &Registry::new();
        let durations = HistogramOpts::new(
            "lockgate_request_duration_seconds",
            "Time from a complete request head to the last byte of its response.",
        )
        .buckets(DURATION_BUCKETS.to_vec());
        let build = gauges(r, "lockgate_build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            requests: counters(
                r,
                "lockgate_requests_total",
                "Requests answered, by app, status class and protocol.",
                &["app", "class", "protocol"],
            )?,
            workers: gauges(r, "lockgate_workers", "Workers, by what drives their sockets.", &["io"])?,
            durations: register(r, HistogramVec::new(durations, &["app"]))?,
            bytes: counters(
                r,
                "lockgate_body_bytes_total",
                "Body bytes, by app and direction (in: from clients, out: to clients).",
                &["app", "direction"],
            )?,
            open_streams: gauges(
                r,
                "lockgate_open_streams",
                "Requests and WebSockets under way, by app and kind.",
                &["app", "kind"],
            )?,
            errors: counters(
                r,
                "lockgate_errors_total",
                "Failed requests, by the side that broke and the reason.",
                &["side", "reason"],
            )?,
            client_connections: gauges(
                r,
                "lockgate_client_connections",
                "Open client connections, by listener.",
                &["listener"],
            )?,
            accepted: counters(
                r,
                "lockgate_client_connections_total",
                "Client connections accepted, by listener.",
                &["listener"],
            )?,
            backend_connections: counters(
                r,
                "lockgate_backend_connections_total",
                "Uses of backend connections, by result (opened, reused, failed) and reason.",
                &["result", "reason"],
            )?,
            retries: counters(r, "lockgate_retries_total", "Requests sent once more, by reason.", &["reason"])?,
            memory: Memory::new(r)?,
            refused: counters(r, "lockgate_refused_connections_total", "Connections refused, by limit.", &["limit"])?,
            handshakes: counters(
                r,
                "lockgate_tls_handshakes_total",
                "TLS handshakes, by kind (public, link, join) and result (ok, failed, timeout).",
                &["kind", "result"],
            )?,
            links: gauges(
                r,
                "lockgate_links",
                "Links, by connector and state (up, suspect, draining).",
                &["connector", "state"],
            )?,
            link_rtt: register(
                r,
                GaugeVec::new(
                    Opts::new("lockgate_link_rtt_seconds", "Round-trip time of the last probe stream, by connector."),
                    &["connector"],
                ),
            )?,
            link_ends: counters(r, "lockgate_link_ends_total", "Links that ended, by reason.", &["reason"])?,
            queued: gauge(r, "lockgate_queued_requests", "Requests waiting for a link of their group.")?,
            generation: gauge(r, "lockgate_config_generation", "Generation of the configuration in force.")?,
            reloads: counters(
                r,
                "lockgate_config_reloads_total",
                "Configuration reloads, by result (ok, refused).",
                &["result"],
            )?,
            log_dropped: counter(
                r,
                "lockgate_log_dropped_total",
                "Access log lines dropped because the log could not keep up.",
            )?,
            custom: register(r, Ok(CustomMetrics::default()))?,
            filters: FilterFamilies::new(r)?,
            process: Process::new(r)?,
            registry: r.clone(),
            shards: Mutex::default(),
        })
    }

    /// Of `all` workers, `rings` have an io_uring.
    pub fn count_workers(&self, all: usize, rings: usize) {
        for (io, count) in [("uring", rings), ("epoll", all - rings)] {
            self.workers.with_label_values(&[io]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Requests answered and requests failed so far.
    pub async fn totals(&self) -> (u64, u64) {
        self.flush().await;
        let sum = |name: &str| -> f64 {
            let families = self.registry.gather();
            let family = families.iter().find(|family| family.name() == name);
            family.map_or(0.0, |family| family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum())
        };
        (sum("lockgate_requests_total") as u64, sum("lockgate_errors_total") as u64)
    }

    /// The text exposition, with all shards flushed.
    ///
    /// A worker that does not answer within a second is shown as of its last flush.
    pub async fn render(&self) -> String {
        self.flush().await;
        self.process.read();
        let mut text = Vec::new();
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    async fn flush(&self) {
        let shards: Vec<_> = self.shards.lock().map(|shards| shards.clone()).unwrap_or_default();
        for shard in shards {
            let (done, flushed) = oneshot::channel();
            if shard.try_send(done).is_ok() {
                let _ = tokio::time::timeout(FLUSH_PATIENCE, flushed).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_family_is_rendered_and_named_once() {
        let metrics = Metrics::new().expect("no family is declared twice");
        metrics.reloads.with_label_values(&["ok"]).inc();
        let text = metrics.render().await;
        assert!(text.contains("lockgate_config_reloads_total{result=\"ok\"} 1"), "{text}");
        assert!(text.contains("process_open_fds"), "{text}");
    }
}
