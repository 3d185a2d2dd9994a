//! Modules that cannot be used: refused with the reason, while the filter that serves goes on.

use lockgate::config::{FilterSettings, ModuleSource};

use super::guest::Guest;
use super::lab::{get, one, seen};
use crate::backend::Backend;

fn marked(name: &str) -> Guest {
    Guest::of("request_headers", &format!("(call $add_header_map_value #0 @\"x-mark\" @\"{name}\")"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_module_is_told_and_changes_nothing() {
    let backend = Backend::mirror().await;
    let lab = one(&marked("serving")).near().start(&backend).await;
    let text = |wat: &str| wat::parse_str(wat).unwrap();
    let guest = Guest::new();
    let valid = guest.wasm();
    let component = b"\0asm\x0d\0\x01\0".to_vec();
    let shell = r#"(memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
    let big = guest.clone().pages(32_769).wasm();
    for (case, wasm, told) in [
        (
            "unknown imports",
            Guest::new()
                .with(
                    "\n(import \"env\" \"proxy_redis_init\" (func (param i32)))\n(import \"other\" \"thing\" (func))\n",
                )
                .with("(import \"env\" \"table\" (table 1 funcref))\n")
                .wasm(),
            &["env.proxy_redis_init", "other.thing", "env.table", "not a function"][..],
        ),
        ("no marker", guest.clone().marked("").wasm(), &["no proxy_abi_version_0_2_1"]),
        ("another marker", guest.clone().marked("proxy_abi_version_0_9_9").wasm(), &["proxy_abi_version_0_9_9"]),
        ("no memory", text(r#"(module (func (export "proxy_abi_version_0_2_1")))"#), &["memory"]),
        ("no allocator", guest.clone().without_allocator().wasm(), &["proxy_on_memory_allocate", "malloc"]),
        (
            "a callback of another type",
            text(&format!(
                r#"(module {shell} (func (export "proxy_abi_version_0_2_1"))
                (func (export "proxy_on_request_headers") (param i64) (result i32) (i32.const 0)))"#
            )),
            &["proxy_on_request_headers"],
        ),
        (
            "an import of another type",
            Guest::new().with("\n(import \"env\" \"proxy_log\" (func (param i64)))\n").wasm(),
            &["proxy_log"],
        ),
        (
            "a start that traps",
            guest.clone().with("(func $begin (unreachable)) (start $begin)").wasm(),
            &["instantiation", "unreachable"],
        ),
        (
            "an _initialize that traps",
            guest.clone().with("(func (export \"_initialize\") (unreachable))").wasm(),
            &["_initialize", "unreachable"],
        ),
        (
            "a start that never ends",
            guest.clone().on("vm_start", "(loop $l (br $l))").wasm(),
            &["proxy_on_vm_start", "deadline"],
        ),
        (
            "configure says no",
            guest.clone().on("configure", r#"(call $log #3 @"no such rule: 7") (return #0)"#).wasm(),
            &["proxy_on_configure answered false", "no such rule: 7", "warn"],
        ),
        ("vm_start says no", guest.clone().on("vm_start", "(return #0)").wasm(), &["proxy_on_vm_start answered false"]),
        (
            "a host call before there is a context",
            guest.clone().with("(func (export \"_start\") (call $set_tick_period_milliseconds #1))").wasm(),
            &["proxy_set_tick_period_milliseconds", "initialises"],
        ),
        ("garbage", b"this is no module".to_vec(), &["not a WebAssembly module"]),
        ("nothing", Vec::new(), &["module"]),
        ("half a module", valid[..valid.len() / 2].to_vec(), &["end"]),
        ("a component", component, &["component"]),
        ("more memory than it may have", big, &["memory"]),
        ("memory above its own limit", guest.clone().pages(1025).wasm(), &["limits.memory"]),
    ] {
        let refused = lab.reload(&wasm, |filter| filter.limits.start_deadline = std::time::Duration::from_millis(100));
        let faults = refused.expect_err(case).join("\n");
        assert!(faults.starts_with("filter one: "), "{case}: {faults}");
        for part in told {
            assert!(faults.contains(part), "{case}: {part} is not in {faults}");
        }
        assert_eq!(seen(&lab.near("/").await, "x-mark"), ["serving"], "{case}");
        lab.is_quiet(2.0).await;
    }
    let mut settings = FilterSettings::new(ModuleSource::File(lab.dir().join("nowhere.wasm")));
    let faults = lab.reload_settings(settings.clone()).unwrap_err().join("\n");
    assert!(faults.contains("nowhere.wasm"), "{faults}");
    // What stands beside the module is read as well.
    std::fs::create_dir_all(lab.dir().join("beside")).unwrap();
    std::fs::write(lab.dir().join("beside/module.wasm"), &valid).unwrap();
    std::fs::write(lab.dir().join("beside/filter.toml"), "name = \"x\"\nbody = { request = \"all\" }\n").unwrap();
    settings.module = ModuleSource::File(lab.dir().join("beside/module.wasm"));
    let faults = lab.reload_settings(settings).unwrap_err().join("\n");
    assert!(faults.contains("filter.toml") && faults.contains("body.request"), "{faults}");
    assert!(lab.reload(&marked("next").wasm(), |_| {}).is_ok());
    assert_eq!(seen(&lab.near("/").await, "x-mark"), ["next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn abi_1_older_versions_load() {
    let backend = Backend::mirror().await;
    let lab = one(&marked("serving")).near().start(&backend).await;
    for marker in ["proxy_abi_version_0_1_0", "proxy_abi_version_0_2_0"] {
        let wasm = marked(marker).marked(marker).wasm();
        assert!(lab.reload(&wasm, |_| {}).is_ok(), "{marker}");
        assert_eq!(seen(&lab.near("/").await, "x-mark"), [marker]);
    }
    // 0.1.0: without the end of the stream, and with its own names.
    let old = Guest::new().marked("proxy_abi_version_0_1_0").with(
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32)
        (call $get_configuration OUT) (call $add_header_map_value #0 @"x-mark" GOT)
        (call $clear_route_cache) (call $continue_request) (i32.const 1))"#,
    );
    lab.reload(&old.wasm(), |filter| filter.configuration = b"as configured".to_vec().into()).unwrap();
    assert_eq!(seen(&lab.near("/").await, "x-mark"), ["as configured"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_modules_load_or_do_not() {
    let backend = Backend::mirror().await;
    let lab = one(&marked("serving")).near().start(&backend).await;
    let valid = marked("mutated").on("log", r#"(call $log #2 @"line")"#).on("tick", "").wasm();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..200 {
        let mut wasm = valid.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..wasm.len());
            match random.u8(..4) {
                0 => wasm.truncate(at.max(1)),
                1 => wasm.insert(at, random.u8(..)),
                _ => wasm[at] = random.u8(..),
            }
        }
        let quick = |filter: &mut FilterSettings| filter.limits.start_deadline = std::time::Duration::from_millis(20);
        match lab.reload(&wasm, quick) {
            Ok(_) => loaded += 1,
            Err(faults) => {
                assert!(!faults.is_empty() && faults.iter().all(|fault| fault.len() < 4096), "{faults:?}");
                refused += 1;
            }
        }
        // Whatever serves now answers, or fails by name.
        let answer = lab.near("/").await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
    }
    assert!(loaded > 0 && refused > 50, "{loaded} {refused}");
    lab.reload(&marked("whole").wasm(), |_| {}).unwrap();
    assert_eq!(seen(&lab.ask(super::lab::How::Near, &get("/")).await, "x-mark"), ["whole"]);
}

/// The reference of host calls is made from the code.
#[test]
fn the_documentation_has_the_host_calls_of_the_code() {
    let page = std::fs::read_to_string("docs/filters.md").unwrap();
    let expected = lockgate::filters::reference_markdown();
    assert!(page.contains(&expected), "docs/filters.md, between its two comments, has to be:\n{expected}");
}
