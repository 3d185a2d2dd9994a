//! What the edge says of its filters: in `/status`, and to the person at the terminal of `up`.
//!
//! Counts are read where they are kept; nothing here waits for a worker.

use std::time::UNIX_EPOCH;

use serde::Serialize;

use super::filters::uses;
use crate::config::AppSettings;
use crate::filters::{BodyMode, Plugin};

/// One filter in force.
#[derive(Debug, Serialize)]
pub struct FilterReport {
    /// Its name in the configuration.
    pub filter: String,
    /// Grows with every change of it.
    pub generation: u64,
    /// SHA-256 of the module.
    pub hash: String,
    /// Version of Proxy-Wasm.
    pub abi: &'static str,
    /// Bytes of the module.
    pub size: usize,
    /// Whether the module was handed in and not named by the configuration.
    pub uploaded: bool,
    /// Apps that use it.
    pub apps: Vec<String>,
    /// VMs, with spares.
    pub instances: i64,
    /// VMs that are started and wait.
    pub spares: i64,
    /// Linear memory of all VMs.
    pub memory_bytes: i64,
    /// `serving`, or `backing-off` while no VM is started because the last did not start.
    pub state: &'static str,
    /// The last failure of this generation.
    pub last_error: Option<String>,
    /// When that was, in seconds since 1970.
    pub last_error_at: Option<u64>,
    /// How it sees bodies of requests.
    pub request_body: &'static str,
    /// How it sees bodies of responses.
    pub response_body: &'static str,
    /// Whether requests pass without it when it fails.
    pub fail_open: bool,
}

impl FilterReport {
    pub(super) fn of(plugin: &Plugin, apps: &[AppSettings], uploaded: bool) -> Self {
        let (module, settings) = (&plugin.module, &plugin.settings);
        let failure = plugin.health.last_failure();
        let at = failure.as_ref().and_then(|(at, _)| Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs()));
        Self {
            filter: settings.name.clone(),
            generation: plugin.generation,
            hash: module.hash.clone(),
            abi: module.abi.as_str(),
            size: module.size,
            uploaded,
            apps: apps.iter().filter(|app| uses(app, &settings.name)).map(|app| app.name.clone()).collect(),
            instances: plugin.metrics.instances.get(),
            spares: plugin.spare_count(),
            memory_bytes: plugin.metrics.memory.get(),
            state: if plugin.health.is_resting() { "backing-off" } else { "serving" },
            last_error: failure.map(|(_, reason)| reason),
            last_error_at: at,
            request_body: word(settings.bodies[0]),
            response_body: word(settings.bodies[1]),
            fail_open: settings.fail_open,
        }
    }
}

const fn word(mode: BodyMode) -> &'static str {
    match mode {
        BodyMode::Off => "none",
        BodyMode::Stream => "stream",
        BodyMode::Buffer => "buffer",
        BodyMode::Decoded => "decoded",
    }
}
