//! The rules for Rust files: one file in, findings out, each with the place and the mend.
//!
//! The tables they read are in `tests/tidy.rs`; papers (docs, Cargo files) have `papers.rs`.

use std::collections::BTreeSet;

use crate::ink::{offsets, words};
use crate::source::Source;
use crate::{ALSO, EMPTY_NAMES, LAYERS, ONLY, UNSAFE_HOMES, VOCABULARY};

pub(crate) fn imports(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else {
        return Vec::new();
    };
    if layer(room).is_none() {
        let what = format!("no room `{room}` in LAYERS of tests/tidy.rs; add it to the table");
        return vec![source.found(0, &what)];
    }
    let named = source.rooms_named().into_iter();
    let foreign = named.filter(|(_, named)| !may_import(room, named));
    foreign.map(|(at, named)| source.found(at, &import_mend(room, named))).collect()
}

fn import_mend(room: &str, named: &str) -> String {
    let (rule, mend) = match layer(named) {
        None => ("is no room of LAYERS", "name it through the room that owns it"),
        Some(_) if ONLY.iter().any(|row| row.0 == room) => {
            ("is not in its row of ONLY", "let `app` translate between the two")
        }
        Some(_) => ("is not below it in LAYERS", "move what both need to a lower room, or let a higher one hand it in"),
    };
    format!("`{room}` imports `crate::{named}`, which {rule} (tests/tidy.rs); {mend}")
}

