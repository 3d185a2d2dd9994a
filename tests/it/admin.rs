//! The admin port: what a scraper, a load balancer and an operator are told, and that it is true.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lockgate::connector::Credentials;
use lockgate::metrics::{CustomKind, DeniedCapability, FilterFailure, FilterPhase, HttpCallResult, Metrics, Shard};
use lockgate::sample::Sample;
use serde_json::Value;

use crate::backend::Backend;
use crate::client::{Answer, get, h1, h2};
use crate::forwarder::Forwarder;
use crate::gate::Gate;
use crate::socket::Socket;
use crate::world::{World, plan, read_metric, until};

/// What filters define themselves.
const CUSTOM: &str = "lockgate_filter_custom_";

async fn ask(addr: SocketAddr, path: &str) -> Answer {
    get(addr, "admin", path).await
}

async fn status(addr: SocketAddr) -> Value {
    let answer = ask(addr, "/status").await;
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_says_what_it_is() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    for addr in [world.admin, world.connectors[0].connector.admin().unwrap()] {
        for (path, code, text) in [
            ("/", 200, "/metrics\n/healthz\n/readyz\n/status\n"),
            ("/healthz", 200, "ok\n"),
            ("/readyz", 200, "ready\n"),
            ("/status", 200, "\"role\""),
            ("/metrics", 200, "# TYPE lockgate_build_info gauge"),
            ("/metrics?x=1", 200, "process_open_fds"),
            ("/nothing", 404, "not here"),
            ("/metrics/", 404, "not here"),
        ] {
            let answer = ask(addr, path).await;
            assert_eq!(answer.status, code, "{path}: {}", answer.text());
            assert!(answer.text().contains(text), "{path}: {}", answer.text());
            assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}");
        }
        let mut client = h1(addr).await;
        for (method, code) in [("POST", 405), ("DELETE", 405), ("HEAD", 200)] {
            client.send(&format!("{method} /status HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")).await;
            let answer = client.answer(method).await.unwrap();
            assert_eq!(answer.status, code, "{method}");
            assert_eq!(answer.field("allow"), (code == 405).then_some("GET, HEAD"), "{method}");
        }
    }
    let content_type = ask(world.admin, "/metrics").await.field("content-type").map(str::to_owned);
    assert_eq!(content_type.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn o13_the_public_ports_do_not_lead_to_it() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    for host in [world.admin.to_string(), "localhost".into(), "127.0.0.1".into(), "[::1]".into()] {
        for path in ["/metrics", "/status", "/readyz"] {
            let answer = get(world.http, &host, path).await;
            assert_eq!(answer.status, 404, "{host}{path}: {}", answer.text());
            assert!(answer.text().contains("not-published"), "{host}{path}: {}", answer.text());
        }
    }
    let answer = get(world.http, "shop.test", "/metrics").await;
    assert!(answer.text().starts_with("GET /metrics"), "an app's own /metrics is the app's: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_ready_while_it_has_a_link() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(0).start().await;
    let forwarder = Forwarder::to(world.https).await;
    forwarder.block();
    let (credentials, data_dir) = world.enrol("default").await;
    let credentials = Credentials { edge: forwarder.addr.to_string(), ..credentials };
    let index = world.launch(credentials, data_dir).await;
    let addr = world.connectors[index].connector.admin().unwrap();
    assert_eq!(ask(addr, "/healthz").await.status, 200);
    let answer = ask(addr, "/readyz").await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "not ready: no link is up yet\n"));
    assert_eq!(status(addr).await["proven"], false);
    forwarder.unblock();
    until("ready", async || ask(addr, "/readyz").await.status == 200).await;
    let said = status(addr).await;
    assert_eq!((&said["proven"], &said["links"][0]["state"]), (&true.into(), &"up".into()), "{said}");
    assert_eq!((said["role"].as_str(), said["edge"].as_str()), (Some("connector"), Some(&*forwarder.addr.to_string())));
    forwarder.block();
    forwarder.cut();
    until("not ready", async || ask(addr, "/readyz").await.status == 503).await;
    assert!(ask(addr, "/readyz").await.text().len() > "not ready: \n".len());
    assert_eq!(ask(world.admin, "/readyz").await.status, 200, "the edge listens, whoever is connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_names_apps_groups_connectors_and_links() {
    let backend = Backend::mirror().await;
    let mut world = plan()
        .app("shop", backend.url())
        .app_with("lone", backend.url(), |app| app.group = "empty".into())
        .app_with("near", backend.url(), |app| app.group = "local".into())
        .connectors(2)
        .edge_workers(2)
        .start()
        .await;
    world.connectors[1].kill();
    let gone = world.connectors[1].credentials.connector.clone();
    until("its links are gone", async || world.links_of(&gone).await.is_empty()).await;
    let said = status(world.admin).await;
    assert_eq!((&said["role"], &said["generation"]), (&"edge".into(), &1.into()));
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["last_reload_error"], Value::Null);
    let app = &said["apps"][0];
    assert_eq!((&app["app"], &app["group"]), (&"shop".into(), &"default".into()));
    assert_eq!((&app["external_url"], &app["internal_url"]), (&"https://shop.test/".into(), &backend.url().into()));
    assert_eq!(said["groups"].as_array().unwrap().len(), 2, "local is no group of connectors: {said}");
    for (index, (name, up, served)) in [("default", 2, true), ("empty", 0, false)].into_iter().enumerate() {
        let group = &said["groups"][index];
        assert_eq!((&group["group"], &group["links_up"]), (&name.into(), &up.into()), "{group}");
        assert_eq!(group["served"], served);
    }
    let states: BTreeSet<_> = said["connectors"].as_array().unwrap().iter().map(|one| one["state"].as_str()).collect();
    assert_eq!(states, BTreeSet::from([Some("active"), Some("inactive")]), "{said}");
    let active = said["connectors"].as_array().unwrap().iter().find(|one| one["state"] == "active").unwrap();
    assert_eq!(active["connector"], world.connectors[0].credentials.connector);
    assert_eq!((active["links"].as_array().unwrap().len(), &active["links"][0]["state"]), (2, &"up".into()));
    for field in ["name", "host", "version", "enrolled_at", "last_seen_at", "certificate_ends_at"] {
        assert!(!active[field].is_null(), "{field} in {active}");
    }
    assert!(active["links"][0]["rtt_ms"].is_number() && active["links"][0]["generation"] == 1, "{active}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_say_what_the_clients_did() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).edge_workers(2).start().await;
    for _ in 0..3 {
        assert_eq!(get(world.http, "shop.test", "/download?bytes=1000").await.body.len(), 1000);
    }
    assert_eq!(get(world.http, "shop.test", "/nothing").await.status, 404);
    let mut http2 = h2(world.https, "shop.test").await;
    let put = http::Request::put("https://shop.test/upload").body(()).unwrap();
    assert_eq!(http2.request(put, &[7; 5000]).await.unwrap().status, 200);
    assert_eq!(http2.get("https://shop.test/redirect").await.unwrap().status / 100, 3);
    let mut socket = Socket::open(world.http, "shop.test").await;
    assert_eq!(socket.echo("hello").await.as_deref(), Some("hello"));
    assert_eq!(world.metric("lockgate_open_streams{app=\"shop-http\",kind=\"websocket\"}").await, 1.0);
    drop(socket);
    let ended = "lockgate_requests_total{app=\"shop-http\",class=\"1xx\",protocol=\"websocket\"}";
    until("the WebSocket is counted", async || world.metric(ended).await == 1.0).await;
    let text = world.metrics.render().await;
    for (series, value) in [
        ("lockgate_requests_total{app=\"shop-http\",class=\"2xx\",protocol=\"h1\"}", 3.0),
        ("lockgate_requests_total{app=\"shop-http\",class=\"4xx\",protocol=\"h1\"}", 1.0),
        ("lockgate_requests_total{app=\"shop\",class=\"2xx\",protocol=\"h2\"}", 1.0),
        ("lockgate_requests_total{app=\"shop\",class=\"3xx\",protocol=\"h2\"}", 1.0),
        ("lockgate_request_duration_seconds_count{app=\"shop-http\"}", 4.0),
        ("lockgate_request_duration_seconds_count{app=\"shop\"}", 2.0),
        ("lockgate_body_bytes_total{app=\"shop\",direction=\"in\"}", 5000.0),
        ("lockgate_open_streams{app=\"shop-http\",kind=\"websocket\"}", 0.0),
        ("lockgate_open_streams{app=\"shop-http\",kind=\"request\"}", 0.0),
        ("lockgate_open_streams{app=\"shop\",kind=\"request\"}", 0.0),
        ("lockgate_client_connections_total{listener=\"http\"}", 5.0),
        ("lockgate_client_connections_total{listener=\"https\"}", 1.0),
        ("lockgate_client_connections{listener=\"https\"}", 1.0),
        ("lockgate_tls_handshakes_total{kind=\"public\",result=\"ok\"}", 1.0),
        ("lockgate_tls_handshakes_total{kind=\"join\",result=\"ok\"}", 1.0),
        ("lockgate_tls_handshakes_total{kind=\"link\",result=\"ok\"}", 2.0),
        ("lockgate_config_generation", 1.0),
        ("lockgate_queued_requests", 0.0),
    ] {
        assert!(text.contains(series), "{series} is not there:\n{text}");
        assert_eq!(read_metric(&text, series), value, "{series}");
    }
    let out = read_metric(&text, "lockgate_body_bytes_total{app=\"shop-http\",direction=\"out\"}");
    assert!(out > 3000.0 && out < 10_000.0, "{out} bytes to clients");
    assert!(!text.contains("lockgate_errors_total"), "a backend's own 404 is nobody's failure:\n{text}");
}

