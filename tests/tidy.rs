//! What a reviewer would otherwise repeat: import direction, homes of `unsafe`, names, file
//! headers, lengths, panics, leftovers, machine paths, dependency floors and dead links.
//!
//! It reads the tree as text and knows Rust only down to comments, literals and braces. It refuses
//! to grow into a linter: what clippy, rustfmt or cargo-deny can say is theirs to say.
//!
//! ```text
//! tree ─▶ ink: code, comment, literal ─▶ Source ┬─▶ rules ──┐
//!   │                                           └─▶ ratchet ┼─▶ findings ─▶ report
//!   └── *.md, Cargo.toml, Cargo.lock ─────────────▶ papers ─┘
//! ```
//!
//! A finding names place, rule and mend. The tables a change may touch stand in this file.

#[path = "tidy/ink.rs"]
mod ink;
#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/ratchet.rs"]
mod ratchet;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ratchet::Ratchet;
use source::Source;

/// The rooms of `src/`, top to bottom: a room imports from the layers below its own, never from
/// its own or from above.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["app", "config", "sample"],
    &["edge", "connector", "control"],
    &["exchange"],
    &["routing", "auth", "filters", "relay"],
    &["tunnel", "backend"],
    VOCABULARY,
    &["io"],
];
/// The one layer whose rooms may name each other.
const VOCABULARY: &[&str] = &["http", "tls", "metrics", "trace", "limits", "error", "drain", "id"];
/// Neighbours on one layer that may be imported all the same.
const ALSO: &[(&str, &[&str])] = &[("app", &["config", "sample"])];
/// Rooms that may import less than their layer would let them.
const ONLY: &[(&str, &[&str])] = &[("config", &["limits", "error"])];

/// Files above 350 lines, counted without test modules. A number may only go down.
const FILE_LINES: Ratchet = Ratchet { what: "file", soft: 350, hard: 600, rows: &[] };
/// Functions above 80 lines, from `fn` to the closing brace, as `path::function`.
/// `Metrics::new` is one table of declarations; cut in two it would be harder to read.
const FUNCTION_LINES: Ratchet = Ratchet {
    what: "function",
    soft: 80,
    hard: 150,
    rows: &[
        ("src/metrics/mod.rs::new", 100),
        ("tests/it/filters/commons.rs::abi_14_properties", 94),
        ("tests/it/filters/loading.rs::every_fault_of_a_module_is_told_and_changes_nothing", 92),
    ],
};

