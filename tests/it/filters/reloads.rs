//! Filters that are replaced while requests run: nobody notices, and nothing is left of the old ones.

use super::guest::Guest;
use super::lab::{chain, one, seen};
use crate::backend::Backend;
use crate::client::h1;
use crate::gate::Gate;
use crate::load::Load;

fn marked(name: &str) -> Guest {
    let mark = |map: u32| format!("(call $add_header_map_value #{map} @\"x-mark\" @\"{name}\")");
    Guest::of("request_headers", &mark(0)).on("response_headers", &mark(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reloads_under_load_lose_nothing() {
    let backend = Backend::mirror().await;
    let modules = [marked("a").wasm(), marked("b").wasm()];
    let lab = one(&marked("first")).workers(2).near().start(&backend).await;
    let load = Load::start(lab.world.http, 8, "GET / HTTP/1.1\r\nhost: near.test\r\n\r\n");
    for round in 0..200 {
        let generation = lab.reload(&modules[round % 2], |_| {}).unwrap();
        assert_eq!(generation, round as u64 + 2);
    }
    load.goes_on(100).await;
    let tally = load.finish().await;
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!(seen(&lab.near("/").await, "x-mark"), ["b"]);
    // One that serves and one spare on each worker at most; the old ones are swept once a second.
    for _ in 0..20 {
        lab.near("/").await;
    }
    let instances = async || lab.gauge("instances").await;
    crate::world::until("the old instances are gone", async || instances().await <= 4.0).await;
    assert!(instances().await >= 3.0);
    assert!(lab.gauge("generation").await >= 201.0);
    assert_eq!(lab.world.metric("lockgate_filter_memory_bytes{filter=\"one\"}").await % 262_144.0, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_with_the_filter_it_began_with() {
    let gate = Gate::closed().await;
    let lab = chain().filter("one", &marked("old"), |_| {}).start(&gate.backend).await;
    let mut clients = Vec::new();
    for host in ["shop.test", "near.test"] {
        let mut client = h1(lab.world.http).await;
        client.send(&format!("GET /hold HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        clients.push(client);
    }
    gate.has_seen(2).await;
    lab.reload(&marked("new").wasm(), |_| {}).unwrap();
    assert_eq!(lab.near("/").await.field("x-mark"), Some("new"));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.unwrap().field("x-mark"), Some("old"));
    }
    lab.is_quiet(2.0).await;
    // The same again is the same filter, not another.
    let config = lab.world.config.clone();
    lab.world.edge.reload(config.clone()).unwrap();
    let generation = lab.gauge("generation").await;
    lab.world.edge.reload(config).unwrap();
    assert_eq!(lab.gauge("generation").await.to_bits(), generation.to_bits());
}
