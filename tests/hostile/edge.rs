//! T07: an edge that means no good, towards the connector. The connector dials what was pushed to it and nothing else,
//! follows nothing, and outlives any frames: it drops the link and dials again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate::app::connector::Connector;
use lockgate::backend::dns;
use lockgate::config::{ConnectorConfig, DialSettings};
use lockgate::connector::Credentials;
use lockgate::control::ca::Authority;
use lockgate::io::worker::{Driver, Workers};
use lockgate::metrics::Metrics;
use lockgate::tls;
use lockgate::tunnel::PROBES_MISSED_AFTER;
use lockgate::tunnel::csr::generate_csr;
use lockgate::tunnel::hello::{self, Answer, Hello, Welcome};
use lockgate::tunnel::tls::EdgeTls;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::backend::{Backend, Journal};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADER_TABLE_SIZE, HEADERS, PREFACE, PUSH_PROMISE,
    SETTINGS, block, credit, frame, headers, settings,
};
use crate::world::{Scratch, loopback, within};

/// An edge by hand, and a connector that has enrolled with it.
pub(super) struct Lure {
    listener: TcpListener,
    tls: EdgeTls,
    pub(super) backend: Backend,
    journal: Journal,
    /// The connector's.
    pub(super) metrics: Arc<Metrics>,
    _connector: (Connector, Workers, Scratch),
}

impl Lure {
    async fn start() -> Self {
        Self::of(loopback(), dns::Office::start(&Handle::current())).await
    }

