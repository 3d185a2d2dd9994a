//! The rules for what is not Rust: docs, manifests, the lock file, and text of any kind.
//!
//! Reads Markdown and TOML line by line, as far as this tree's own style goes, and no further.

use std::collections::BTreeSet;

use crate::ink::offsets;
use crate::{DEPENDENCY_TABLE, FLOORS, MACHINE_TRACES};

pub(crate) fn line_citations(path: &str, text: &str) -> Vec<String> {
    let cites = |line: &str| {
        let number = |at: usize| line[at + ".rs:".len()..].starts_with(|c: char| c.is_ascii_digit());
        line.contains(".rs#L") || offsets(line, ".rs:").any(number)
    };
    let lines = numbered(text).filter(|(_, line)| cites(line));
    let what = "cites a line number, which drifts; name the symbol instead";
    lines.map(|(n, _)| format!("{path}:{n}: {what}")).collect()
}

pub(crate) fn machine_traces(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (n, line) in numbered(text) {
        // Behind one of these, `/root/` is the middle of a URL or of a relative path.
        let inside = |c: char| c.is_alphanumeric() || "_-.}~".contains(c);
        let rooted = |at: usize| !line[at..].starts_with('/') || !line[..at].ends_with(inside);
        for trace in MACHINE_TRACES {
            if offsets(line, trace).any(rooted) {
                let what = "belongs to one machine; use a relative path or a variable";
                found.push(format!("{path}:{n}: `{trace}` {what}"));
            }
        }
    }
    found
}

pub(crate) fn below_floor(lock: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut name = "";
    for (n, line) in numbered(lock) {
        let value = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_matches('"'));
        name = value("name = ").unwrap_or(name);
        let Some(version) = value("version = ") else {
            continue;
        };
        for (_, floor, why) in FLOORS.iter().filter(|row| row.0 == name) {
            if numbers(version) < *floor {
                let floor = floor.map(|number| number.to_string()).join(".");
                let mend = format!("run `cargo update -p {name}`");
                let what = format!("{name} {version} is below {floor} ({why}); {mend}");
                found.push(format!("Cargo.lock:{n}: {what}"));
            }
        }
    }
    found
}

/// Major, minor and patch; a pre-release counts as its release.
fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

pub(crate) fn without_reason(manifest: &str, table: &str) -> Vec<String> {
    let first_cell = |line: &str| {
        let cell = line.strip_prefix('|')?.split('|').next()?;
        Some(cell.trim().trim_matches('`').to_owned())
    };
    let reasons: BTreeSet<String> = table.lines().filter_map(first_cell).collect();
    let mut found = Vec::new();
    let mut inside = false;
    for (n, line) in numbered(manifest) {
        let mut name = None;
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end().ends_with("dependencies]");
            name = section.split_once("dependencies.").map(|(_, name)| name);
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            name = Some(line);
        }
        let bare = |name: &str| name.split(['=', '.', ' ', ']']).next().map(str::to_owned);
        let name = name.and_then(bare).filter(|name| !reasons.contains(name));
        if let Some(name) = name {
            let mend = format!("add `| {name} | … |` to {DEPENDENCY_TABLE}: why it, what instead");
            found.push(format!("Cargo.toml:{n}: `{name}` has no reason; {mend}"));
        }
    }
    found
}

pub(crate) fn dead_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
    let folder = folder.unwrap_or_default();
    let mut found = Vec::new();
    let mut fenced = false;
    for (n, line) in numbered(text) {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fenced || fence {
            continue;
        }
        // Every other piece between back ticks is code.
        let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for target in link_targets(&prose).filter(|target| is_local(target)) {
            let file = target.split('#').next().unwrap_or_default();
            if file.starts_with('/') || !exists(&format!("{folder}{file}")) {
                let mend = "point it at a file of this tree, relative to this page";
                found.push(format!("{path}:{n}: dead link `{target}`; {mend}"));
            }
        }
    }
    found
}

/// Targets of `[text](target "title")` and of a line `[name]: target`, which is no footnote.
fn link_targets(prose: &str) -> impl Iterator<Item = &str> {
    let inline = offsets(prose, "](").map(|at| &prose[at + "](".len()..]);
    let reference = prose.strip_prefix('[').filter(|rest| !rest.starts_with('^'));
    let reference = reference.and_then(|rest| rest.split_once("]: "));
    let targets = inline.chain(reference.map(|(_, target)| target));
    targets.filter_map(|target| target.split([')', ' ']).next())
}

fn is_local(target: &str) -> bool {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    !elsewhere && !target.is_empty() && !target.starts_with('#')
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cited_lines_are_found() {
        let text = "see a.rs:12\nb.rs: 12\nc.rs::f\nd.rs#L4\n";
        let found = line_citations("docs/x.md", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("docs/x.md:1: ") && found[1].starts_with("docs/x.md:4: "));
    }

    #[test]
    fn machine_traces_are_whole_paths_or_hosts() {
        for (line, expected) in [
            ("cd /work/main", 1),
            ("\"/root/x\" and https://artifactory.example", 2),
            ("https://example.com/work/a ../root/b ./work/ ${DIR}/work/", 0),
            ("https://crates.io/crates/h2", 0),
            ("sparse+https://index.crates.io/", 1),
        ] {
            assert_eq!(machine_traces("x", line).len(), expected, "{line}");
        }
    }

    #[test]
    fn floors_hold_for_every_copy_of_a_package() {
        let package = |name, version| format!("name = \"{name}\"\nversion = \"{version}\"\n\n");
        let lock = [
            package("h2", "0.3.26"),
            package("h2", "0.4.16"),
            package("bytes", "1.11.0"),
            package("hyper", "1.9.10"),
            package("hyper-util", "0.1.0"),
            package("wasmtime", "48.0.8+lts"),
        ];
        let found = below_floor(&format!("version = 4\n{}", lock.concat()));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("Cargo.lock:3: h2 0.3.26 is below 0.4.16"));
    }

    #[test]
    fn dependencies_are_looked_up_in_the_table() {
        let manifest = "\
[package]
name = \"x\"
[dependencies]
bytes = \"1\"
h2 = { version = \"0.4\", features = [
    \"unstable\",
] }
tokio.workspace = true
# serde = \"1\"
[target.'cfg(unix)'.dev-dependencies]
rustix = \"1\"
[build-dependencies.cc]
version = \"1\"
[features]
toml = []
";
        let missing = |table: &str| without_reason(manifest, table).len();
        assert_eq!(missing("bytes h2 tokio rustix cc"), 5);
        assert_eq!(missing("| bytes | x |\n| `h2` | x |\n| tokio-rustls | tokio |"), 3);
        assert_eq!(missing("| bytes |\n| h2 |\n| tokio |\n|rustix|\n| cc |"), 0);
    }

    #[test]
    fn links_are_followed_from_their_page() {
        let exists = |path: &str| ["docs/a.md", "docs/../README.md"].contains(&path);
        for (text, expected) in [
            ("[a](a.md) [a](a.md#part) [`r`](../README.md \"title\")", 0),
            ("[x](https://x.example) [y](#y) [z](mailto:z@z.example) [w]()", 0),
            ("[b](b.md) and [c](c/)", 2),
            ("[a](/docs/a.md)", 1),
            ("[b]: b.md", 1),
            ("[^1]: a footnote\n- [x] done", 0),
            ("`[b](b.md)`\n```text\n[b](b.md)\n```\n[a](a.md)", 0),
            ("```text\n```\n[b](b.md)", 1),
        ] {
            assert_eq!(dead_links("docs/x.md", text, exists).len(), expected, "{text}");
        }
    }
}
