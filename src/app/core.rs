//! The edge's state that outlives a configuration: what reload, upload, report and drain share.
//!
//! ```text
//!   configuration ─▶ load filters ─▶ build ─┬▶ rooms, TLS, pushes swapped together ─▶ generation + 1
//!   uploaded module ─▶ load that filter ─▶ build ┘
//! ```
//!
//! One change at a time, and all of it or nothing: it refuses to leave filters and rooms of two
//! generations in force.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::server::ProducesTickets;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::filter_report::FilterReport;
use super::filters::{Filters, Serving};
use super::snapshot::{self, Snapshot};
use crate::config::{AppSettings, EdgeConfig};
use crate::control::admin::{Refusal, Replaced};
use crate::control::ca::Authority;
use crate::control::store::Store;
use crate::edge::PublicTls;
use crate::exchange::Rooms;
use crate::filters::Loaded;
use crate::metrics::Metrics;
use crate::tunnel::control::Pushes;
use crate::tunnel::fleet::{LinkReport, Mail};

/// How long a question to a worker's fleet may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// What `last_reload_error` begins with when no configuration but an uploaded module was refused.
const UPLOAD: &str = "uploaded module: ";

/// What reload, report and drain share.
pub(super) struct Core {
    pub(super) rooms: Arc<ArcSwap<Rooms>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Store,
    pub(super) fleets: Vec<mpsc::Sender<Mail>>,
    pub(super) config: Mutex<EdgeConfig>,
    pub(super) last_reload_error: Mutex<Option<String>>,
    pub(super) authority: Arc<Authority>,
    pub(super) filters: Arc<Filters>,
    pub(super) tls: Arc<ArcSwap<PublicTls>>,
    pub(super) pushes: watch::Sender<Pushes>,
    pub(super) generation: AtomicU64,
    /// Held while a change is made: there is one at a time.
    pub(super) changing: Mutex<()>,
    pub(super) ticketer: Arc<dyn ProducesTickets>,
}

impl Core {
    pub(super) fn reload(&self, config: EdgeConfig) -> Result<u64, Vec<String>> {
        let _alone = self.changing.lock();
        let refused = |faults: &Vec<String>| self.refuse_reload(faults);
        let loaded = self.filters.load(&config).inspect_err(refused)?;
        let (generation, built) = self.build(&config, &loaded).inspect_err(refused)?;
        self.swap(generation, built, Some(config), || self.filters.publish(loaded));
        self.metrics.reloads.with_label_values(&["ok"]).inc();
        tracing::info!(generation, "configuration reloaded");
        Ok(generation)
    }

    pub(super) fn refuse_reload(&self, faults: &[String]) {
        for fault in faults {
            tracing::error!(fault, "configuration refused; the old one stays in force");
        }
        self.note_refusal(faults);
    }

    fn note_refusal(&self, faults: &[String]) {
        self.metrics.reloads.with_label_values(&["refused"]).inc();
        if let Ok(mut last) = self.last_reload_error.lock() {
            *last = Some(faults.join("\n"));
        }
    }

