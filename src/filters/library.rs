//! The office's side of filters: reads, compiles, tries out and stocks them before a worker sees them.
//!
//! ```text
//!   settings ─▶ unchanged? the plugin that serves
//!        └────▶ read ─▶ compile | cache ─▶ link ─▶ canary (its lines are told) ─▶ stock ─▶ Plugin
//! ```
//!
//! It refuses half a change: either every filter of a configuration is ready or none is replaced.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::commons::Registry;
use super::engine::Engine;
use super::module::{Capability, Module};
use super::observe::{Level, Lines, Observer};
use super::plugin::{BodyMode, Plugin, Settings};
use super::vm::Vm;
use crate::metrics::Metrics;

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Bytes that are part of this binary, or of a test.
    Bytes(Bytes),
}

/// A filter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub filter: String,
    /// Why, for the operator.
    pub reason: String,
}

/// A filter that can.
pub struct Loaded {
    /// The filter.
    pub plugin: Arc<Plugin>,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// What its canary said, at every level; nothing if it was serving already.
    pub said: Vec<(Level, String)>,
}

/// Loads filters.
pub struct Library {
    engine: Arc<Engine>,
    cache: Option<PathBuf>,
    metrics: Arc<Metrics>,
    commons: Registry,
    workers: usize,
    generations: Mutex<HashMap<String, u64>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Library {
    /// A library for `workers` workers; compiled code is kept in `cache`.
    ///
    /// # Errors
    /// This machine cannot run WebAssembly.
    pub fn open(
        workers: usize,
        cache: Option<PathBuf>,
        metrics: Arc<Metrics>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, String> {
        let engine = Engine::shared()?;
        Ok(Self {
            engine,
            cache,
            metrics,
            commons: Registry::default(),
            workers,
            generations: Mutex::default(),
            observer,
        })
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Makes a filter ready. Blocks, for seconds if it has to be compiled: office only.
    ///
    /// `serving` are the plugins in force; one whose module and settings are the same is kept.
    ///
    /// # Errors
    /// Why it cannot be used, with what it said itself.
    pub fn load(&self, settings: Settings, source: &Source, serving: &[Arc<Plugin>]) -> Result<Loaded, Fault> {
        let name = settings.name.clone();
        let fault = |reason: String| Fault { filter: name.clone(), reason };
        let wasm = read(source).map_err(&fault)?;
        let hash = Module::hash_of(&wasm);
        let mut same_module = serving.iter().filter(|plugin| plugin.module.hash == hash);
        if let Some(plugin) = same_module.clone().find(|plugin| plugin.settings == settings) {
            return Ok(Loaded { plugin: plugin.clone(), notes: Vec::new(), said: Vec::new() });
        }
        let module = match same_module.next() {
            Some(plugin) => plugin.module.clone(),
            None => {
                let module = Module::load(&self.engine, &wasm, self.cache.as_deref().map(Path::new)).map_err(&fault)?;
                Arc::new(module)
            }
        };
        self.ready(settings, module)
    }

    /// Makes a filter of a module that is compiled already ready. Blocks while it starts: office only.
    ///
    /// # Errors
    /// Why it cannot be used, with what it said itself.
    pub fn ready(&self, settings: Settings, module: Arc<Module>) -> Result<Loaded, Fault> {
        let name = settings.name.clone();
        let fault = |reason: String| Fault { filter: name.clone(), reason };
        let instance = module.link(&self.engine).map_err(&fault)?;
        let metrics = self.metrics.filter(&settings.name);
        metrics.compile_seconds.set(module.compiled_in.as_secs_f64());
        let generation = self.next_generation(&settings.name);
        let commons = self.commons.of(&settings.name);
        let mut notes = notes(&settings, &module);
        let plugin = Arc::new(Plugin::new(
            settings,
            (module, instance),
            generation,
            (metrics, self.metrics.custom.clone()),
            commons,
            (self.workers, self.observer.clone()),
        ));
        let said = try_out(&plugin).map_err(&fault)?;
        while plugin.stock_one().map_err(&fault)?.is_some() {}
        plugin.metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        notes.extend(told(&said, Level::Warn));
        Ok(Loaded { plugin, notes, said })
    }

    fn next_generation(&self, filter: &str) -> u64 {
        let Ok(mut generations) = self.generations.lock() else { return 1 };
        let generation = generations.entry(filter.to_owned()).or_insert(0);
        *generation += 1;
        *generation
    }
}

fn read(source: &Source) -> Result<Bytes, String> {
    match source {
        Source::Bytes(bytes) => Ok(bytes.clone()),
        Source::File(path) => {
            let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Bytes::from(read))
        }
    }
}

/// Starts and configures an instance and throws it away (ABI, 8); what it said.
fn try_out(plugin: &Arc<Plugin>) -> Result<Vec<(Level, String)>, String> {
    let lines = Arc::new(Lines::default());
    let started = Vm::start(plugin, Some(lines.clone()));
    match started {
        Ok(_) => Ok(lines.take()),
        Err(reason) => Err([vec![reason], told(&lines.take(), Level::Trace)].concat().join("; ")),
    }
}

/// The lines from a level on, as they are told to the operator.
fn told(said: &[(Level, String)], from: Level) -> Vec<String> {
    let lines = said.iter().filter(|(level, _)| *level >= from);
    lines.map(|(level, text)| format!("it said ({}): {text}", level.word())).collect()
}

/// What looks wrong though it works.
fn notes(settings: &Settings, module: &Module) -> Vec<String> {
    let mut notes = Vec::new();
    let is_oversight = settings.bodies == [BodyMode::Off; 2] && !settings.bodies_chosen;
    if module.needs.contains(&Capability::BodyWrite) && is_oversight {
        notes.push(
            "it can change bodies (imports proxy_set_buffer_bytes) and gets none: request_body and response_body \
             are \"none\""
                .to_owned(),
        );
    }
    notes
}