/// A world in which every family has counted something, so that every family is rendered.
async fn exercised() -> (World, String) {
    let gate = Gate::closed().await;
    let mut world =
        plan().app("shop", gate.url()).connectors(2).set(|config| config.limits.connections = 64).start().await;
    assert_eq!(get(world.http, "nobody.test", "/").await.status, 404);
    world.edge.reload(world.config.clone()).unwrap();
    world.linked(&world.connectors[0].credentials.connector).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = h1(world.http).await;
        client.send("GET /hold HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
        clients.push(client);
    }
    gate.has_seen(8).await;
    world.connectors[0].kill();
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.unwrap().status, 200);
    }
    for _ in 0..64 {
        clients.push(h1(world.http).await);
    }
    let refused = "lockgate_refused_connections_total{limit=\"connections\"}";
    until("a connection is refused", async || world.metric(refused).await > 0.0).await;
    drop(clients);
    filtered(&world.metrics);
    let text = world.metrics.render().await;
    (world, text)
}

/// What filters count, counted by hand.
fn filtered(metrics: &Arc<Metrics>) {
    let local = tokio::task::LocalSet::new();
    let _here = local.enter();
    let filter = Shard::start(metrics).filter("gate");
    filter.call(FilterPhase::RequestHeaders, Duration::from_micros(2));
    filter.local_reply(401);
    filter.failure(FilterFailure::Trap);
    filter.shared().http_call("auth", HttpCallResult::Ok);
    filter.shared().denied(DeniedCapability::SharedData);
    for kind in [CustomKind::Counter, CustomKind::Gauge, CustomKind::Histogram] {
        let _ = metrics.custom.define("gate", kind, "Hits{route=\"a\"}", 10);
        let _ = metrics.custom.define("gate", kind, "x_count", 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_family_is_documented_and_every_documented_family_exists() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (_world, text) = exercised().await;
    let family = |name| if str::starts_with(name, CUSTOM) { "lockgate_filter_custom_*" } else { name };
    let rendered: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(family).collect();
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
        .filter(|name| name.starts_with("lockgate_") || name.starts_with("process_"))
        .collect();
    assert_eq!(rendered, documented, "left: what is rendered, right: {}", file.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say() {
    let (_world, text) = exercised().await;
    let command = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = command else {
        return eprintln!("SKIPPED: no promtool on PATH; the exposition was not checked");
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_answers_while_clients_hold_everything() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).start().await;
    let mut waiting = h1(world.http).await;
    waiting.send("GET /hold HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    gate.has_seen(1).await;
    let began = std::time::Instant::now();
    let text = ask(world.admin, "/metrics").await.text();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(read_metric(&text, "lockgate_open_streams{app=\"shop-http\",kind=\"request\"}"), 1.0);
}
