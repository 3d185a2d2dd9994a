//! Enrolment from the token's text to a certificate a handshake accepts, and every way it is refused. Refuses to sleep.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::control::ca::connector_identity;
use crate::tunnel::csr::generate_csr;
use crate::tunnel::scratch::Scratch;
use crate::tunnel::token::{JoinToken, sha256};

const HOUR: Duration = Duration::from_secs(3_600);

struct Edge {
    store: Store,
    ca: Authority,
    now: SystemTime,
    _dir: Scratch,
}

impl Edge {
    async fn start() -> Self {
        let dir = Scratch::new();
        let ca = Authority::open_or_create(dir.path()).unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        Self { store, ca, now: SystemTime::now(), _dir: dir }
    }

    async fn token(&self, group: &str) -> JoinToken {
        let now = unix_seconds(self.now).unwrap();
        let (id, secret) = self.store.create_token(group, None, HOUR, now).await.unwrap();
        let made = JoinToken { edge: "edge:443".into(), ca_fingerprint: self.ca.fingerprint(), id, secret };
        JoinToken::decode(&made.encode()).unwrap()
    }

    async fn enrol(&self, request: EnrolRequest) -> Result<Enrolled, EnrolError> {
        enrol(&self.store, &self.ca, request, self.now).await
    }

    async fn everything(&self) -> String {
        format!("{:?} {:?}", self.store.list_tokens().await.unwrap(), self.store.connectors().await.unwrap())
    }
}

fn request(token: &JoinToken) -> EnrolRequest {
    EnrolRequest {
        token_id: token.id,
        secret: token.secret,
        csr_der: generate_csr().unwrap().1,
        name: None,
        host: "nas".into(),
        version: "0.1.0".into(),
    }
}

#[tokio::test]
async fn a_connector_enrols_and_its_certificate_is_believed() {
    let edge = Edge::start().await;
    let token = edge.token("berlin").await;
    let enrolled = edge.enrol(request(&token)).await.unwrap();

    assert_eq!(sha256(&enrolled.ca_der), token.ca_fingerprint);
    assert_eq!(enrolled.group, "berlin");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(enrolled.ca_der)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let now = UnixTime::since_unix_epoch(edge.now.duration_since(UNIX_EPOCH).unwrap());
    let certificate = CertificateDer::from(enrolled.certificate_der);
    verifier.verify_client_cert(&certificate, &[], now).unwrap();

    let identity = connector_identity(&certificate).unwrap();
    let record = edge.store.connector(&enrolled.connector_id).await.unwrap().unwrap();
    assert_eq!((&identity.id, &identity.serial_hex), (&record.id, &record.serial));
    assert_eq!(unix_seconds(identity.not_after).unwrap(), record.not_after);
    assert_eq!(record.not_after - record.enrolled_at, 30 * 24 * 3_600);
    assert_eq!(record.name, "nas");
}

#[tokio::test]
async fn each_refusal_says_its_code_and_its_mend_and_records_nothing() {
    let mut edge = Edge::start().await;
    let foreign = Edge::start().await.token("berlin").await;
    let (open, used) = (edge.token("berlin").await, edge.token("berlin").await);
    let winner = edge.enrol(request(&used)).await.unwrap().connector_id;
    let before = edge.everything().await;

    let unsigned = EnrolRequest { csr_der: b"not a request".to_vec(), ..request(&open) };
    let cases = [
        (request(&foreign), "token-unknown", "lockgate token create --group GROUP"),
        (EnrolRequest { secret: [0; 16], ..request(&open) }, "token-wrong", "lockgate token create --group GROUP"),
        (request(&used), "token-used", winner.as_str()),
        (unsigned, "csr-invalid", "still good"),
    ];
    for (request, code, mend) in cases {
        let refusal = edge.enrol(request).await.unwrap_err();
        assert_eq!(refusal.code(), code);
        assert!(refusal.to_string().contains(mend), "{refusal}");
        assert_eq!(edge.everything().await, before, "{code} left a trace");
    }
    edge.now += HOUR;
    let refusal = edge.enrol(request(&open)).await.unwrap_err();
    assert_eq!(refusal.code(), "token-expired");
    assert!(refusal.to_string().contains("lockgate token create --group berlin"), "{refusal}");
    assert_eq!(edge.everything().await, before);

    edge.now -= HOUR;
    edge.enrol(request(&open)).await.expect("no refusal used the token up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_connectors_with_one_token_make_one() {
    let edge = Edge::start().await;
    let token = edge.token("g").await;
    let (first, second) = tokio::join!(edge.enrol(request(&token)), edge.enrol(request(&token)));
    let (winner, loser) = if first.is_ok() { (first, second) } else { (second, first) };
    assert!(winner.is_ok());
    assert_eq!(loser.unwrap_err().code(), "token-used");
    assert_eq!(edge.store.connectors().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_gone_is_told_without_its_secrets() {
    let edge = Edge::start().await;
    let token = edge.token("g").await;
    edge.store.close().await;
    let refusal = edge.enrol(request(&token)).await.unwrap_err();
    assert_eq!(refusal.code(), "store-unavailable");
    assert!(std::error::Error::source(&refusal).is_some());
    assert!(!refusal.to_string().contains("sqlx") && !refusal.to_string().contains('/'), "{refusal}");
}

#[tokio::test]
async fn names_from_the_network_are_fit_to_be_shown() {
    let edge = Edge::start().await;
    let token = edge.token("g").await;
    let loud = EnrolRequest { name: Some(" at\u{1b}[31mtic\n ".into()), host: "h".repeat(9_999), ..request(&token) };
    assert!(!format!("{loud:?}").contains("secret"));
    let id = edge.enrol(loud).await.unwrap().connector_id;
    let record = edge.store.connector(&id).await.unwrap().unwrap();
    assert_eq!(record.name, "at[31mtic");
    assert_eq!(record.host.len(), LABEL_CHARACTERS_MAX);
}
