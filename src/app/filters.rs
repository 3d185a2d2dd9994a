//! From the `[filter.NAME]` tables to filters that serve: manifests, grants, the built-in translation.
//!
//! ```text
//!   [filter.NAME] + filter.toml ─▶ Settings ─▶ Library::load ─▶ Plugin ─┬▶ chains of the apps
//!   all apps' URLs ─▶ configuration of the two translations ─────────────┘
//! ```
//!
//! All or nothing: one filter that cannot be used refuses the whole configuration, and what served
//! before goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::filter_settings::{HEADER_TRANSLATION, LINK_TRANSLATION, settings};
use crate::config::{AppSettings, Compression, EdgeConfig, FilterSettings, ModuleSource};
use crate::filters::{Chain, Levels, Library, Loaded, Plugin, Settings, Source};
use crate::metrics::Metrics;

/// One callback of link translation. When an address shows up late in a page, all that was passed on
/// unread so far, at most 1 MiB, is parsed at once: 12 ms here, and the deadline is wall time.
const TRANSLATION_DEADLINE: Duration = Duration::from_millis(250);

/// The filters of an edge.
pub struct Filters {
    library: Library,
    metrics: Arc<Metrics>,
    serving: Mutex<Serving>,
    /// Filters whose module was handed in; what the configuration names is not what serves.
    uploaded: Mutex<BTreeSet<String>>,
}

/// Filters by name.
pub type Serving = BTreeMap<String, Arc<Plugin>>;

impl Filters {
    /// Filters for `workers` workers, whose compiled code is kept below `data_dir`.
    ///
    /// # Errors
    /// This machine cannot run WebAssembly.
    pub fn open(data_dir: &Path, workers: usize, metrics: Arc<Metrics>) -> Result<Self, String> {
        let library = Library::open(workers, Some(data_dir.join("filters")), metrics.clone(), None)?;
        Ok(Self { library, metrics, serving: Mutex::default(), uploaded: Mutex::default() })
    }

    /// Makes every filter of `config` ready. Blocks for as long as compiling takes: office only.
    ///
    /// # Errors
    /// Everything that is wrong, a line each.
    pub fn load(&self, config: &EdgeConfig) -> Result<Serving, Vec<String>> {
        let serving: Vec<Arc<Plugin>> = self.serving().values().cloned().collect();
        let (mut loaded, mut faults) = (Serving::new(), Vec::new());
        for (settings, source) in wanted(config, &mut faults) {
            let name = settings.name.clone();
            match self.library.load(settings, &source, &serving) {
                Ok(ready) => {
                    for note in ready.notes {
                        tracing::warn!(filter = name, "{note}");
                    }
                    loaded.insert(name, ready.plugin);
                }
                Err(fault) => faults.push(format!("filter {}: {}", fault.filter, fault.reason)),
            }
        }
        if faults.is_empty() {
            return Ok(loaded);
        }
        // What was made ready in vain goes again.
        for plugin in loaded.values().filter(|plugin| !serving.iter().any(|other| Arc::ptr_eq(other, plugin))) {
            plugin.retire();
        }
        Err(faults)
    }

    /// Makes the filter `name` of `config` ready with another module, and leaves the others as they
    /// are. Blocks like [`Self::load`].
    ///
    /// # Errors
    /// Why the module cannot be used.
    pub fn load_one(&self, config: &EdgeConfig, name: &str, wasm: Bytes) -> Result<(Serving, Loaded), Vec<String>> {
        let mut faults = Vec::new();
        let found = wanted(config, &mut faults).into_iter().find(|(settings, _)| settings.name == name);
        let Some((settings, _)) = found else {
            if faults.is_empty() {
                faults.push(format!("filter {name}: no such filter is configured"));
            }
            return Err(faults);
        };
        let mut all = self.serving();
        let serving: Vec<Arc<Plugin>> = all.values().cloned().collect();
        let loaded = self.library.load(settings, &Source::Bytes(wasm), &serving);
        let loaded = loaded.map_err(|fault| vec![format!("filter {}: {}", fault.filter, fault.reason)])?;
        all.insert(name.to_owned(), loaded.plugin.clone());
        Ok((all, loaded))
    }

