//! The filter a tool is about: its module, what its author says of it, what the operator says.
//!
//! ```text
//!   FILE.wasm, filter.toml, --settings, --config ─▶ Subject ─▶ Settings as in the running proxy
//! ```
//!
//! Without `--settings` it is granted what it asks for: nobody else's data is here. With them it is
//! granted what they grant, as in the running proxy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;

use super::super::Failure;
use super::scripted::Script;
use crate::app::{manifest_of, together, upstream_spec};
use crate::config::{FilterSettings, Manifest, ModuleSource, Upstream, parse_edge, parse_manifest};
use crate::filters::{Builtin, Engine, Module, Settings};

/// The name of an upstream that stands for those nobody has named.
const NO_UPSTREAM: &str = "-";

/// How much longer than set a callback may take where time is not what is tried.
const DEADLINE_FACTOR: u32 = 10;

/// Which filter, and how it is set up.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Given {
    /// What the filter reads as its configuration: JSON or any text as it is, .toml as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The operator's table, as in lockgate.toml: with [filter.NAME] or what stands below it. Without it, the filter is
    /// granted what it asks for.
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<PathBuf>,
    /// The author's filter.toml, if it lies neither beside the module nor beside the `target` it was built into.
    #[arg(long, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
}

/// The same with the upstreams of `proxy_http_call`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct GivenUpstreams {
    /// What an upstream answers when the filter calls it: a file with a response, or `timeout`.
    #[arg(long = "upstream", value_name = "NAME=FILE|timeout")]
    pub(super) upstreams: Vec<String>,
}

impl GivenUpstreams {
    pub(super) fn script(&self) -> Result<Script, Failure> {
        Script::read(&self.upstreams).map_err(Failure::Failed)
    }
}

/// A filter to be tried.
#[derive(Clone)]
pub(super) struct Subject {
    /// `FILE.wasm` or `builtin:NAME`, as it was written.
    pub(super) origin: String,
    pub(super) wasm: Bytes,
    pub(super) manifest: Manifest,
    pub(super) settings: Settings,
    /// The operator has said what is granted.
    pub(super) granted: bool,
}

impl Subject {
    /// Reads everything about the module `origin`. `upstreams` are those a script answers for.
    pub(super) fn read(origin: &str, given: &Given, upstreams: &Script) -> Result<Self, Failure> {
        let (wasm, manifest) = module(origin, given.manifest.as_deref())?;
        let source = match origin.strip_prefix("builtin:") {
            Some(name) => ModuleSource::Builtin(name.to_owned()),
            None => ModuleSource::File(origin.into()),
        };
        let name = if manifest.name.is_empty() { name_of(origin) } else { manifest.name.clone() };
        let own = match &given.settings {
            Some(file) => operator(file, &name, origin)?,
            None => FilterSettings::new(source),
        };
        let nothing = parse_edge(Path::new("lockgate.toml"), "").map_err(refused)?;
        let mut settings = together(&name, &own, &manifest, &nothing);
        if let Some(file) = &given.config {
            settings.configuration = configuration(file).map_err(Failure::Failed)?;
        }
        let granted = given.settings.is_some();
        if !granted {
            grant(&mut settings, &manifest, upstreams);
        }
        Ok(Self { origin: origin.to_owned(), wasm, manifest, settings, granted })
    }

    /// Gives every callback ten times the time it is set: a tool must not fail because the machine is busy.
    pub(super) fn be_patient(&mut self) {
        let limits = &mut self.settings.limits;
        for deadline in [&mut limits.header_deadline, &mut limits.body_deadline, &mut limits.start_deadline] {
            *deadline *= DEADLINE_FACTOR;
        }
    }

    /// Compiles the module.
    pub(super) fn compile(&self) -> Result<Arc<Module>, String> {
        let engine = Engine::shared()?;
        let compiled = Module::load(&engine, &self.wasm, None);
        compiled.map(Arc::new).map_err(|reason| format!("{}: {reason}", self.origin))
    }
}

fn refused(faults: Vec<crate::config::ConfigError>) -> Failure {
    Failure::Refused(faults.iter().map(ToString::to_string).collect())
}

