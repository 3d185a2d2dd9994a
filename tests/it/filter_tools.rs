//! `lockgate filter`: the built binary with small filters, written as text.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::Scratch;

/// What every filter begins with: version, memory, an allocator that never frees but begins anew.
const START: &str = r#"
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        (if (i32.gt_u (global.get $top) (i32.const 32768)) (then (global.set $top (i32.const 4096))))
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get $size))))"#;

const ADD: &str = r#"(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))"#;

/// Adds `x-added: 1`, takes `x-gone` away.
fn headers() -> Vec<u8> {
    module(
        &format!(
            r#"{ADD} (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))"#
        ),
        r#"(data (i32.const 0) "x-added1x-gone")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $add (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 7) (i32.const 1)))
            (drop (call $remove (i32.const 0) (i32.const 8) (i32.const 6)))
            (i32.const 0))"#,
    )
}

fn module(imports: &str, rest: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {imports} {START} {rest})")).unwrap()
}

/// A directory with a module and whatever else a test writes.
struct Desk(Scratch);

impl Desk {
    fn new(module: &[u8]) -> Self {
        let desk = Self(Scratch::new());
        desk.write("f.wasm", module);
        desk.write("r.http", b"GET /a HTTP/1.1\r\nHost: a.test\r\nX-Gone: 1\r\nX-Kept: 2\r\n\r\n");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn filter(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        command.arg("filter").args(arguments).current_dir(self.0.path());
        command.output().unwrap()
    }

    /// What it printed, when it ended with `code`.
    fn told(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.filter(arguments);
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        told
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.filter(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }
}

fn contains(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} in:\n{told}");
    }
}

#[test]
fn inspect_tells_what_a_module_is_and_needs() {
    let desk = Desk::new(&headers());
    let told = desk.told(0, &["inspect", "f.wasm"]);
    contains(
        &told,
        &["proxy-wasm 0.2.1", "headers: add_header_map_value", "request_headers", "[filter.f]", "64.0 KiB"],
    );
    let told = desk.json(&["inspect", "f.wasm", "--json"]);
    assert_eq!((told["abi"].as_str(), told["start"]["ok"].as_bool()), (Some("0.2.1"), Some(true)));
    assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(told["memory"]["initial_bytes"], 65536);
}

