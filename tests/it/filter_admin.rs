//! Filters as operators meet them: in `/status`, and replaced through the admin port.

use std::net::SocketAddr;

use lockgate::config::{EdgeConfig, FilterSettings, ModuleSource, Payload};
use serde_json::Value;

use crate::backend::Backend;
use crate::client::{Answer, get, h1};
use crate::world::{Plan, World, plan};

/// A filter that sets `x-wat` on responses, says so when it starts, and starts if `starts`.
fn module(value: &str, starts: bool) -> Vec<u8> {
    let starts = u8::from(starts);
    let length = value.len();
    let text = format!(
        r#"(module
          (import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "x-wat{value}")
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
          (func (export "proxy_on_context_create") (param i32 i32))
          (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $log (i32.const 2) (i32.const 5) (i32.const {length}))) (i32.const {starts}))
          (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (drop (call $set (i32.const 2) (i32.const 0) (i32.const 5) (i32.const 5) (i32.const {length})))
            (i32.const 0)))"#
    );
    wat::parse_str(text).unwrap()
}

/// An app behind a filter `mark` that does nothing yet.
fn filtered(backend: &Backend) -> Plan {
    let rules = Payload::from(br#"{"rules": []}"#.to_vec());
    let builtin = FilterSettings::new(ModuleSource::Builtin("header-rewrite".to_owned()));
    let filter = FilterSettings { configuration: rules, ..builtin };
    plan()
        .app_with("shop", backend.url(), |app| app.filters = vec!["mark".to_owned()])
        .set(|config| drop(config.filters.insert("mark".to_owned(), filter)))
}

async fn put(addr: SocketAddr, name: &str, fields: &str, body: &[u8]) -> Answer {
    let mut client = h1(addr).await;
    let head = format!("PUT /filters/{name} HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n", body.len());
    client.send(&head).await;
    client.send_bytes(body).await;
    client.answer("PUT").await.unwrap()
}

fn said(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

async fn status(world: &World) -> Value {
    said(&get(world.admin, "admin", "/status").await)
}

async fn mark(world: &World) -> Option<String> {
    get(world.http, "shop.test", "/").await.field("x-wat").map(str::to_owned)
}

const LOCAL: &str = "host: localhost\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_each_filter_is() {
    let backend = Backend::mirror().await;
    let world = filtered(&backend).start().await;
    let status = status(&world).await;
    let filter = &status["filters"].as_array().unwrap().iter().find(|one| one["filter"] == "mark").unwrap().clone();
    assert_eq!((&filter["generation"], &filter["state"]), (&1.into(), &"serving".into()), "{filter}");
    assert_eq!(filter["apps"], serde_json::json!(["shop", "shop-http"]));
    assert_eq!((&filter["abi"], &filter["uploaded"]), (&"0.2.1".into(), &false.into()));
    assert_eq!((&filter["request_body"], &filter["response_body"]), (&"none".into(), &"none".into()));
    assert_eq!(filter["hash"].as_str().map(str::len), Some(64));
    assert!(filter["size"].as_u64() > Some(1000) && filter["instances"].as_i64() > Some(0), "{filter}");
    assert!(filter["spares"].as_i64() > Some(0) && filter["last_error"].is_null(), "{filter}");
    assert_eq!(filter["fail_open"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_replaced_and_told_step_by_step() {
    let backend = Backend::mirror().await;
    let world = filtered(&backend).start().await;
    assert_eq!(mark(&world).await, None);
    let answer = put(world.admin, "mark", LOCAL, &module("one", true)).await;
    let steps = said(&answer);
    assert_eq!((answer.status, &steps["generation"], &steps["unchanged"]), (200, &2.into(), &false.into()), "{steps}");
    assert_eq!(steps["canary"], serde_json::json!([{"level": "info", "text": "one"}]));
    assert!(steps["compile_ms"].is_number() && steps["capabilities"] == serde_json::json!([]), "{steps}");
    assert_eq!(mark(&world).await.as_deref(), Some("one"));
    let again = said(&put(world.admin, "mark", LOCAL, &module("one", true)).await);
    assert_eq!((&again["generation"], &again["unchanged"]), (&2.into(), &true.into()), "{again}");
    let after = status(&world).await;
    let filter = after["filters"].as_array().unwrap().iter().find(|one| one["filter"] == "mark").unwrap();
    assert_eq!((&filter["uploaded"], &filter["hash"]), (&true.into(), &steps["hash"]), "{filter}");
    assert_eq!(world.metric("lockgate_filter_generation{filter=\"mark\"}").await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_module_leaves_the_old_one_and_says_why() {
    let backend = Backend::mirror().await;
    let world = filtered(&backend).start().await;
    assert_eq!(put(world.admin, "mark", LOCAL, &module("one", true)).await.status, 200);
    for (bytes, reason) in [
        (b"GIF89a".to_vec(), "not a WebAssembly module"),
        (module("two", false), "it said (info): two"),
        (wat::parse_str("(module (memory (export \"memory\") 1))").unwrap(), "no Proxy-Wasm filter"),
    ] {
        let answer = put(world.admin, "mark", LOCAL, &bytes).await;
        let refused = said(&answer);
        assert_eq!((answer.status, &refused["generation"]), (422, &2.into()), "{refused}");
        assert!(refused["reason"].as_str().unwrap().contains(reason), "{refused}");
        let noted = status(&world).await["last_reload_error"].as_str().unwrap().to_owned();
        assert!(noted.contains("filter mark") && noted.contains(reason), "{noted}");
        assert_eq!(mark(&world).await.as_deref(), Some("one"));
    }
    let unknown = put(world.admin, "other", LOCAL, &module("x", true)).await;
    assert!(unknown.status == 404 && unknown.text().contains("mark"), "{}", unknown.text());
    assert_eq!(put(world.admin, "mark", LOCAL, &module("two", true)).await.status, 200);
    assert!(status(&world).await["last_reload_error"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_puts_the_configured_module_back_and_a_bad_one_names_its_filter() {
    let backend = Backend::mirror().await;
    let world = filtered(&backend).start().await;
    assert_eq!(put(world.admin, "mark", LOCAL, &module("one", true)).await.status, 200);
    world.edge.reload(world.config.clone()).unwrap();
    assert_eq!(mark(&world).await, None);
    let now = world.edge.filters();
    assert!(now.iter().all(|filter| !filter.uploaded) && now.iter().any(|filter| filter.generation == 3), "{now:?}");
    let file = world.dir.path().join("broken.wasm");
    std::fs::write(&file, "nothing").unwrap();
    let mut config = EdgeConfig { ..world.config.clone() };
    config.filters.insert("mark".to_owned(), FilterSettings::new(ModuleSource::File(file)));
    let faults = world.edge.reload(config).unwrap_err();
    assert!(faults[0].starts_with("filter mark: ") && faults[0].contains("not a WebAssembly module"), "{faults:?}");
    assert_eq!(status(&world).await["last_reload_error"], faults[0].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_rebound_names_bring_no_code() {
    let backend = Backend::mirror().await;
    let world = filtered(&backend).start().await;
    let wasm = module("one", true);
    for fields in [
        "host: evil.test\r\n",
        "host: localhost\r\norigin: http://localhost\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
        "host: localhost\r\nsec-fetch-site: same-origin\r\n",
    ] {
        let answer = put(world.admin, "mark", fields, &wasm).await;
        assert_eq!(answer.status, 403, "{fields}");
        assert!(said(&answer)["reason"].is_string());
    }
    assert_eq!(mark(&world).await, None);
    let mut client = h1(world.admin).await;
    client.send("POST /filters/mark HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
    let answer = client.answer("POST").await.unwrap();
    assert_eq!((answer.status, answer.field("allow")), (405, Some("PUT")));
    client.send("PUT /filters/mark HTTP/1.1\r\nhost: localhost\r\ncontent-length: 67108865\r\n\r\n").await;
    assert_eq!(client.answer("PUT").await.unwrap().status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_port_beyond_this_machine_takes_no_code() {
    let backend = Backend::mirror().await;
    let open = SocketAddr::from(([0, 0, 0, 0], 0));
    let world = filtered(&backend).set(|config| config.listen.admin = Some(open)).start().await;
    let here = SocketAddr::from(([127, 0, 0, 1], world.admin.port()));
    let answer = put(here, "mark", LOCAL, &module("one", true)).await;
    assert!(answer.status == 403 && answer.text().contains("loopback"), "{}", answer.text());
    assert_eq!(get(here, "admin", "/healthz").await.status, 200);
}
