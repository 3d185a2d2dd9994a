//! `lockgate filter inspect`: what a module is and needs, and whether it starts.
//!
//! Everything that can be read off the module is told even if it cannot be used. Exit code 0: it can.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::Failure;
use super::scripted::Script;
use super::sections::Sections;
use super::show::{Paint, short, size, time};
use super::subject::{Given, Subject};
use super::watch::{Event, Recorder, lines};
use crate::filters::{Capability, Library, Module};
use crate::metrics::Metrics;

/// A module of more names than this was built without optimisation, or carries its debug information.
const DEBUG_BYTES_MAX: usize = 1 << 20;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The module: a file, or builtin:NAME.
    #[arg(value_name = "FILE.wasm")]
    module: String,
    #[command(flatten)]
    given: Given,
    /// Workers to multiply memory with.
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    workers: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a start was like.
struct Start {
    instantiated_in: Duration,
    callbacks: Vec<(&'static str, Duration)>,
    memory: usize,
    host_calls: usize,
    lines: Vec<String>,
    notes: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let subject = Subject::read(&arguments.module, &arguments.given, &Script::default())?;
    let module = subject.compile().map_err(Failure::Failed)?;
    let sections = Sections::of(&subject.wasm);
    let start = start(&subject, &module);
    let grants = grants(&subject, &module);
    let warnings = warnings(&subject, &module, &sections, start.as_ref().ok());
    let report = Report { subject: &subject, module: &module, sections: &sections, start: &start, grants, warnings };
    if arguments.json {
        say!("{:#}", report.json(arguments.workers));
    } else {
        report.print(arguments.workers);
    }
    match start {
        Ok(_) => Ok(()),
        Err(reason) => Err(Failure::Failed(format!("{} cannot be used: {reason}", subject.origin))),
    }
}

/// Starts one instance as the running proxy does.
fn start(subject: &Subject, module: &Arc<Module>) -> Result<Start, String> {
    let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
    let recorder = Arc::new(Recorder::tracing());
    let library = Library::open(1, None, metrics, Some(recorder.clone()))?;
    let loaded = library.ready(subject.settings.clone(), module.clone()).map_err(|fault| fault.reason)?;
    // The first instance paid for pages nobody had touched; the one after it is what a worker sees.
    let _ = loaded.plugin.take_spare();
    recorder.take();
    let took = loaded.plugin.stock_one()?.unwrap_or_default();
    let mut vm = loaded.plugin.take_spare().ok_or("no instance was kept")?;
    let events = recorder.take();
    let ended = |event: &Event| match event {
        Event::End(callback, _, took) => Some((*callback, *took)),
        _ => None,
    };
    let callbacks: Vec<_> = events.iter().filter_map(ended).collect();
    let inside: Duration = callbacks.iter().map(|(_, took)| *took).sum();
    Ok(Start {
        instantiated_in: took.saturating_sub(inside),
        callbacks,
        memory: vm.state().limiter.memory,
        host_calls: events.iter().filter(|event| matches!(event, Event::Call(_))).count(),
        lines: lines(&events),
        notes: loaded.notes,
    })
}

/// The operator's table, ready to be pasted.
fn grants(subject: &Subject, module: &Module) -> String {
    let name = &subject.settings.name;
    let needs = |capability| module.needs.contains(&capability);
    let mut text = format!("[filter.{name}]\nmodule = {:?}\n", subject.origin);
    let author = &subject.manifest.capabilities;
    // Imports of an SDK's whole interface say nothing; then the author's word counts.
    let silent = module.imports_everything() && !subject.manifest.name.is_empty();
    if needs(Capability::HttpCall) && !(silent && author.http_call.is_empty()) {
        let called = &subject.manifest.capabilities.http_call;
        let named = if called.is_empty() { vec!["NAME".to_owned()] } else { called.clone() };
        let named = named.iter().map(|name| format!("{name:?} = \"http://host:port\""));
        text.push_str(&format!("upstreams = {{ {} }}\n", named.collect::<Vec<_>>().join(", ")));
    }
    let mut granted = Vec::new();
    let asked =
        [(Capability::SharedData, author.shared_data, "shared_data"), (Capability::Queues, author.queues, "queues")];
    for (capability, asks, word) in asked {
        if needs(capability) && (asks || !silent) {
            granted.push(format!("{word} = true"));
        }
    }
    let protected = &subject.manifest.capabilities.protected_headers;
    if !protected.is_empty() {
        granted.push(format!("protected_headers = {protected:?}"));
    }
    if !granted.is_empty() {
        text.push_str(&format!("\n[filter.{name}.capabilities]\n{}\n", granted.join("\n")));
    }
    text
}

fn warnings(subject: &Subject, module: &Module, sections: &Sections, start: Option<&Start>) -> Vec<String> {
    let mut warnings = Vec::new();
    if !module.exports.contains("proxy_on_memory_allocate") {
        warnings
            .push("it exports malloc only, not proxy_on_memory_allocate: newer hosts ask for the latter".to_owned());
    }
    if module.imports_everything() && subject.manifest.name.is_empty() {
        warnings.push(
            "its SDK imports everything, so what it needs is in its filter.toml only, and there is none".to_owned(),
        );
    }
    if sections.debug_bytes + sections.name_bytes > DEBUG_BYTES_MAX {
        let bytes = size((sections.debug_bytes + sections.name_bytes) as u64);
        warnings.push(format!("{bytes} of names and debug information: a debug build? Build for release"));
    }
    if let Some(start) = start {
        if !subject.settings.root_id.is_empty() && start.host_calls == 0 {
            let root_id = &subject.settings.root_id;
            warnings.push(format!("not one host call while it started: is root_id = {root_id:?} right?"));
        }
        warnings.extend(start.notes.clone());
    }
    warnings
}

struct Report<'a> {
    subject: &'a Subject,
    module: &'a Module,
    sections: &'a Sections,
    start: &'a Result<Start, String>,
    grants: String,
    warnings: Vec<String>,
}

