//! What a filter may do and use: the operator's `[filter.NAME]` and the author's `filter.toml` together.
//!
//! The author may ask and tighten, never widen; what is asked for and not granted refuses the filter.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::HeaderName;

use super::translation;
use crate::backend::{Protocol, TargetSpec, Verify};
use crate::config::{self, EdgeConfig, FilterSettings, Manifest, ManifestCapabilities, ModuleSource, parse_manifest};
use crate::filters::{BodyMode, Builtin, FilterLimits, Grants, HeaderBytes, Isolation, Level, Settings, Source};

/// The filter that translates URLs in headers; an operator's filter of this name takes its place.
pub(super) const HEADER_TRANSLATION: &str = "header-translation";

/// The filter that translates URLs in bodies; an operator's filter of this name takes its place.
pub(super) const LINK_TRANSLATION: &str = "link-translation";

/// Where the module is, and what the operator and the author say together.
pub(super) fn settings(
    name: &str,
    filter: &FilterSettings,
    config: &EdgeConfig,
) -> Result<(Settings, Source), Vec<String>> {
    let (source, manifest) = match &filter.module {
        ModuleSource::File(path) => (Source::File(path.clone()), manifest_of(path)?),
        ModuleSource::Builtin(builtin) => {
            let found = Builtin::find(builtin).ok_or_else(|| vec![format!("filter {name}: no builtin:{builtin}")])?;
            let manifest = parse_manifest(Path::new("filter.toml"), found.manifest)
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            (found.source(), manifest)
        }
    };
    let ungranted = ungranted(name, filter, &manifest.capabilities);
    if !ungranted.is_empty() {
        return Err(ungranted);
    }
    Ok((together(name, filter, &manifest, config), source))
}

/// What the operator and the author say together.
#[must_use]
pub fn together(name: &str, filter: &FilterSettings, manifest: &Manifest, config: &EdgeConfig) -> Settings {
    let mut grants = grants(&filter.capabilities);
    let builtin = if let ModuleSource::Builtin(builtin) = &filter.module { builtin.as_str() } else { "" };
    let configuration = match builtin {
        HEADER_TRANSLATION if filter.configuration.as_bytes().is_empty() => translation::of_headers(config),
        LINK_TRANSLATION if filter.configuration.as_bytes().is_empty() => translation::of_links(config),
        _ => Bytes::copy_from_slice(filter.configuration.as_bytes()),
    };
    if builtin == HEADER_TRANSLATION {
        // It is ours, so it is granted what it needs.
        grants.protected_headers.push(http::header::SET_COOKIE);
    }
    let either =
        |own: &[HeaderName], author: &[HeaderName]| if own.is_empty() { author.to_vec() } else { own.to_vec() };
    let fields = [
        either(&filter.request_fields, &manifest.fields.request),
        either(&filter.response_fields, &manifest.fields.response),
    ];
    let root_id = if filter.root_id.is_empty() { manifest.root_id.clone() } else { filter.root_id.clone() };
    let said = [filter.request_body, filter.response_body, manifest.body.request, manifest.body.response];
    let mode = |own: Option<config::BodyMode>, author: Option<config::BodyMode>| body_mode(own.or(author));
    let bodies = [mode(filter.request_body, manifest.body.request), mode(filter.response_body, manifest.body.response)];
    Settings {
        root_id,
        configuration,
        vm_configuration: Bytes::copy_from_slice(filter.vm_configuration.as_bytes()),
        fail_open: filter.fail_open,
        isolation: match filter.isolation {
            config::Isolation::Worker => Isolation::Worker,
            config::Isolation::Stream => Isolation::Stream,
        },
        bodies,
        bodies_chosen: said.iter().any(Option::is_some),
        rewrites_body: filter.rewrites_body || manifest.body.rewrite,
        holds_head: filter.headers_pause == config::HeadersPause::Hold,
        header_bytes: match filter.header_bytes {
            // Ours take any bytes, and what they write has to hold those they read.
            config::HeaderBytes::Lossy if matches!(filter.module, ModuleSource::Builtin(_)) => HeaderBytes::Raw,
            config::HeaderBytes::Lossy => HeaderBytes::Lossy,
            config::HeaderBytes::Reject => HeaderBytes::Reject,
            config::HeaderBytes::Raw => HeaderBytes::Raw,
        },
        fields,
        environment: filter.environment.clone().into_iter().collect(),
        upstreams: filter.upstreams.iter().map(|(name, upstream)| (name.clone(), upstream_spec(upstream))).collect(),
        log_level: Level::ALL.get(filter.log_level as usize).copied().unwrap_or(Level::Info),
        limits: limits(&filter.limits, manifest),
        grants,
        ..Settings::new(name)
    }
}

