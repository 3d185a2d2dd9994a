//! Certificates as rustls judges them. Refuses to test the parser's view alone: what counts is what a handshake accepts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod identity;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error as TlsError, RootCertStore};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::*;
use crate::tunnel::csr::generate_csr;
use crate::tunnel::scratch::Scratch;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().clone()).unwrap();
    Arc::new(roots)
}

fn as_server(
    authority: &Authority,
    chain: &[CertificateDer<'static>],
    name: &str,
    now: UnixTime,
) -> Result<(), TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider()).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map(|_| ())
}

fn as_client(authority: &Authority, certificate: &CertificateDer<'static>, now: UnixTime) -> Result<(), TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider()).build().unwrap();
    verifier.verify_client_cert(certificate, &[], now).map(|_| ())
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap())
}

#[test]
fn an_edge_is_believed_under_its_name_and_no_other() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let (chain, key) = authority.issue_edge().unwrap();
    assert_eq!(chain.last(), Some(authority.certificate_der()));
    assert!(provider().key_provider.load_private_key(key).is_ok());
    let now = SystemTime::now();
    assert_eq!(as_server(&authority, &chain, EDGE_DNS_NAME, unix(now)), Ok(()));
    assert_eq!(as_server(&authority, &chain, EDGE_DNS_NAME, unix(now - CLOCK_SKEW + Duration::from_secs(60))), Ok(()));
    assert!(as_server(&authority, &chain, "edge.example.com", unix(now)).is_err());
    assert!(as_server(&authority, &chain, EDGE_DNS_NAME, unix(now + EDGE_VALIDITY + Duration::from_secs(2))).is_err());
    assert!(as_client(&authority, &chain[0], unix(now)).is_err(), "an edge certificate must not dial in");
}

#[test]
fn a_connector_is_believed_as_a_client_only_until_its_end() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let now = SystemTime::now() + Duration::from_secs(1000 * DAY);
    let issued = authority.sign_connector_at(&generate_csr().unwrap().1, "c-a", CONNECTOR_VALIDITY, now).unwrap();
    let certificate = &issued.certificate_der;
    assert_eq!(as_client(&authority, certificate, unix(now)), Ok(()));
    assert_eq!(as_client(&authority, certificate, unix(issued.not_after)), Ok(()));
    let second = Duration::from_secs(1);
    let late = as_client(&authority, certificate, unix(issued.not_after + second)).unwrap_err();
    assert!(matches!(late, TlsError::InvalidCertificate(CertificateError::ExpiredContext { .. })), "{late:?}");
    assert_eq!(as_client(&authority, certificate, unix(now - CLOCK_SKEW + second)), Ok(()));
    assert!(as_client(&authority, certificate, unix(now - CLOCK_SKEW - second)).is_err());
    let posing = as_server(&authority, std::slice::from_ref(certificate), EDGE_DNS_NAME, unix(now));
    assert!(posing.is_err(), "a connector must not pass as an edge");
}

#[test]
fn another_edges_connector_is_foreign() {
    let (here, there) = (Scratch::new(), Scratch::new());
    let (ours, theirs) =
        (Authority::open_or_create(here.path()).unwrap(), Authority::open_or_create(there.path()).unwrap());
    let issued = theirs.sign_connector(&generate_csr().unwrap().1, "c-a", CONNECTOR_VALIDITY).unwrap();
    let refused = as_client(&ours, &issued.certificate_der, unix(SystemTime::now())).unwrap_err();
    assert_eq!(refused, TlsError::InvalidCertificate(CertificateError::UnknownIssuer));
    assert_ne!(ours.fingerprint(), theirs.fingerprint());
}

#[test]
fn nothing_a_request_asks_for_is_granted() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::new(vec![EDGE_DNS_NAME.to_owned()]).unwrap();
    greedy.distinguished_name.push(DnType::CommonName, "c-victim");
    greedy.subject_alt_names.push(SanType::URI(ia5("lockgate://connector/c-victim").unwrap()));
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = greedy.serialize_request(&key).unwrap();
    let issued = authority.sign_connector(csr.der(), "c-own", CONNECTOR_VALIDITY).unwrap();

    assert_eq!(connector_identity(&issued.certificate_der).unwrap().id, "c-own");
    let (_, parsed) = X509Certificate::from_der(&issued.certificate_der).unwrap();
    assert!(!parsed.is_ca());
    assert_eq!(parsed.subject().to_string(), "CN=c-own");
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
    assert!(parsed.key_usage().unwrap().unwrap().value.digital_signature());
    assert!(!parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
    assert!(!String::from_utf8_lossy(&issued.certificate_der).contains("victim"));
}

#[test]
fn odd_arguments_are_refused_and_serials_differ() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let (_, csr) = generate_csr().unwrap();
    let now = SystemTime::now();
    let sign = |id: &str, validity, now| authority.sign_connector_at(&csr, id, validity, now);
    assert!(matches!(sign("C/../x", CONNECTOR_VALIDITY, now), Err(CaError::ConnectorId)));
    assert!(matches!(sign("c-a", Duration::ZERO, now), Err(CaError::Validity)));
    assert!(matches!(sign("c-a", Duration::MAX, now), Err(CaError::Validity)));
    assert!(matches!(sign("c-a", CONNECTOR_VALIDITY, UNIX_EPOCH), Err(CaError::Clock)));
    assert!(matches!(sign("c-a", CONNECTOR_VALIDITY, UNIX_EPOCH + CLOCK_MAX * 2), Err(CaError::Clock)));
    assert!(sign("c-a", CONNECTOR_VALIDITY_MAX, UNIX_EPOCH + CLOCK_MAX).is_ok());
    assert!(matches!(
        authority.sign_connector(b"junk", "c-a", CONNECTOR_VALIDITY),
        Err(CaError::Csr(CsrRefusal::Malformed))
    ));
    let serials: std::collections::HashSet<_> =
        (0..64).map(|_| sign("c-a", CONNECTOR_VALIDITY, now).unwrap().serial_hex).collect();
    assert_eq!(serials.len(), 64);
    assert!(serials.iter().all(|serial| serial.len() == 32));
}
