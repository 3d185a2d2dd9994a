//! What a connector's certificate says about it: its id, and which of its certificates this is.
//!
//! The names that bind both halves of the link stand here, so that the CA that writes them and the tunnel that reads
//! them cannot drift apart. Refuses to judge trust: whoever calls [`connector_identity`] has had the chain verified by
//! TLS, and asks the store whether the connector is still welcome.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::token::hex;

/// The DNS name in every edge's certificate. Connectors ask for it whatever address they dial, so an edge can move.
pub const EDGE_DNS_NAME: &str = "edge.lockgate.internal";
/// What a connector's URI name starts with; its id follows.
pub const CONNECTOR_URI_PREFIX: &str = "lockgate://connector/";
/// How long a connector's certificate lasts: 30 days. Renewal starts at half, so an edge may be away for 15 days
/// before anybody must join again; a certificate on a lost disk is worthless within a month even if nobody revokes it.
pub const CONNECTOR_VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Longest connector id, in bytes: ours have 18, a common name may have 64 (RFC 5280, ub-common-name).
pub const CONNECTOR_ID_BYTES_MAX: usize = 64;

/// Who a verified peer certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorIdentity {
    /// The connector's id, as the store knows it.
    pub id: String,
    /// Serial number, lower-case hexadecimal without leading zero bytes; equal to the store's for the current one.
    pub serial_hex: String,
    /// When the certificate ends, to the second.
    pub not_after: SystemTime,
}

/// Reads who a certificate (DER) stands for.
///
/// # Errors
/// [`IdentityError`] when it is no certificate, or not one this edge's CA makes for connectors. Never panics,
/// whatever the bytes.
pub fn connector_identity(cert_der: &[u8]) -> Result<ConnectorIdentity, IdentityError> {
    let (rest, certificate) = X509Certificate::from_der(cert_der).map_err(|_| IdentityError::NotACertificate)?;
    if !rest.is_empty() {
        return Err(IdentityError::NotACertificate);
    }
    let id = id_in_uri(&certificate)?;
    if !is_connector_id(id) || common_name(&certificate) != Some(id) {
        return Err(IdentityError::NotAConnector);
    }
    Ok(ConnectorIdentity {
        id: id.to_owned(),
        serial_hex: serial_hex(certificate.raw_serial()),
        not_after: not_after(&certificate)?,
    })
}

/// Whether `id` can name a connector: 1 to 64 of `a`–`z`, `0`–`9` and `-`, so it is safe in a URI, a log and a label.
#[must_use]
pub fn is_connector_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=CONNECTOR_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// A serial number as the log and the store write it, whether or not DER put a zero in front of it.
#[must_use]
pub(crate) fn serial_hex(serial: &[u8]) -> String {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    hex(&serial[zeros..])
}

/// The id in the certificate's only name, which must be a URI of ours: a second name would be somebody's to choose.
fn id_in_uri<'a>(certificate: &'a X509Certificate<'a>) -> Result<&'a str, IdentityError> {
    let names = certificate.subject_alternative_name().map_err(|_| IdentityError::NotAConnector)?;
    match names.map(|extension| extension.value.general_names.as_slice()) {
        Some([GeneralName::URI(uri)]) => uri.strip_prefix(CONNECTOR_URI_PREFIX).ok_or(IdentityError::NotAConnector),
        _ => Err(IdentityError::NotAConnector),
    }
}

fn common_name<'a>(certificate: &'a X509Certificate<'a>) -> Option<&'a str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(name)
}

fn not_after(certificate: &X509Certificate<'_>) -> Result<SystemTime, IdentityError> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok();
    seconds
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or(IdentityError::NotACertificate)
}

/// Why a certificate names no connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The bytes are not one well-formed X.509 certificate.
    NotACertificate,
    /// A certificate, but without a connector's names.
    NotAConnector,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotACertificate => "the peer's certificate is not well-formed X.509",
            Self::NotAConnector => "the peer's certificate does not name a connector; enrol it with a join token",
        })
    }
}

impl std::error::Error for IdentityError {}