#[test]
fn inspect_says_why_a_module_cannot_be_used() {
    let unknown = module(r#"(import "env" "proxy_brew_coffee" (func))"#, "");
    let refuses = module("", r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#);
    let traps = module("", r#"(func $boot unreachable) (func (export "_initialize") (call $boot))"#);
    let component = [&b"\0asm"[..], &[13, 0, 1, 0]].concat();
    for (module, said) in [
        (&unknown[..], "it imports what this host does not offer: env.proxy_brew_coffee"),
        (&refuses[..], "the filter refuses its configuration"),
        (&traps[..], "_initialize: wasm trap: wasm `unreachable` instruction executed; in boot"),
        (&component[..], "component"),
        (b"no module", "not a WebAssembly module"),
        (b"\0asm\x01\0\0\0", "it is no Proxy-Wasm filter"),
    ] {
        contains(&Desk::new(module).told(1, &["inspect", "f.wasm"]), &[said]);
    }
    contains(&Desk::new(b"").told(1, &["inspect", "g.wasm"]), &["g.wasm: "]);
}

#[test]
fn run_shows_what_a_filter_changes_and_does() {
    let desk = Desk::new(&headers());
    let told = desk.told(0, &["run", "f.wasm", "--request", "r.http", "--trace"]);
    contains(
        &told,
        &[
            "request_headers ctx=2 n=6 eos=1",
            "  add_header_map_value(request headers, \"x-added\": \"1\")",
            "OK",
            "  → CONTINUE",
            "  host: a.test\n- x-gone: 1\n+ x-added: 1\n  x-kept: 2\n",
            "an empty 200, which was invented): unchanged",
        ],
    );
    let told = desk.json(&["run", "f.wasm", "--request", "r.http", "--json"]);
    assert_eq!(told["request"]["headers"], serde_json::json!([["x-kept", "2"], ["x-added", "1"]]));
    assert_eq!((&told["response"]["status"], &told["trace"][1]["status"]), (&200.into(), &"OK".into()));
    desk.write("bad.http", "GET\n");
    contains(
        &desk.told(1, &["run", "f.wasm", "--request", "bad.http"]),
        &["bad.http: line 1: \"GET\" is no request line"],
    );
}

#[test]
fn run_obeys_the_operators_table() {
    let reply = r#"(import "env" "proxy_send_local_response"
        (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let rest = r#"(data (i32.const 0) "no") (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2)
            (i32.const 0) (i32.const 0) (i32.const -1)))
        (i32.const 1))"#;
    let desk = Desk::new(&module(reply, rest));
    let told = desk.told(0, &["run", "f.wasm", "--request", "r.http"]);
    contains(&told, &["the backend is not asked", "# local response to the client", "+ 403 Forbidden", "+ no"]);
    desk.write("wrong.toml", "fail_opn = true");
    contains(&desk.told(3, &["run", "f.wasm", "--request", "r.http", "--settings", "wrong.toml"]), &["fail_open"]);
    desk.write(
        "strict.toml",
        "[filter.f]\nheaders_pause = \"stop\"\n[filter.f.capabilities]\nlocal_response = false\n",
    );
    let told = desk.json(&["run", "f.wasm", "--request", "r.http", "--settings", "strict.toml", "--json"]);
    assert_eq!(told["failed"]["code"], "stuck", "{told}");
}

/// What a module imports says little (an SDK imports everything), so it is asked at the call.
#[test]
fn a_capability_that_is_not_granted_is_refused_when_it_is_used() {
    let share = r#"(import "env" "proxy_set_shared_data" (func $share (param i32 i32 i32 i32 i32) (result i32)))"#;
    let rest = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $share (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))
        (i32.const 0))"#;
    let arguments = ["run", "f.wasm", "--request", "r.http", "--settings", "s.toml", "--trace"];
    let denied = "it may not use shared_data; grant it with [filter.f.capabilities] shared_data = true";
    for (settings, said) in [("", denied), ("[capabilities]\nshared_data = true\n", "set_shared_data(\"\\0\", cas 0)")]
    {
        let desk = Desk::new(&module(share, rest));
        desk.write("s.toml", settings);
        contains(&desk.told(0, &arguments), &[said]);
    }
}

#[test]
fn run_answers_calls_out_from_a_script() {
    let imports = r#"(import "env" "proxy_http_call"
            (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
        (import "env" "proxy_set_effective_context" (func $act_on (param i32) (result i32)))"#;
    // Three pairs: their count, their lengths, then each name and value with a NUL behind it.
    let rest = r#"(global $paused (mut i32) (i32.const 0))
        (data (i32.const 0) "auth") (data (i32.const 16) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (global.set $paused (local.get 0))
            (if (call $call (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 61) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 256)) (then unreachable))
            (i32.const 1))
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
            (drop (call $act_on (global.get $paused)))
            (if (local.get 2) (then (drop (call $continue (i32.const 0)))) (else unreachable)))"#;
    let desk = Desk::new(&module(imports, rest));
    desk.write("auth.http", "HTTP/1.1 200 OK\nx-user: alice\n\n");
    let told = desk.told(0, &["run", "f.wasm", "--request", "r.http", "--upstream", "auth=auth.http", "--trace"]);
    contains(
        &told,
        &["http_call(\"auth\")", "→ PAUSE", "http_call_response ctx=1 call=4 n=2", "continue_stream(request)"],
    );
    let told = desk.told(1, &["run", "f.wasm", "--request", "r.http", "--upstream", "auth=timeout"]);
    contains(&told, &["filter-failed", "unreachable"]);
}