/// Where a build leaves its modules; the project is the directory above.
const BUILD_DIRECTORIES: [&str; 2] = ["target", "build"];

/// Where the manifest of a module is, if there is one: beside it, or in the project whose build it is
/// in, at most three directories down (`target/wasm32-wasip1/release`).
#[must_use]
pub fn manifest_file(module: &Path) -> PathBuf {
    let beside = module.with_file_name("filter.toml");
    if beside.exists() {
        return beside;
    }
    let is_build =
        |directory: &&Path| BUILD_DIRECTORIES.iter().any(|name| directory.file_name() == Some(name.as_ref()));
    let project = module.ancestors().skip(1).take(3).find(is_build).and_then(Path::parent);
    project.map(|project| project.join("filter.toml")).filter(|path| path.exists()).unwrap_or(beside)
}

/// What the author says of a module; nothing if there is no manifest.
///
/// # Errors
/// Everything that is wrong with it.
pub fn manifest_of(module: &Path) -> Result<Manifest, Vec<String>> {
    let path = manifest_file(module);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_manifest(&path, &text).map_err(|faults| faults.iter().map(ToString::to_string).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Manifest::new("")),
        Err(error) => Err(vec![format!("{}: {error}", path.display())]),
    }
}

fn body_mode(mode: Option<config::BodyMode>) -> BodyMode {
    match mode {
        None | Some(config::BodyMode::None) => BodyMode::Off,
        Some(config::BodyMode::Stream) => BodyMode::Stream,
        Some(config::BodyMode::Buffer) => BodyMode::Buffer,
        Some(config::BodyMode::Decoded) => BodyMode::Decoded,
    }
}

/// Where an upstream of a filter is.
#[must_use]
pub fn upstream_spec(upstream: &config::Upstream) -> TargetSpec {
    TargetSpec {
        tls: upstream.https,
        host: upstream.host.clone(),
        wildcard: false,
        port: upstream.port,
        protocol: Protocol::Auto,
        verify: Verify::Platform,
        // The call's own timeout is shorter; this one only ends what nobody waits for.
        response_timeout_ms: 3_600_000,
    }
}

/// The operator's limits, and the author's where they are tighter.
fn limits(own: &config::FilterLimits, manifest: &Manifest) -> FilterLimits {
    let author = &manifest.limits;
    let tighter = |own: usize, author: Option<usize>| author.map_or(own, |author| author.min(own));
    FilterLimits {
        memory: tighter(own.memory, author.memory),
        header_deadline: author.deadline.map_or(own.header_deadline, |author| author.min(own.header_deadline)),
        body_deadline: author.body_deadline.map_or(own.body_deadline, |author| author.min(own.body_deadline)),
        start_deadline: own.start_deadline,
        buffers: [
            tighter(own.request_buffer, author.request_buffer),
            tighter(own.response_buffer, author.response_buffer),
        ],
        log_lines_per_second: own.log_lines_per_second,
        http_calls_per_stream: own.http_calls_per_stream,
        http_calls: own.http_calls,
        http_call_response: own.http_call_response,
        http_call_timeout: own.http_call_timeout,
        shared_data: own.shared_data,
        shared_data_keys: own.shared_data_keys,
        queue_items: own.queue_items,
        metrics: own.metrics,
        local_response_headers: own.local_response_headers,
    }
}

fn grants(capabilities: &config::FilterCapabilities) -> Grants {
    let names = capabilities.protected_headers.iter();
    Grants {
        shared_data: capabilities.shared_data,
        queues: capabilities.queues,
        local_response: capabilities.local_response,
        protected_headers: names.filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect(),
    }
}

/// What the author says the filter needs and the operator does not grant, each with the line that
/// grants it. What the author does not say is refused when the filter asks.
fn ungranted(name: &str, filter: &FilterSettings, needs: &ManifestCapabilities) -> Vec<String> {
    let mut faults = Vec::new();
    for upstream in needs.http_call.iter().filter(|upstream| !filter.upstreams.contains_key(*upstream)) {
        let grant = format!("[filter.{name}] upstreams = {{ {upstream} = \"http://host:port\" }}");
        faults.push(format!("filter {name}: it calls {upstream}; say where that is: {grant}"));
    }
    let own = &filter.capabilities;
    for (word, needed, granted) in [
        ("shared_data", needs.shared_data, own.shared_data),
        ("queues", needs.queues, own.queues),
        ("local_response", needs.local_response, own.local_response),
    ] {
        if needed && !granted {
            faults.push(format!(
                "filter {name}: it uses {word}; grant it with [filter.{name}.capabilities] {word} = true"
            ));
        }
    }
    faults
}