impl Report<'_> {
    fn language(&self) -> String {
        self.sections.language(|name| self.module.exports.contains(name))
    }

    /// Imports by what they are for.
    fn imports(&self) -> BTreeMap<&'static str, Vec<&str>> {
        let mut groups: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
        for import in &self.module.imports {
            let (room, name) = import.split_once('.').unwrap_or(("", import));
            groups.entry(group(room, name)).or_default().push(name.strip_prefix("proxy_").unwrap_or(name));
        }
        groups
    }

    /// The callbacks this host makes; SDKs export those of TCP and gRPC as well.
    fn phases(&self) -> Vec<&str> {
        let callbacks = self.module.exports.iter().filter(|name| name.starts_with("proxy_on_"));
        let elsewhere = |name: &str| {
            let parts = ["memory_allocate", "stream_data", "connection", "grpc", "foreign_function"];
            parts.iter().any(|part| name.contains(part)) || name.ends_with("_data")
        };
        callbacks.map(|name| short(name)).filter(|name| !elsewhere(name)).collect()
    }

    fn json(&self, workers: u32) -> serde_json::Value {
        let Module { hash, abi, imports, exports, memory, size, compiled_in, .. } = self.module;
        let microseconds = |took: &Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let start = match self.start {
            Ok(start) => json!({
                "ok": true,
                "instantiated_us": microseconds(&start.instantiated_in),
                "callbacks_us": start.callbacks.iter().map(|(name, took)| (short(name), microseconds(took)))
                    .collect::<BTreeMap<_, _>>(),
                "memory_bytes": start.memory,
                "memory_bytes_of_all_workers": start.memory * workers as usize * 2,
                "log": start.lines,
            }),
            Err(reason) => json!({"ok": false, "reason": reason}),
        };
        json!({
            "module": self.subject.origin, "name": self.subject.settings.name, "sha256": hash, "bytes": size,
            "abi": abi.as_str(), "language": self.language(),
            "producers": self.sections.producers, "target_features": self.sections.features,
            "imports": imports, "exports": exports,
            "needs": self.module.needs.iter().map(|need| need.word()).collect::<Vec<_>>(),
            "phases": self.phases(),
            "memory": {"initial_bytes": memory.0, "maximum_bytes": memory.1},
            "compile_us": microseconds(compiled_in), "start": start,
            "workers": workers, "grants_toml": self.grants, "warnings": self.warnings,
        })
    }

    fn print(&self, workers: u32) {
        let paint = Paint::new();
        let module = self.module;
        let row = |name: &str, value: &str| say!("{name:<11} {value}");
        row("module", &format!("{} ({})", self.subject.origin, size(module.size as u64)));
        row("sha256", &module.hash);
        row("abi", &format!("proxy-wasm {}", module.abi.as_str()));
        row("made with", &self.language());
        if self.sections.features.iter().any(|feature| feature == "simd128") {
            row("", "(with SIMD)");
        }
        row("phases", &self.phases().join(", "));
        for (at, (group, names)) in self.imports().iter().enumerate() {
            row(if at == 0 { "imports" } else { "" }, &format!("{group}: {}", names.join(", ")));
        }
        let maximum = module.memory.1.map_or_else(|| "its limit".to_owned(), size);
        row("memory", &format!("begins with {}, may grow to {maximum}", size(module.memory.0)));
        row("compiled", &format!("in {}", time(module.compiled_in)));
        match self.start {
            Ok(start) => {
                let callbacks = start.callbacks.iter().map(|(name, took)| format!("{} {}", short(name), time(*took)));
                let callbacks: Vec<String> = callbacks.collect();
                row("started", &format!("in {}, then {}", time(start.instantiated_in), callbacks.join(", ")));
                let all = start.memory as u64 * u64::from(workers) * 2;
                let memory = size(start.memory as u64);
                row("", &format!("with {memory} of memory: {} for {workers} workers and as many spares", size(all)));
                for line in &start.lines {
                    row("", &format!("it said {line}"));
                }
            }
            Err(reason) => row("started", &paint.verdict(false, &format!("not: {reason}"))),
        }
        for (at, warning) in self.warnings.iter().enumerate() {
            row(if at == 0 { "warnings" } else { "" }, warning);
        }
        say!("\nWhat the operator writes:\n");
        say_bare!("{}", self.grants);
    }
}

/// What an import is for.
fn group(room: &str, name: &str) -> &'static str {
    if room != "env" {
        return "wasi";
    }
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["http_call", "grpc"]) {
        "http_call (needs upstreams)"
    } else if has(&["shared_data"]) {
        "shared_data (needs a grant)"
    } else if has(&["queue"]) {
        "queues (needs a grant)"
    } else if has(&["local_response"]) {
        "local_response"
    } else if has(&["header_map"]) {
        "headers"
    } else if has(&["buffer", "configuration"]) {
        "bodies, configuration"
    } else if has(&["metric"]) {
        "metrics"
    } else if has(&["property"]) {
        "properties"
    } else if has(&["foreign"]) {
        "foreign_functions"
    } else {
        "base"
    }
}