const PASSES: &str = r#"
- name: a field is added and one removed
  request: { method: POST, headers: { x-gone: "1", x-kept: "caf\xe9" }, body: "0123456789" }
  expect:
    request_headers: { x-added: "1", x-gone: null, x-kept: "caf\xe9", ":method": POST }
    request_body: "0123456789"
    status: 200
"#;

#[test]
fn test_runs_cases_and_the_checks_that_are_always_on() {
    let desk = Desk::new(&headers());
    desk.write("cases.yaml", PASSES);
    let told = desk.told(0, &["test"]);
    contains(&told, &["a field is added and one removed  (5 chunkings", "odd messages", "bounded memory", "3 passed"]);
    desk.write("cases.yaml", PASSES.replace("x-gone: null", "x-gone: here"));
    let told = desk.told(1, &["test", "--quick", "."]);
    contains(&told, &["FAIL", "request_headers: x-gone: expected \"here\", got it absent", "1 passed, 1 failed"]);
    desk.write("cases.yaml", PASSES.replace("expect:", "expects:"));
    contains(&desk.told(1, &["test", "--quick", "cases.yaml"]), &["case a field is added", "unknown field `expects`"]);
    contains(&desk.told(1, &["test", "none.yaml"]), &["none.yaml: there is no such file"]);
    // In a project other YAML lies beside the tests.
    std::fs::create_dir(desk.path("tests")).unwrap();
    desk.write("tests/cases.yaml", PASSES);
    desk.write("ci.yml", "jobs: {}");
    contains(
        &desk.told(0, &["test", "--quick", "--module", "f.wasm", "."]),
        &["./tests/cases.yaml", "a field is added"],
    );
}

#[test]
fn test_finds_what_no_case_asked_for() {
    let grows = module(
        "",
        r#"(global $calls (mut i32) (i32.const 0)) (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (i32.eqz (i32.rem_u (global.get $calls) (i32.const 50))) (then (drop (memory.grow (i32.const 1)))))
            (i32.const 0))"#,
    );
    let squeamish = module(
        r#"(import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "x-odd") (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (if (i32.eqz (call $value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 16) (i32.const 20)))
                (then unreachable))
            (i32.const 0))"#,
    );
    let counts_chunks = module(
        r#"(import "env" "proxy_set_buffer_bytes" (func $write (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "!") (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1)))
            (i32.const 0))"#,
    );
    let manifest = "name = \"f\"\nbody = { response = \"stream\", rewrite = true }\n";
    let case = "- name: passes\n  response: { headers: { content-encoding: gzip }, body: \"0123456789\" }\n";
    for (module, said) in [
        (grows, "memory grows: "),
        (squeamish, "a header that is not UTF-8"),
        (counts_chunks, "not the same as with chunks all: the body: "),
    ] {
        let desk = Desk::new(&module);
        desk.write("filter.toml", manifest);
        desk.write("cases.yaml", case);
        contains(&desk.told(1, &["test"]), &[said, "1 failed"]);
    }
}

#[test]
fn bench_compares_two_modules() {
    let desk = Desk::new(&headers());
    desk.write("g.wasm", headers());
    let arguments = ["bench", "f.wasm", "--request", "r.http", "--requests", "200", "--compare", "g.wasm"];
    contains(
        &desk.told(0, &arguments),
        &["request_headers", "without a filter", "the second against the first", "2.0 an exchange"],
    );
    let told = desk.json(&[&arguments[..], &["--json"]].concat());
    assert_eq!(told["modules"][1]["callbacks"]["request_headers"]["count"], 200);
    assert!(told["modules"][0]["exchange"]["p50_ns"].as_u64() > Some(0), "{told}");
    assert!(Path::new(told["modules"][0]["module"].as_str().unwrap()).ends_with("f.wasm"));
}
