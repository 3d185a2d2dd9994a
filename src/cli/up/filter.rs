//! `lockgate up --filter`: from module files to the chain of the one app, and back to the terminal.
//!
//! Whoever runs `up` is author and operator in one, so a filter is granted what its `filter.toml`
//! asks for. It refuses to guess upstreams: those need a configuration file.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::app::edge::Edge;
use crate::app::{FilterReport, manifest_file, manifest_of};
use crate::config::{BUILTIN_FILTERS, FilterSettings, ModuleSource, Payload};

/// The longest name of a filter.
const NAME_BYTES_MAX: usize = 63;

/// The filters named on the command line, in their order.
pub(super) fn read(modules: &[String], last_config: Option<&Path>) -> Result<Vec<(String, FilterSettings)>, Failure> {
    let mut filters: Vec<(String, FilterSettings)> = Vec::new();
    for module in modules {
        let (name, settings) = one(module)?;
        if filters.iter().any(|(other, _)| *other == name) {
            return Err(Failure::Failed(format!("--filter {module}: there is a filter {name} already")));
        }
        filters.push((name, settings));
    }
    if let (Some(file), Some((_, settings))) = (last_config, filters.last_mut()) {
        let bytes = std::fs::read(file).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
        settings.configuration = Payload::from(bytes);
    }
    Ok(filters)
}

fn one(module: &str) -> Result<(String, FilterSettings), Failure> {
    if let Some(builtin) = module.strip_prefix("builtin:") {
        if !BUILTIN_FILTERS.contains(&builtin) {
            let there = BUILTIN_FILTERS.join(", builtin:");
            return Err(Failure::Failed(format!(
                "--filter {module}: there is no such filter; there is builtin:{there}"
            )));
        }
        return Ok((builtin.to_owned(), FilterSettings::new(ModuleSource::Builtin(builtin.to_owned()))));
    }
    let path = Path::new(module);
    let mut settings = FilterSettings::new(ModuleSource::File(path.to_owned()));
    let manifest = manifest_of(path).map_err(Failure::Refused)?;
    settings.capabilities.shared_data = manifest.capabilities.shared_data;
    settings.capabilities.queues = manifest.capabilities.queues;
    settings.capabilities.protected_headers = manifest.capabilities.protected_headers;
    let name = if manifest.name.is_empty() { label(path) } else { manifest.name };
    Ok((name, settings))
}

/// The file's name as the name of a filter.
fn label(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let legal = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = stem.chars().map(legal).take(NAME_BYTES_MAX).collect();
    match name.trim_matches('-') {
        "" => "filter".to_owned(),
        name => name.to_owned(),
    }
}

/// The manifests of the modules, there or not.
pub(super) fn manifests(modules: &[String]) -> impl Iterator<Item = PathBuf> {
    let files = modules.iter().filter(|module| !module.starts_with("builtin:"));
    files.map(|module| manifest_file(Path::new(module)))
}

/// Says which filters serve, and where each came from.
pub(super) fn introduce(filters: &[FilterReport], modules: &[String]) {
    for module in modules {
        let from = one(module).map(|(name, _)| name).unwrap_or_default();
        let Some(filter) = filters.iter().find(|filter| filter.filter == from) else { continue };
        let bodies = [("request", filter.request_body), ("response", filter.response_body)];
        let bodies: Vec<String> = bodies
            .iter()
            .filter(|(_, mode)| *mode != "none")
            .map(|(way, mode)| format!(", {way} bodies {mode}"))
            .collect();
        let FilterReport { filter: name, generation, .. } = filter;
        say!("  filter       {name}, generation {generation}, from {module}{}", bodies.concat());
        if !module.starts_with("builtin:") {
            say!("               (read again when the file changes)");
        }
    }
}

/// Says what became of a changed file.
pub(super) fn tell_reload(edge: &Edge, reloaded: &Result<u64, Vec<String>>) {
    // The line of the live status, if there is one, gives way.
    let clear = if std::io::IsTerminal::is_terminal(&std::io::stdout()) { "\r\x1b[K" } else { "" };
    let filters = edge.filters();
    let now: Vec<String> =
        filters.iter().map(|filter| format!("{} generation {}", filter.filter, filter.generation)).collect();
    match reloaded {
        Ok(_) => say!("{clear}  reloaded: {}", now.join(", ")),
        Err(faults) => {
            for fault in faults {
                say!("{clear}  not reloaded: {fault}");
            }
            say!("{clear}  still serving: {}", now.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_names() {
        for (file, name) in [
            ("a/my_filter.wasm", "my-filter"),
            ("My Filter.v2.wasm", "my-filter-v2"),
            ("__.wasm", "filter"),
            ("x.wasm", "x"),
        ] {
            assert_eq!(label(Path::new(file)), name, "{file}");
        }
        assert_eq!(label(Path::new(&format!("{}.wasm", "a".repeat(100)))).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn a_filter_is_named_once_and_has_to_be_there() {
        let twice = ["builtin:websocket".to_owned(), "builtin:websocket".to_owned()];
        assert!(matches!(read(&twice, None), Err(Failure::Failed(reason)) if reason.contains("already")));
        let unknown = ["builtin:websockt".to_owned()];
        assert!(matches!(read(&unknown, None), Err(Failure::Failed(reason)) if reason.contains("builtin:websocket")));
    }
}
