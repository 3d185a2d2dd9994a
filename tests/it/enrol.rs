//! Who may enrol, who may open a link, and how that ends: the edge's door for connectors.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate::connector::Credentials;
use lockgate::connector::join::join;
use lockgate::control::ca::Authority;
use lockgate::tls::{self, Stream};
use lockgate::tunnel::PROTOCOL_VERSION as SPOKEN;
use lockgate::tunnel::credentials::FILE;
use lockgate::tunnel::csr::{csr_for_key, generate_csr};
use lockgate::tunnel::tls::{edge_name, link_client};
use lockgate::tunnel::token::JoinToken;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::client::{connect_tls, get};
use crate::world::{Scratch, World, plan, until, within};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn token(world: &World) -> JoinToken {
    world.edge.create_token("default", MINUTE).await.unwrap()
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// The edge's own CA, from its data directory.
fn authority(world: &World) -> Authority {
    Authority::open_or_create(&world.config.data_dir).unwrap()
}

/// Writes a line; the line that comes back, or `None` when the connection ends without one.
async fn say(stream: &mut Stream, line: &[u8]) -> Option<Value> {
    let _ = stream.write_all(line).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match within("the edge's answer or its end", stream.read(&mut piece)).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
        }
        if let Some(end) = answer.iter().position(|&byte| byte == b'\n') {
            return Some(serde_json::from_slice(&answer[..end]).unwrap());
        }
    }
}

fn hello(protocol: u16) -> Vec<u8> {
    let hello = json!({"protocol": protocol, "software": "9", "instance": "i", "slot": 0, "host": "h"});
    format!("{hello}\n").into_bytes()
}

/// Opens a link's TLS by `config` and greets: the code of the refusal, `ok`, or `cut`.
async fn greet(world: &World, config: Arc<ClientConfig>) -> String {
    let tcp = TcpStream::connect(world.https).await.unwrap();
    let Ok(mut stream) = within("a handshake", tls::connect(tcp, config, edge_name())).await else {
        return "cut".into();
    };
    match say(&mut stream, &hello(SPOKEN)).await {
        None => "cut".into(),
        Some(answer) if answer.get("ok").is_some() => "ok".into(),
        Some(answer) => answer["refused"]["code"].as_str().unwrap_or_default().to_owned(),
    }
}