    /// Puts `loaded` in force, in which `name` has a module that was handed in.
    pub fn publish_upload(&self, loaded: Serving, name: &str) {
        let uploaded = self.uploaded.lock().map(|mut uploaded| std::mem::take(&mut *uploaded)).unwrap_or_default();
        self.publish(loaded);
        if let Ok(mut now) = self.uploaded.lock() {
            *now = uploaded;
            now.insert(name.to_owned());
        }
    }

    /// Whether the module of `name` was handed in.
    #[must_use]
    pub fn is_uploaded(&self, name: &str) -> bool {
        self.uploaded.lock().is_ok_and(|uploaded| uploaded.contains(name))
    }

    /// Puts `loaded` in force; what it replaces ends when its last request has. Modules that were
    /// handed in are no longer.
    pub fn publish(&self, loaded: Serving) {
        for name in self.uploaded.lock().map(|mut uploaded| std::mem::take(&mut *uploaded)).unwrap_or_default() {
            let now = loaded.get(&name);
            if now.is_some_and(|now| self.serving().get(&name).is_none_or(|was| was.module.hash != now.module.hash)) {
                tracing::warn!(filter = name, "the uploaded module gave way to the one of the configuration");
            }
        }
        let Ok(mut serving) = self.serving.lock() else { return };
        for (name, plugin) in serving.iter() {
            match loaded.get(name) {
                Some(other) if Arc::ptr_eq(other, plugin) => {}
                Some(_) => plugin.retire(),
                None => {
                    plugin.retire();
                    self.metrics.custom.remove(name);
                }
            }
        }
        *serving = loaded;
    }

    /// The filters in force.
    #[must_use]
    pub fn serving(&self) -> Serving {
        self.serving.lock().map(|serving| serving.clone()).unwrap_or_default()
    }
}

impl Drop for Filters {
    /// Spares hold their plugins, and plugins their spares.
    fn drop(&mut self) {
        self.publish(Serving::new());
    }
}

/// The chain of `app`: the operator's filters, and behind them the translations, so that they see
/// the outside's URLs on both ways.
#[must_use]
pub fn chain(app: &AppSettings, loaded: &Serving, compression: &Compression) -> Chain {
    let names = app.filters.iter().map(String::as_str).chain(translations(app));
    let &Compression { gzip, brotli, zstd } = compression;
    // The configuration has bounds far below these.
    let level = |setting: usize| u8::try_from(setting).unwrap_or(u8::MAX);
    let levels = Levels { deflate: level(gzip), brotli: level(brotli), zstd: level(zstd) };
    Chain::new(names.filter_map(|name| loaded.get(name).cloned()).collect()).with_levels(levels)
}

/// Whether `filter` is in the chain of `app`.
#[must_use]
pub fn uses(app: &AppSettings, filter: &str) -> bool {
    app.filters.iter().map(String::as_str).chain(translations(app)).any(|name| name == filter)
}

/// The translations that are put behind the operator's filters; one that the operator has placed is not.
fn translations(app: &AppSettings) -> Vec<&'static str> {
    let all = [(LINK_TRANSLATION, app.translate_urls_in_body), (HEADER_TRANSLATION, app.translate_urls_in_headers)];
    let wanted = all.into_iter().filter(|(name, wanted)| *wanted && !app.filters.iter().any(|other| other == name));
    wanted.map(|(name, _)| name).collect()
}

/// Every filter that has to be there.
fn wanted(config: &EdgeConfig, faults: &mut Vec<String>) -> Vec<(Settings, Source)> {
    let mut wanted = Vec::new();
    for (name, filter) in &config.filters {
        match settings(name, filter, config) {
            Ok(found) => wanted.push(found),
            Err(more) => faults.extend(more),
        }
    }
    let implied = [HEADER_TRANSLATION, LINK_TRANSLATION].into_iter().filter(|name| {
        !config.filters.contains_key(*name) && config.apps.iter().any(|app| translations(app).contains(name))
    });
    for name in implied {
        let mut builtin = FilterSettings::new(ModuleSource::Builtin(name.to_owned()));
        if name == LINK_TRANSLATION {
            builtin.limits.body_deadline = TRANSLATION_DEADLINE;
        }
        match settings(name, &builtin, config) {
            Ok(found) => wanted.push(found),
            Err(more) => faults.extend(more),
        }
    }
    wanted
}