    /// Puts another module in the place of a configured filter's, until the next reload.
    pub(super) fn replace_filter(&self, name: &str, wasm: Bytes) -> Result<Replaced, Refusal> {
        let _alone = self.changing.lock();
        let began = Instant::now();
        let config = self.config.lock().map(|config| config.clone()).unwrap_or_default();
        let serving = self.filters.serving();
        let Some(before) = serving.get(name) else {
            let known: Vec<&str> = serving.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refusal::Unknown(format!("no filter {name} is configured; there is: {known}")));
        };
        let refused = |faults: Vec<String>| {
            let reason = faults.join("\n");
            tracing::error!(filter = name, reason, "an uploaded module was refused; the old one serves on");
            self.note_refusal(&[format!("{UPLOAD}{reason}")]);
            Refusal::Unusable { reason, generation: before.generation }
        };
        let (all, loaded) = self.filters.load_one(&config, name, wasm).map_err(refused)?;
        let unchanged = Arc::ptr_eq(&loaded.plugin, before);
        let (generation, built) = self.build(&config, &all).map_err(|faults| {
            if !unchanged {
                loaded.plugin.retire();
            }
            refused(faults)
        })?;
        self.swap(generation, built, None, || self.filters.publish_upload(all, name));
        let filter_generation = loaded.plugin.generation;
        tracing::info!(
            filter = name,
            generation = filter_generation,
            hash = loaded.plugin.module.hash,
            "module uploaded"
        );
        Ok(steps(name, &loaded, unchanged, began.elapsed()))
    }

    fn build(&self, config: &EdgeConfig, filters: &Serving) -> Result<(u64, Snapshot), Vec<String>> {
        let generation = self.generation.load(Ordering::Acquire) + 1;
        let built = snapshot::build(config, filters, generation, &self.ticketer)?;
        Ok((generation, built))
    }

    /// Everything at once; `config` is there if it is another.
    fn swap(&self, generation: u64, built: Snapshot, config: Option<EdgeConfig>, publish: impl FnOnce()) {
        let reloads = config.is_some();
        if let Ok(mut current) = self.config.lock() {
            if let Some(config) = &config {
                warn_of_restart(&current, config);
            }
            self.rooms.store(Arc::new(built.rooms));
            self.tls.store(Arc::new(built.tls));
            self.pushes.send_replace(built.pushes);
            publish();
            self.generation.store(generation, Ordering::Release);
            if let Some(config) = config {
                *current = config;
            }
        }
        self.metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        if let Ok(mut last) = self.last_reload_error.lock()
            && (reloads || last.as_ref().is_some_and(|last| last.starts_with(UPLOAD)))
        {
            *last = None;
        }
    }

    /// The filters in force, by name.
    pub(super) fn filter_reports(&self) -> Vec<FilterReport> {
        let apps = self.config.lock().map(|config| config.apps.clone()).unwrap_or_default();
        let serving = self.filters.serving();
        let reports = serving.iter();
        reports.map(|(name, plugin)| FilterReport::of(plugin, &apps, self.filters.is_uploaded(name))).collect()
    }

    pub(super) async fn links(&self) -> Vec<LinkReport> {
        let mut links = Vec::new();
        for fleet in &self.fleets {
            let (answer, answered) = tokio::sync::oneshot::channel();
            if fleet.try_send(Mail::Report(answer)).is_ok()
                && let Ok(Ok(report)) = tokio::time::timeout(REPORT_PATIENCE, answered).await
            {
                links.extend(report);
            }
        }
        links
    }
}

/// What became of an upload, in the order in which it was done.
fn steps(name: &str, loaded: &Loaded, unchanged: bool, took: Duration) -> Replaced {
    let (plugin, module) = (&loaded.plugin, &loaded.plugin.module);
    let canary: Vec<_> = loaded.said.iter().map(|(level, text)| json!({"level": level.word(), "text": text})).collect();
    let compile = if unchanged { 0.0 } else { milliseconds(module.compiled_in) };
    Replaced(json!({
        "filter": name,
        "unchanged": unchanged,
        "hash": module.hash,
        "size": module.size,
        "abi": module.abi.as_str(),
        "capabilities": module.needs.iter().map(|need| need.word()).collect::<Vec<_>>(),
        "compile_ms": compile,
        "canary": canary,
        "notes": loaded.notes,
        "generation": plugin.generation,
        "total_ms": milliseconds(took),
        "until": "the next restart or reload of the configuration",
    }))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

/// What a reload cannot change is said, not silently ignored.
fn warn_of_restart(old: &EdgeConfig, new: &EdgeConfig) {
    let fixed = |config: &EdgeConfig| EdgeConfig {
        apps: Vec::<AppSettings>::new(),
        filters: BTreeMap::new(),
        certificates: Vec::new(),
        trusted_proxies: Vec::new(),
        public_address: None,
        grace_period: Duration::ZERO,
        ..config.clone()
    };
    if fixed(old) != fixed(new) {
        tracing::warn!("data_dir, workers, listen, log and limits change only at a restart; the rest is in force now");
    }
}