/// The module's bytes and its author's words.
fn module(origin: &str, manifest: Option<&Path>) -> Result<(Bytes, Manifest), Failure> {
    let read = |file: &Path| {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::Refused(vec![format!("{}: {error}", file.display())]))?;
        parse_manifest(file, &text).map_err(refused)
    };
    if let Some(name) = origin.strip_prefix("builtin:") {
        let found = Builtin::find(name).ok_or_else(|| Failure::Failed(format!("there is no {origin}")))?;
        let author = match manifest {
            Some(file) => read(file)?,
            None => parse_manifest(Path::new("filter.toml"), found.manifest).map_err(refused)?,
        };
        return Ok((Bytes::from_static(found.wasm), author));
    }
    let wasm = std::fs::read(origin).map_err(|error| Failure::Failed(format!("{origin}: {error}")))?;
    let author = match manifest {
        Some(file) => read(file)?,
        None => manifest_of(Path::new(origin)).map_err(Failure::Refused)?,
    };
    Ok((Bytes::from(wasm), author))
}

/// A name for a module without a manifest: of the characters a filter's name may have.
fn name_of(origin: &str) -> String {
    let stem = Path::new(origin).file_stem().and_then(|stem| stem.to_str()).unwrap_or("filter");
    let name: String = stem
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    name.trim_matches('-').to_owned()
}

/// The operator's table in `file`, checked as the running proxy checks it.
fn operator(file: &Path, name: &str, origin: &str) -> Result<FilterSettings, Failure> {
    let place = |error: String| Failure::Refused(vec![format!("{}: {error}", file.display())]);
    let text = std::fs::read_to_string(file).map_err(|error| place(error.to_string()))?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| place(error.to_string()))?;
    if let Some(toml::Value::Table(mut filters)) = table.remove("filter") {
        let chosen = if filters.len() == 1 { filters.keys().next().cloned() } else { Some(name.to_owned()) };
        let chosen = chosen.and_then(|chosen| filters.remove(&chosen));
        let Some(toml::Value::Table(chosen)) = chosen else {
            return Err(place(format!("it has several filters and no [filter.{name}]")));
        };
        table = chosen;
    }
    table.entry("module").or_insert_with(|| toml::Value::String(origin.to_owned()));
    let whole = toml::Table::from_iter([(
        "filter".to_owned(),
        toml::Value::Table(toml::Table::from_iter([(name.to_owned(), toml::Value::Table(table))])),
    )]);
    let whole = toml::to_string(&whole).map_err(|error| place(error.to_string()))?;
    let mut config = parse_edge(file, &whole).map_err(|faults| {
        // Line and column would be those of a text nobody has seen.
        let faults = faults.iter().map(ToString::to_string);
        let place = |fault: String| match fault.splitn(4, ':').nth(3) {
            Some(said) => format!("{}:{said}", file.display()),
            None => fault,
        };
        Failure::Refused(faults.map(place).collect())
    })?;
    config.filters.remove(name).ok_or_else(|| place("it is empty".into()))
}

/// What a filter reads as its configuration.
pub(super) fn configuration(file: &Path) -> Result<Bytes, String> {
    let fault = |error: String| format!("{}: {error}", file.display());
    let bytes = std::fs::read(file).map_err(|error| fault(error.to_string()))?;
    if file.extension().is_none_or(|extension| extension != "toml") {
        return Ok(Bytes::from(bytes));
    }
    let text = String::from_utf8(bytes).map_err(|error| fault(error.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    serde_json::to_vec(&table).map(Bytes::from).map_err(|error| fault(error.to_string()))
}

/// Grants what the filter asks for.
pub(super) fn grant(settings: &mut Settings, manifest: &Manifest, script: &Script) {
    settings.grants.shared_data = true;
    settings.grants.queues = true;
    settings.grants.local_response = true;
    let protected = manifest.capabilities.protected_headers.iter();
    let protected = protected.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    settings.grants.protected_headers.extend(protected);
    let named = script.answers.keys().chain(&manifest.capabilities.http_call).cloned();
    for name in named.chain([NO_UPSTREAM.to_owned()]) {
        // It is never dialled: the script answers, or says that it cannot be reached.
        let spec = upstream_spec(&Upstream { https: false, host: "upstream.invalid".to_owned(), port: 80 });
        settings.upstreams.entry(name).or_insert(spec);
    }
}
