//! T07 and T08: where a connector does not go, whatever its edge has pushed and whatever a name server says. Each
//! refusal comes before a connection: listeners stand where it must not go, and nobody comes.

use std::collections::HashMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate::backend::dns;
use lockgate::config::DialSettings;
use tokio::runtime::Handle;

use super::edge::{Lure, control_message, relay};
use crate::backend::Backend;
use crate::client::get;
use crate::frames::{DATA, END_STREAM, End, Frames};
use crate::world::{plan, read_metric, within};

/// Names and what they lead to at the moment; an answer lives for one request. Names it does not know lead to this
/// machine: the worst that a name server can say.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Names {
    fn lead(&self, name: &str, to: &[&str]) {
        self.0.lock().unwrap().insert(name.to_owned(), to.iter().map(|ip| ip.parse().unwrap()).collect());
    }

    fn office(&self) -> dns::Office {
        let names = self.0.clone();
        dns::Office::answering(&Handle::current(), move |name| {
            let here = || vec![[127, 0, 0, 1].into()];
            Ok((names.lock().unwrap().get(name).cloned().unwrap_or_else(here), Duration::ZERO))
        })
    }
}

/// Listeners that nobody may reach.
struct Traps(Vec<TcpListener>);

impl Traps {
    fn at(ips: &[&str], port: u16) -> Self {
        let bind = |ip: &&str| TcpListener::bind((ip.parse::<IpAddr>().unwrap(), port)).unwrap();
        let traps = Self(ips.iter().map(bind).collect());
        traps.0.iter().for_each(|trap| trap.set_nonblocking(true).unwrap());
        traps
    }

    fn port(&self) -> u16 {
        self.0[0].local_addr().unwrap().port()
    }

    fn are_empty(&self) -> bool {
        self.0.iter().all(|trap| trap.accept().is_err())
    }
}

fn push(generation: u32, apps: &[(String, &str, u16)]) -> String {
    let apps = apps.iter().map(|(name, host, port)| {
        format!(
            r#"{{"name":"{name}","revision":"{generation}","target":{{"tls":false,"host":"{host}","wildcard":false,"port":{port},"protocol":"auto","verify":"platform","response_timeout_ms":5000}}}}"#
        )
    });
    let apps: Vec<_> = apps.collect();
    format!(r#"{{"config":{{"generation":{generation},"apps":[{}]}}}}"#, apps.join(","))
}

fn dial(allow: &[String]) -> DialSettings {
    DialSettings { allow: allow.iter().map(|entry| entry.parse().unwrap()).collect(), deny: Vec::new() }
}

async fn ask(frames: &mut Frames, stream: u32, generation: u32, app: &str) -> End {
    let envelope = format!("{generation}\t{app}");
    frames.headers(stream, &relay(&envelope, "GET", "x", "/"), END_STREAM).await;
    within(app, frames.end_of(stream)).await
}

async fn refusals(lure: &Lure) -> f64 {
    let text = lure.metrics.render().await;
    read_metric(&text, "lockgate_errors_total{reason=\"backend-forbidden\",side=\"backend\"}")
}

/// Hosts that lead to this machine or to a cloud's metadata, as an edge might push them.
const ODD: [&str; 38] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0X7F.0.0.1",
    "0x7f.1",
    "127.0.0.1.",
    "127.0.0.2",
    "0",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "::1",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "loopback.corp",
    "loopback6.corp",
    "mapped.corp",
    "metadata.corp",
    "169.254.169.254",
    "2852039166",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "[fe80::1%25lo]",
    "unix:/run/docker.sock",
    "127.0.0.1:80@10.0.0.5",
];