/// The TLS a connector with `credentials` uses.
fn tls_of(credentials: &Credentials) -> Arc<ClientConfig> {
    let (certificate, authority, key) = credentials.decode().unwrap();
    link_client(&authority, certificate, key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_that_is_no_good_is_told_its_own_reason_and_leaves_nothing() {
    let (world, foreign) = (plan().connectors(0).start().await, plan().connectors(0).start().await);
    let good = token(&world).await;
    let wrong = JoinToken { secret: [7; 16], ..token(&world).await };
    let unknown = JoinToken { id: [7; 8], ..token(&world).await };
    let expired = world.edge.create_token("default", Duration::ZERO).await.unwrap();
    let of_another_edge = JoinToken { edge: world.https.to_string(), ..token(&foreign).await };
    let stolen_address = JoinToken { ca_fingerprint: good.ca_fingerprint, ..of_another_edge.clone() };
    let nobody_there = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = Scratch::new();
    for (name, token, reason) in [
        ("wrong secret", wrong, "[token-wrong]"),
        ("unknown", unknown, "[token-unknown]"),
        ("expired", expired, "[token-expired]"),
        ("another edge's CA", of_another_edge, "TLS with the edge failed"),
        ("another edge's token", stolen_address, "[token-unknown]"),
        ("no edge", JoinToken { edge: nobody_there.to_string(), ..good.clone() }, "no connection to the edge"),
        ("no name", JoinToken { edge: "no-such-name.invalid:1".into(), ..good.clone() }, "does not resolve"),
    ] {
        let data_dir = dir.path().join(name);
        let error = within(name, join(&token, None, &data_dir)).await.err().expect(name);
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(!data_dir.join(FILE).exists(), "{name}: credentials were written");
    }
    assert_eq!(world.edge.store().connectors().await.unwrap(), [], "nothing was recorded");
    let credentials = join(&good, Some("kept".into()), &dir.path().join("good")).await.unwrap();
    let error = join(&good, None, &dir.path().join("replayed")).await.err().unwrap();
    assert!(
        error.to_string().contains("[token-used]") && error.to_string().contains(&credentials.connector),
        "{error}"
    );
    let known = world.edge.store().connectors().await.unwrap();
    assert_eq!(known.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert!(world.edge.create_token("local", MINUTE).await.is_err(), "no connector serves the edge's own group");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_request_that_is_wrong_is_refused_and_the_token_stays_good() {
    let world = plan().connectors(0).start().await;
    let token = token(&world).await;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (_, csr) = generate_csr().unwrap();
    let request = |protocol: u16, id: String, csr: String| {
        json!({"protocol": protocol, "token": id, "secret": hex(&token.secret), "csr": csr, "name": null,
            "host": "h\u{1b}[31m", "software": "1"})
    };
    let valid = STANDARD.encode(csr);
    for (name, request, code) in [
        ("version", request(SPOKEN + 1, hex(&token.id), valid.clone()), "version"),
        ("short id", request(SPOKEN, "00".into(), valid.clone()), "malformed"),
        ("id of other letters", request(SPOKEN, "é".repeat(8), valid.clone()), "malformed"),
        ("base64", request(SPOKEN, hex(&token.id), "%%%".into()), "malformed"),
        ("no request", request(SPOKEN, hex(&token.id), STANDARD.encode("garbage")), "csr-invalid"),
        ("good at last", request(SPOKEN, hex(&token.id), valid), "ok"),
    ] {
        let mut stream = connect_tls(world.https, "edge", &["lockgate-join/1"]).await.unwrap();
        let answer = say(&mut stream, format!("{request}\n").as_bytes()).await.expect(name);
        let code_said = answer["refused"]["code"].as_str().unwrap_or("ok");
        assert_eq!(code_said, code, "{name}: {answer}");
        let count = world.edge.store().connectors().await.unwrap().len();
        assert_eq!(count, usize::from(code == "ok"), "{name}");
    }
    let known = &world.edge.store().connectors().await.unwrap()[0];
    assert!(!known.host.contains('\u{1b}'), "a terminal is not to be painted: {:?}", known.host);
}

#[tokio::test(flavor = "multi_thread")]
async fn t01_a_link_needs_a_certificate_of_this_edge_for_a_known_connector() {
    let world = plan().connectors(0).start().await;
    let (credentials, _) = world.enrol("default").await;
    let elsewhere = Scratch::new();
    let (ours, theirs) = (authority(&world), Authority::open_or_create(elsewhere.path()).unwrap());
    let (key, csr) = generate_csr().unwrap();
    let private = || PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let now = SystemTime::now();
    let signed = |by: &Authority, id: &str, from: SystemTime| {
        let issued = by.sign_connector_at(&csr, id, DAY, from).unwrap();
        link_client(ours.certificate_der(), issued.certificate_der, private()).unwrap()
    };
    let self_made = rcgen::generate_simple_self_signed(vec!["connector".into()]).unwrap();
    let self_key = PrivateKeyDer::from_pem_slice(self_made.signing_key.serialize_pem().as_bytes()).unwrap();
    let self_made = link_client(ours.certificate_der(), CertificateDer::from(self_made.cert), self_key).unwrap();
    let (mut chain, edge_key) = ours.issue_edge().unwrap();
    let as_edge = link_client(ours.certificate_der(), chain.remove(0), edge_key).unwrap();
    let id = &*credentials.connector;
    let mut bare = ClientConfig::clone(&tls_of(&credentials));
    bare.client_auth_cert_resolver = Arc::new(NoCertificate);
    for (name, config, outcome) in [
        ("its own", tls_of(&credentials), "ok"),
        ("signed again", signed(&ours, id, now), "ok"),
        ("none", Arc::new(bare), "cut"),
        ("self-made", self_made, "cut"),
        ("of another edge", signed(&theirs, id, now), "cut"),
        ("an edge's, not a connector's", as_edge, "cut"),
        ("expired", signed(&ours, id, now - 2 * DAY), "cut"),
        ("not yet valid", signed(&ours, id, now + 2 * DAY), "cut"),
        ("of nobody we know", signed(&ours, "c-abcdefgh23456777", now), "unknown-connector"),
    ] {
        assert_eq!(greet(&world, config).await, outcome, "{name}");
    }
    assert_eq!(world.metric("lockgate_tls_handshakes_total{kind=\"public\",result=\"failed\"}").await, 6.0);
    world.edge.store().revoke(id, unix_now()).await.unwrap();
    assert_eq!(greet(&world, tls_of(&credentials)).await, "revoked");
    // A link is not a way in for people, nor the other way round.
    let public = connect_tls(world.https, "shop.test", &["lockgate/1", "h2"]).await;
    assert!(public.is_err() || say(&mut public.unwrap(), &hello(SPOKEN)).await.is_none());
}

/// Shows no certificate to a server that asks for one.
#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_another_version_of_the_protocol_is_refused_with_a_reason() {
    let world = plan().connectors(0).start().await;
    let (credentials, _) = world.enrol("default").await;
    for protocol in [0, SPOKEN + 1, 65_535] {
        let tcp = TcpStream::connect(world.https).await.unwrap();
        let mut stream = tls::connect(tcp, tls_of(&credentials), edge_name()).await.unwrap();
        let answer = say(&mut stream, &hello(protocol)).await.expect("a refusal");
        let refused = &answer["refused"];
        assert_eq!((&refused["code"], &refused["temporary"]), (&"version".into(), &true.into()), "{answer}");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains("upgrade") && reason.contains(&protocol.to_string()), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hello_ends_the_connection_and_nothing_else() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let tls = tls_of(&world.connectors[0].credentials);
    let brackets = [vec![b'['; 10_000], vec![b'\n']].concat();
    let oversized = vec![b'x'; 64 * 1024];
    let huge = format!("{{\"protocol\":{SPOKEN},\"slot\":0,\"host\":\"{}\"", "h".repeat(60_000)).into_bytes();
    for (index, line) in [
        &b"\n"[..],
        b"{}\n",
        b"null\n",
        b"\xff\xfe\x00\n",
        b"{\"protocol\":70000,\"software\":\"\",\"instance\":\"\",\"slot\":0,\"host\":\"\"}\n",
        b"{\"protocol\":2,\"software\":\"\",\"instance\":\"\",\"slot\":-1,\"host\":\"\"}\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n",
        &brackets,
        &oversized,
        &huge,
    ]
    .into_iter()
    .enumerate()
    {
        let tcp = TcpStream::connect(world.https).await.unwrap();
        let mut link = tls::connect(tcp, tls.clone(), edge_name()).await.unwrap();
        assert_eq!(say(&mut link, line).await, None, "line {index} on a link");
        let mut join = connect_tls(world.https, "edge", &["lockgate-join/1"]).await.unwrap();
        assert_eq!(say(&mut join, line).await, None, "line {index} on enrolment");
    }
    // Garbage behind a good hello never becomes a link that is used.
    let tcp = TcpStream::connect(world.https).await.unwrap();
    let mut link = tls::connect(tcp, tls, edge_name()).await.unwrap();
    assert!(say(&mut link, &hello(SPOKEN)).await.is_some_and(|answer| answer.get("ok").is_some()));
    let _ = link.write_all(&[b'?'; 4096]).await;
    let _ = link.flush().await;
    let _ = within("the end of the link", link.read_to_end(&mut Vec::new())).await;
    let id = &world.connectors[0].credentials.connector;
    until("only the true link is left", async || world.links_of(id).await.len() == 1).await;
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_does_not_end_is_not_waited_for() {
    let world = plan().connectors(0).start().await;
    let (credentials, _) = world.enrol("default").await;
    let tcp = TcpStream::connect(world.https).await.unwrap();
    let mut link = tls::connect(tcp, tls_of(&credentials), edge_name()).await.unwrap();
    let mut join = connect_tls(world.https, "edge", &["lockgate-join/1"]).await.unwrap();
    let (link, join) = tokio::join!(say(&mut link, b"{\"proto"), say(&mut join, b"{\"proto"));
    assert_eq!((link, join), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_revocation_cuts_live_links_and_stops_the_connector_for_good() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(2).edge_workers(2).start().await;
    let id = world.connectors[0].credentials.connector.clone();
    world.edge.store().revoke(&id, unix_now()).await.unwrap();
    until("its links are cut", async || world.links_of(&id).await.is_empty()).await;
    let reason = within("the connector's end", world.connectors[0].connector.refused()).await;
    assert!(reason.contains("revoked") && reason.contains("join again"), "{reason}");
    for _ in 0..20 {
        assert_eq!(get(world.http, "shop.test", "/").await.status, 200, "the other one serves");
    }
    assert!(world.metric("lockgate_link_ends_total{reason=\"revoked\"}").await >= 2.0);
    assert_eq!(world.links_of(&id).await.len(), 0, "and it did not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_past_half_its_life_is_renewed_over_the_link() {
    let backend = Backend::mirror().await;
    let mut world = plan().app("shop", backend.url()).connectors(0).edge_workers(2).start().await;
    let (enrolled, data_dir) = world.enrol("default").await;
    let csr = csr_for_key(&enrolled.key).unwrap();
    let old = authority(&world).sign_connector_at(&csr, &enrolled.connector, 10 * DAY, SystemTime::now()).unwrap();
    let ageing = Credentials { certificate: STANDARD.encode(&old.certificate_der), ..enrolled.clone() };
    ageing.save(&data_dir).unwrap();
    let recorded = |world: &World| {
        let (store, id) = (world.edge.store().clone(), enrolled.connector.clone());
        async move { store.connector(&id).await.unwrap().unwrap() }
    };
    let before = recorded(&world).await;
    world.restart(ageing.clone(), data_dir.clone()).await;
    until("a new serial number in the store", async || recorded(&world).await.serial != before.serial).await;
    let saved = || Credentials::load(&data_dir).unwrap().unwrap();
    until("the new certificate on disk", async || saved().certificate != ageing.certificate).await;
    let renewed = saved();
    assert_eq!((&renewed.connector, &renewed.key, &renewed.edge), (&enrolled.connector, &enrolled.key, &enrolled.edge));
    assert!(recorded(&world).await.not_after > unix_now() + 20 * 24 * 60 * 60, "a whole life again");
    assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
    assert!(!world.metrics.render().await.contains("lockgate_link_ends_total"), "links stay up");
    for (which, credentials) in [("old", &ageing), ("new", &renewed)] {
        assert_eq!(greet(&world, tls_of(credentials)).await, "ok", "the {which} one is good");
    }
    let recorded_serial = recorded(&world).await.serial;
    world.connectors[0].kill();
    world.restart(renewed, data_dir).await;
    assert_eq!(recorded(&world).await.serial, recorded_serial, "a fresh certificate is not renewed again");
}