    /// A connector that dials so, and believes this resolver.
    pub(super) async fn of(dial: DialSettings, resolver: dns::Office) -> Self {
        let dir = Scratch::new();
        let authority = Authority::open_or_create(dir.path()).unwrap();
        let (chain, key) = authority.issue_edge().unwrap();
        let tls = EdgeTls::new(authority.certificate_der(), &chain, &key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (key, csr) = generate_csr().unwrap();
        let issued = authority.sign_connector(&csr, "lured", Duration::from_secs(86_400)).unwrap();
        let credentials = Credentials {
            edge: listener.local_addr().unwrap().to_string(),
            connector: "lured".into(),
            certificate: STANDARD.encode(&issued.certificate_der),
            authority: STANDARD.encode(authority.certificate_der()),
            key,
            token: String::new(),
        };
        let (workers, _) = Workers::start("test-lured", 1, Driver::Auto).unwrap();
        let config = ConnectorConfig { data_dir: dir.path().join("lured"), dial, ..ConnectorConfig::default() };
        let metrics = Arc::new(Metrics::new().unwrap());
        let (here, shared) = (Handle::current(), metrics.clone());
        let connector = Connector::start_with(&here, &workers, &config, credentials, shared, resolver).await.unwrap();
        let (backend, journal) = Backend::recording().await;
        Self { listener, tls, backend, journal, metrics, _connector: (connector, workers, dir) }
    }

    /// The next link: welcomed, and told of one app.
    async fn link(&self) -> Frames {
        self.link_with(&push(self.backend.addr)).await
    }

    /// The same with a push of one's own.
    pub(super) async fn link_with(&self, push: &str) -> Frames {
        let (tcp, _) = within("the connector dials", self.listener.accept()).await.unwrap();
        let (tcp, offered) = tls::read_hello(tcp).await.unwrap();
        let mut stream = tls::accept(tcp, offered, self.tls.link.clone()).await.unwrap();
        let _: Hello = hello::read(&mut stream).await.unwrap();
        let welcome = Welcome { software: "lure".into(), workers: 1, group: "g".into(), name: "n".into() };
        hello::write(&mut stream, &Answer::Ok(welcome)).await.unwrap();
        let mut frames = Frames::over(stream);
        let control = headers(1, &service("control"), 0);
        let config = control_message(push);
        frames
            .write(&[PREFACE, &settings(&[(HEADER_TABLE_SIZE, 0)]), &control, &frame(DATA, 0, 1, &config)].concat())
            .await;
        frames
    }
}

fn push(backend: SocketAddr) -> String {
    let target = format!(
        r#"{{"tls":false,"host":"127.0.0.1","wildcard":false,"port":{},"protocol":"auto","verify":"platform","response_timeout_ms":5000}}"#,
        backend.port()
    );
    format!(r#"{{"config":{{"generation":1,"apps":[{{"name":"shop","revision":"r","target":{target}}}]}}}}"#)
}

pub(super) fn control_message(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat()
}

fn service(kind: &str) -> [(&str, &str); 5] {
    let [method, scheme, authority] = [(":method", "POST"), (":scheme", "http"), (":authority", "lockgate")];
    [method, scheme, authority, (":path", "/"), ("lockgate-service", kind)]
}

/// A relay stream to `app`, with `more` in front of what is its own.
pub(super) fn relay<'a>(app: &'a str, method: &'a str, authority: &'a str, path: &'a str) -> [(&'a str, &'a str); 5] {
    [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), ("lockgate-envelope", app)]
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_only_what_was_pushed_is_dialled() {
    let lure = Lure::start().await;
    let trap = Backend::mirror().await;
    let elsewhere = trap.addr.to_string();
    let absolute = format!("http://{elsewhere}/");
    let mut frames = lure.link().await;
    let mut stream = 1;
    let mut ask = async |frames: &mut Frames, fields: &[(&str, &str)]| {
        stream += 2;
        frames.headers(stream, fields, END_STREAM).await;
        frames.end_of(stream).await
    };
    // The pushed app is served, whatever host the request names.
    assert_eq!(ask(&mut frames, &relay("r\tshop", "GET", &elsewhere, "/case")).await, End::Status(200));
    let seen = lure.journal.take();
    assert_eq!(seen.len(), 1);
    for (case, fields) in [
        ("another app", relay("r\tother", "GET", &elsewhere, "/")),
        ("no app", relay("", "GET", &elsewhere, "/")),
        ("an address for an app", relay(&elsewhere, "GET", &elsewhere, "/")),
        ("a path with a host", relay("r\tshop", "GET", "x", &absolute)),
        ("a path that is none", relay("r\tshop", "GET", "x", "case")),
        ("CONNECT", relay("r\tshop", "CONNECT", &elsewhere, "/")),
    ] {
        let end = within(case, ask(&mut frames, &fields)).await;
        assert!(!matches!(end, End::Status(200)) || !lure.journal.take().is_empty(), "T07 {case}: {end:?}");
        assert!(!matches!(end, End::Connection(_)), "T07 {case}: {end:?}");
    }
    assert_eq!(trap.connections(), 0, "T07");
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_redirects_are_not_followed() {
    let lure = Lure::start().await;
    let trap = Backend::mirror().await;
    let answer =
        format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", trap.addr);
    let backend = Backend::answering(answer).await;
    let mut frames = lure.link().await;
    let moved = push(backend.addr).replace("\"generation\":1", "\"generation\":2").replace("\"r\"", "\"s\"");
    frames.send(DATA, 0, 1, &control_message(&moved)).await;
    frames.headers(3, &relay("s\tshop", "GET", "x", "/"), END_STREAM).await;
    assert_eq!(frames.end_of(3).await, End::Status(307));
    assert_eq!((backend.connections(), trap.connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_a_link_of_bad_frames_is_dropped_and_dialled_again() {
    let bulk = frame(CONTINUATION, 0, 3, &block(&[("x", &"y".repeat(16_000))])).repeat(70);
    for (case, bytes) in [
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 3, &[0; 8])),
        ("DATA of stream 0", frame(DATA, 0, 0, b"x")),
        ("DATA of an idle stream", frame(DATA, 0, 99, b"x")),
        ("an even stream", headers(2, &relay("r\tshop", "GET", "x", "/"), END_STREAM)),
        ("a block that cannot be decoded", frame(HEADERS, END_HEADERS, 3, &[0xff; 9])),
        ("a block that never ends", [frame(HEADERS, 0, 3, &block(&[(":method", "GET")])), bulk].concat()),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("credit beyond 2^31-1", credit(0, (1 << 31) - 1).repeat(2)),
        ("a frame larger than allowed", frame(DATA, 0, 1, &vec![0; (64 << 10) + 1])),
        ("garbage on the control stream", frame(DATA, 0, 1, &control_message("garbage"))),
        ("a control message of 4 GiB", frame(DATA, 0, 1, &[0xff; 8])),
    ] {
        // A connector each: one that was deceived often waits longer and longer.
        let lure = Lure::start().await;
        let mut frames = lure.link().await;
        let began = Instant::now();
        frames.write(&bytes).await;
        while frames.next().await.is_some() {}
        assert!(began.elapsed() < PROBES_MISSED_AFTER, "T07 {case}: not for its silence");
        let mut frames = lure.link().await;
        frames.headers(3, &relay("r\tshop", "GET", "x", "/canary"), END_STREAM).await;
        assert_eq!(frames.end_of(3).await, End::Status(200), "T07 {case}");
    }
}