fn may_import(room: &str, named: &str) -> bool {
    let row = |table: &[(&str, &[&str])]| {
        let row = table.iter().find(|row| row.0 == room);
        row.map(|row| row.1.contains(&named))
    };
    let below = layer(named).is_some() && layer(named) > layer(room);
    let peers = VOCABULARY.contains(&room) && VOCABULARY.contains(&named);
    room == named || row(ONLY).unwrap_or(below || peers || row(ALSO) == Some(true))
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

pub(crate) fn unsafe_sites(source: &Source) -> Vec<String> {
    let sites = words(&source.code, "unsafe");
    if UNSAFE_HOMES.iter().any(|home| source.path.starts_with(home)) {
        let what = "`unsafe` without its reason; write `// SAFETY: …` right above it \
                    (`# Safety` in the docs of an unsafe fn)";
        let bare = sites.filter(|&at| !source.safety_noted(at));
        return bare.map(|at| source.found(at, what)).collect();
    }
    let what = "`unsafe` outside UNSAFE_HOMES (tests/tidy.rs); find a safe way, \
                or move it to `src/io/uring/`";
    let lints = ["allow(unsafe_code", "expect(unsafe_code"];
    let lints = lints.iter().flat_map(|lint| offsets(&source.code, lint));
    sites.chain(lints).map(|at| source.found(at, what)).collect()
}

pub(crate) fn names(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let parts = source.path.trim_end_matches(".rs").split('/');
    let modules = source.named("mod").chain(parts.map(|part| (0, part)));
    for (at, name) in modules.filter(|(_, name)| EMPTY_NAMES.contains(name)) {
        let what = format!("the name `{name}` says nothing; name it after what it is for");
        found.push(source.found(at, &what));
    }
    // `get_type` is the name of the Proxy-Wasm SDK's own trait method.
    for (at, name) in source.named("fn").filter(|(_, name)| name.starts_with("get_") && *name != "get_type") {
        let what = format!("`fn {name}` says get; drop it, the noun is enough");
        found.push(source.found(at, &what));
    }
    found
}

pub(crate) fn header(source: &Source) -> Vec<String> {
    let mut opening = source.text.lines().map_while(|line| line.strip_prefix("//!"));
    if opening.any(|line| line.trim().chars().count() >= 20) {
        return Vec::new();
    }
    let what = "no header; open with `//!` (a line of 20 characters or more): what the file is \
                for, what it refuses to do";
    vec![source.found(0, what)]
}

pub(crate) fn panics(source: &Source) -> Vec<String> {
    let calls = [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
    let calls = calls.iter().flat_map(|call| offsets(&source.code, call));
    let sites: BTreeSet<usize> = calls.filter(|_| source.path.starts_with("src/")).collect();
    let reasons = ["cannot fail:", "invariant:"];
    let bare = sites.into_iter().filter(|&at| !source.is_test(at) && !source.noted(at, 2, &reasons));
    let what = "a panic without a reason; return the error, or write `// cannot fail: <why>` or \
                `// invariant: <which>` on this line or one of the two above";
    bare.map(|at| source.found(at, what)).collect()
}

pub(crate) fn leftovers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["todo", "unimplemented", "dbg"] {
        let what = format!("`{name}!` left behind; finish it or take it out");
        found.extend(source.followed(name, '!').map(|at| source.found(at, &what)));
    }
    for mark in ["FIXME", "XXX"] {
        let marks = words(&source.code, mark).chain(words(&source.comments, mark));
        let what = format!("`{mark}` left behind; mend it now, or write the decision down");
        found.extend(marks.map(|at| source.found(at, &what)));
    }
    let what = "ignored without a reason; write `#[ignore = \"<why, until when>\"]`";
    found.extend(offsets(&source.code, "#[ignore]").map(|at| source.found(at, what)));
    found
}

pub(crate) fn sleeps(source: &Source) -> Vec<String> {
    let sites = source.followed("sleep", '(').filter(|_| source.path.starts_with("tests/"));
    let bare = sites.filter(|&at| !source.noted(at, 1, &["// sleep: "]));
    let what = "a test that sleeps; wait for the event, or say `// sleep: <why>` on this line or \
                the one above";
    bare.map(|at| source.found(at, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a rule strikes in a file of this path and text.
    fn strikes(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Source::parse(path, text)).len()
    }

    #[test]
    fn imports_go_down_only() {
        for (path, text, expected) in [
            ("src/edge/mod.rs", "use crate::exchange::Rooms;", 0),
            ("src/edge/mod.rs", "use crate::connector;", 1),
            ("src/edge/mod.rs", "use crate::edge::listener;", 0),
            ("src/io/mod.rs", "fn f() { crate::error::Error::new() }", 1),
            ("src/io/mod.rs", "// crate::edge\n/// crate::cli\nconst A: &str = \"crate::app\";", 0),
            ("src/tls/mod.rs", "use crate::{error::Error, io, edge::{self, http}};", 1),
            ("src/tls/mod.rs", "pub(crate) fn f(x: crate::metrics::Shard) {}", 0),
            ("src/app.rs", "use crate::{config, sample, edge};", 0),
            ("src/app.rs", "use crate::cli;", 1),
            ("src/config/app.rs", "use crate::{error, limits};", 0),
            ("src/config/app.rs", "use crate::http;", 1),
            ("src/sample.rs", "use crate::config;", 1),
            ("src/relay/mod.rs", "use crate::Result;", 1),
            ("src/main.rs", "use crate::anything;", 0),
            ("src/lib.rs", "use crate::edge;", 0),
            ("src/stray.rs", "", 1),
            ("tests/it/main.rs", "use crate::world::World;", 0),
        ] {
            assert_eq!(strikes(imports, path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn imports_by_super_are_imports() {
        for (path, text, expected) in [
            ("src/io.rs", "use super::edge;", 1),
            ("src/io/mod.rs", "use super::{edge, io};", 1),
            ("src/io/sim.rs", "use super::edge;", 0),
            ("src/io/sim.rs", "use super::super::edge;", 1),
            ("src/io/sim.rs", "mod tests { use super::super::edge; }", 0),
            ("src/io/sim.rs", "mod tests { use super::super::super::edge; }", 1),
            ("src/io/mod.rs", "pub(super) mod tests { use super::*; }", 0),
        ] {
            assert_eq!(strikes(imports, path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn unsafe_needs_a_home_and_a_reason() {
        let home = "src/io/uring/ring.rs";
        for (path, text, expected) in [
            ("src/io/tokio.rs", "// SAFETY: none\nunsafe { f() }", 1),
            ("src/io/mod.rs", "#[allow(unsafe_code)]\nmod uring;", 1),
            ("src/io/mod.rs", "#![forbid(unsafe_code)] // unsafe is elsewhere", 0),
            (home, "#![allow(unsafe_code, reason = \"the ring\")]", 0),
            (home, "unsafe { f() }", 1),
            (home, "// SAFETY: f is total\nunsafe { f() }", 0),
            (home, "// SAFETY: f is total,\n// and cheap\nlet x =\n    unsafe { f() };", 0),
            (home, "// SAFETY: stale\n\nunsafe { f() }", 1),
            (home, "// SAFETY: of f\nf();\nunsafe { g() }", 1),
            (home, "/// # Safety\n/// x lives\n#[inline]\npub unsafe fn f(x: *const u8) {}", 0),
            (home, "unsafe impl Send for Ring {}", 1),
            (home, "type F = unsafe extern \"C\" fn(u8);\ntype G = unsafe fn(u8);", 0),
        ] {
            assert_eq!(strikes(unsafe_sites, path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn empty_names_and_getters_are_found() {
        for (path, text, expected) in [
            ("src/http/utils.rs", "", 1),
            ("tests/common/mod.rs", "", 1),
            ("src/http/mod.rs", "mod helpers;\nmod uncommon;", 1),
            ("src/http/mod.rs", "fn get_head() {}\nfn target() { map.get_mut(); }", 1),
        ] {
            assert_eq!(strikes(names, path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn headers_come_first_and_say_something() {
        for (text, expected) in [
            ("//! Which bytes are code and which are not.\n", 0),
            ("//! Ink\n//!\n//! Which bytes are code and which are not.\n", 0),
            ("//! Ink\n", 1),
            ("use x;\n//! Which bytes are code and which are not.\n", 1),
            ("", 1),
        ] {
            assert_eq!(strikes(header, "benches/heads.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn panics_need_a_reason_outside_tests() {
        let tests = "#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}\nfn g() {}";
        for (path, text, expected) in [
            ("src/id.rs", "x.unwrap();\nx.expect(\"y\");\nx.unwrap_or(1);", 2),
            ("src/main.rs", "x.unwrap();", 1),
            ("src/id.rs", "x.unwrap(); // cannot fail: x is a constant", 0),
            ("src/id.rs", "// invariant: one per worker\nx\n    .expect(\"one\");", 0),
            ("src/id.rs", "// invariant: far away\n\n\nx.expect(\"one\");", 1),
            ("src/id.rs", "x.unwrap(); // cannot fail:", 1),
            ("src/id.rs", "// x.unwrap()\nlet s = \".unwrap()\";", 0),
            ("src/id.rs", tests, 0),
            ("src/id/tests.rs", "x.unwrap();", 0),
            ("perf/src/main.rs", "x.unwrap();", 0),
        ] {
            assert_eq!(strikes(panics, path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn leftovers_are_found_in_code_and_comments() {
        for (text, expected) in [
            ("todo!(); unimplemented!(\"x\"); dbg!(y);", 3),
            ("// FIXME: z\nlet a = 1; // XXX\n// XXXX", 2),
            ("let s = \"todo!() FIXME\"; my_todo!();", 0),
            ("#[ignore]\n#[ignore = \"needs a real KDC\"]", 1),
        ] {
            assert_eq!(strikes(leftovers, "src/id.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn sleeping_tests_say_why() {
        for (path, text, expected) in [
            ("tests/it/drain.rs", "sleep(MS).await;\ntime::sleep(MS);\nx.sleep_until(t);", 2),
            ("tests/it/drain.rs", "sleep(MS).await; // sleep: the kernel's own timer", 0),
            ("tests/it/drain.rs", "sleep(MS).await; // sleep: ", 1),
            ("src/id.rs", "sleep(MS).await;", 0),
        ] {
            assert_eq!(strikes(sleeps, path, text), expected, "{path}: {text}");
        }
    }
}