fn names() -> Names {
    let names = Names::default();
    names.lead("loopback6.corp", &["::1"]);
    names.lead("mapped.corp", &["::ffff:127.0.0.1", "::ffff:7f00:2"]);
    names.lead("metadata.corp", &["169.254.169.254", "fd00:ec2::254"]);
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_no_spelling_of_a_denied_address_is_dialled() {
    let traps = Traps::at(&["127.0.0.1", "127.0.0.2"], 0);
    let more = Traps::at(&["127.0.0.2", "::1"], traps.port());
    let apps: Vec<_> = ODD.iter().enumerate().map(|(index, host)| (format!("a{index}"), *host, traps.port())).collect();
    // Nothing is allowed by name; then a list that names other things; then all of the Internet, and every name.
    let everything = ["0.0.0.0/0", "::/0", "*.corp", "*.localhost"].map(str::to_owned);
    for allow in [&[][..], &["10.0.0.0/8".to_owned()], &everything] {
        let lure = Lure::of(dial(allow), names().office()).await;
        let mut frames = lure.link_with(&push(1, &apps)).await;
        for (index, (app, host, _)) in apps.iter().enumerate() {
            let stream = u32::try_from(index).unwrap() * 2 + 3;
            assert_eq!(ask(&mut frames, stream, 1, app).await, End::Status(502), "T07 {host} {allow:?}");
            let refused = f64::from(u32::try_from(index).unwrap() + 1);
            assert_eq!(refusals(&lure).await, refused, "T07 {host} {allow:?}: not for where it leads");
        }
        assert!(traps.are_empty() && more.are_empty(), "T07 {allow:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_an_allow_list_permits_what_it_names_and_nothing_else() {
    let (backend, other) = (Backend::mirror().await, Backend::mirror().await);
    let port = backend.addr.port();
    let apps: Vec<_> = [
        ("127.0.0.1", port, 200),
        ("localhost", port, 200),
        ("[::ffff:127.0.0.1]", port, 200),
        ("wiki.corp", port, 200),
        ("127.0.0.1", other.addr.port(), 502),
        ("127.0.0.2", port, 502),
        ("10.0.0.5", port, 502),
        ("unnamed.corp", port, 502),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (host, port, status))| ((format!("a{index}"), host, port), status))
    .collect();
    let names = Names::default();
    names.lead("unnamed.corp", &["10.0.0.5"]);
    let pushed: Vec<_> = apps.iter().map(|(app, _)| app.clone()).collect();
    for entry in [format!("127.0.0.1:{port}"), format!("127.0.0.1/32:{port}")] {
        let lure = Lure::of(dial(&[entry]), names.office()).await;
        let mut frames = lure.link_with(&push(1, &pushed)).await;
        for (stream, ((app, host, port), status)) in (3..).step_by(2).zip(&apps) {
            assert_eq!(ask(&mut frames, stream, 1, app).await, End::Status(*status), "T07 {host}:{port}");
        }
        assert_eq!(other.connections(), 0, "T07");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_a_name_that_changes_its_mind_leads_nowhere_else() {
    // No connection is kept, so that each request has to dial.
    let once = Backend::answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    let port = once.addr.port();
    let trap = Traps::at(&["127.0.0.2", "::1"], port);
    let names = Names::default();
    let entries = [format!("127.0.0.1:{port}"), "*.corp".to_owned()];
    let lure = Lure::of(dial(&entries), names.office()).await;
    let mut frames = lure.link_with(&push(1, &[("shop".into(), "shop.corp", port)])).await;
    let mut reached = 0;
    for (stream, (answer, status)) in (3..).step_by(2).zip([
        (&["127.0.0.1"][..], 200),
        (&["127.0.0.2"], 502),
        (&["127.0.0.1"], 200),
        (&["::1", "::ffff:127.0.0.2", "169.254.169.254"], 502),
        // Of a mixed answer only what is permitted is tried.
        (&["127.0.0.2", "::1", "127.0.0.1"], 200),
        (&["0.0.0.0"], 502),
        (&["127.0.0.1"], 200),
    ]) {
        names.lead("shop.corp", answer);
        assert_eq!(ask(&mut frames, stream, 1, "shop").await, End::Status(status), "T08 {answer:?}");
        reached += usize::from(status == 200);
        assert_eq!(once.connections(), reached, "T08 {answer:?}");
    }
    assert!(trap.are_empty(), "T08");
    assert_eq!(refusals(&lure).await, 3.0, "T08");
}

#[tokio::test(flavor = "multi_thread")]
async fn t08_a_kept_connection_opens_nothing_for_another_target() {
    let names = Names::default();
    names.lead("shop.corp", &["127.0.0.1"]);
    names.lead("moved.corp", &["127.0.0.2"]);
    let backend = Backend::mirror().await;
    let port = backend.addr.port();
    let trap = Traps::at(&["127.0.0.2"], port);
    let lure = Lure::of(dial(&[format!("127.0.0.1:{port}")]), names.office()).await;
    let mut frames = lure.link_with(&push(1, &[("shop".into(), "shop.corp", port)])).await;
    for stream in [3, 5] {
        assert_eq!(ask(&mut frames, stream, 1, "shop").await, End::Status(200), "T08");
    }
    assert_eq!(backend.connections(), 1, "the connection is kept");
    let moved = push(2, &[("shop".into(), "moved.corp", port)]);
    frames.send(DATA, 0, 1, &control_message(&moved)).await;
    assert_eq!(ask(&mut frames, 7, 2, "shop").await, End::Status(502), "T08");
    assert!(backend.connections() == 1 && trap.are_empty(), "T08");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_backend_is_told_apart_and_an_edge_dials_its_own() {
    let backend = Backend::mirror().await;
    let world = plan()
        .dial(DialSettings::default())
        .app("shop", backend.url())
        .app_with("near", backend.url(), |app| app.group = "local".into())
        .start()
        .await;
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("backend-forbidden"), "{}", answer.text());
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    assert_eq!(backend.connections(), 0);
    assert!(world.metric("lockgate_errors_total{reason=\"backend-forbidden\",side=\"backend\"}").await >= 1.0);
    assert_eq!(get(world.http, "near.test", "/").await.status, 200);
}