/// The only places that may say `unsafe`. Guest memory (`src/filters/memory`) joins when it must.
const UNSAFE_HOMES: &[&str] = &[
    "src/io/uring/",
    "src/io/uring.rs",
    "src/filters/cache.rs",
    "filters/abi/src/",
    "filters/link-translation/src/lanes.rs",
    "filters/probe/src/",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

/// Where Rust is written; `filters` and `fuzz` are workspaces of their own under the same rules.
const RUST_ROOTS: &[&str] = &["src/", "tests/", "benches/", "perf/", "filters/", "fuzz/", "build.rs"];

/// Traces of the machine the work was done on: its paths, its registry mirrors.
const MACHINE_TRACES: &[&str] = &["/work/", "/root/", "crates.io:443", "index.crates", "static.crates", "artifactory"];

/// The lowest version of a package without a known hole; an absent package passes.
const FLOORS: &[(&str, [u64; 3], &str)] = &[
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258, data_frame_budget"),
    ("hyper", [1, 11, 0], "Content-Length before Transfer-Encoding"),
    ("rustls", [0, 23, 18], "RUSTSEC-2024-0399"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0104"),
    ("tungstenite", [0, 20, 1], "RUSTSEC-2023-0065"),
    ("wasmtime", [48, 0, 8], "sandbox fixes of the LTS line"),
];

const DEPENDENCY_TABLE: &str = "docs/decisions/dependencies.md";

#[test]
fn imports_point_one_way() {
    report(in_rust(rules::imports));
}

#[test]
fn unsafe_stays_at_home_and_says_why() {
    report(in_rust(rules::unsafe_sites));
}

#[test]
fn names_say_something() {
    report(in_rust(rules::names));
}

#[test]
fn files_open_with_their_purpose() {
    report(in_rust(rules::header));
}

#[test]
fn files_only_shrink() {
    let sources = rust_files();
    let lengths = sources.iter().map(|source| (source.path.clone(), source.length()));
    report(FILE_LINES.hold(&lengths.collect()));
}

#[test]
fn functions_fit_a_screen() {
    let mut lengths = BTreeMap::new();
    for (name, lines) in rust_files().iter().flat_map(Source::functions) {
        let longest = lengths.entry(name).or_insert(0);
        *longest = lines.max(*longest);
    }
    report(FUNCTION_LINES.hold(&lengths));
}

#[test]
fn panics_have_a_reason() {
    report(in_rust(rules::panics));
}

#[test]
fn nothing_is_left_behind() {
    report(in_rust(rules::leftovers));
}

#[test]
fn tests_wait_for_events_not_for_time() {
    report(in_rust(rules::sleeps));
}

#[test]
fn docs_name_symbols_not_lines() {
    let comments = in_rust(|source| papers::line_citations(&source.path, &source.comments));
    report([comments, in_texts(&[".md"], papers::line_citations)].concat());
}

#[test]
fn no_trace_of_the_machine() {
    let kinds = [".rs", ".md", ".toml", ".lock", ".sh", ".yml", ".ci/run"];
    report(in_texts(&kinds, papers::machine_traces));
}

#[test]
fn dependencies_stay_above_their_floors() {
    report(papers::below_floor(&read("Cargo.lock")));
}

#[test]
fn every_dependency_has_its_reason() {
    report(papers::without_reason(&read("Cargo.toml"), &read(DEPENDENCY_TABLE)));
}

#[test]
fn links_lead_somewhere() {
    let exists = |path: &str| root().join(path).exists();
    report(in_texts(&[".md"], |path, text| papers::dead_links(path, text, exists)));
}

fn report(findings: Vec<String>) {
    let count = findings.len();
    assert!(count == 0, "{count} to mend:\n\n{}\n", findings.join("\n"));
}

fn in_rust(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    rust_files().iter().flat_map(rule).collect()
}

/// This guard itself is left out: it has to spell what it looks for.
fn in_texts(kinds: &[&str], rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let wanted = |path: &str| kinds.iter().any(|kind| path.ends_with(kind));
    let paths = files(|path| wanted(path) && !path.starts_with("tests/tidy"));
    paths.iter().flat_map(|path| rule(path, &read(path))).collect()
}

fn rust_files() -> Vec<Source> {
    let rooted = |path: &str| RUST_ROOTS.iter().any(|root| path.starts_with(root));
    let paths = files(|path| path.ends_with(".rs") && rooted(path));
    let sources: Vec<_> = paths.iter().map(|path| Source::parse(path, &read(path))).collect();
    let map = sources.iter().any(|source| source.path == "src/lib.rs");
    assert!(map, "no src/lib.rs under {}: nothing was checked", root().display());
    sources
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}; the guard needs this file, as UTF-8"))
}

fn root() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The tree's files, as `/`-separated paths from its root, sorted.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    visit(&root(), "", &mut found);
    found.retain(|path| wanted(path));
    found.sort();
    found
}

fn visit(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{prefix}: {error}"));
    for entry in entries {
        let entry = entry.expect("the tree does not change while it is read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("the file system knows its types");
        let path = format!("{prefix}{name}");
        if kind.is_dir() && !is_made_by_tools(&name) {
            visit(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

fn is_made_by_tools(folder: &str) -> bool {
    let hidden = folder.starts_with('.');
    let ours = [".ci", ".github", ".cargo", ".config"].contains(&folder);
    (hidden && !ours) || folder == "target" || folder == "node_modules"
}
