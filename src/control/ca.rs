//! The edge's own certificate authority: it names edges and connectors to each other, and nobody else to anybody.
//!
//! ```text
//!              Authority (ECDSA P-256, 20 years, on disk)
//!              │                                    │
//!   edge certificate, in memory          connector certificate, from its CSR
//!   DNS edge.lockgate.internal           CN id, URI lockgate://connector/<id>
//!   serverAuth, 90 days                  clientAuth, 30 days
//! ```
//!
//! Refuses to make a key for a connector, to sign a name or an extension a connector asks for, and to sign for anything
//! that could pass as an edge. Whether a connector *may* have a certificate is not asked here: see `enrol`.

mod disk;
mod error;
mod request;

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub use self::error::{CaError, CsrRefusal};
use crate::tunnel::identity::{CONNECTOR_URI_PREFIX, is_connector_id, serial_hex};
pub use crate::tunnel::identity::{ConnectorIdentity, EDGE_DNS_NAME, IdentityError, connector_identity};
use crate::tunnel::token::sha256;

pub use crate::tunnel::identity::CONNECTOR_VALIDITY;
/// Longest validity [`Authority::sign_connector`] grants: a leap year. Longer ones belong to no machine that dials out.
pub const CONNECTOR_VALIDITY_MAX: Duration = Duration::from_secs(366 * DAY);
/// How long an edge's certificate lasts: 90 days. It is made anew at each start; one that runs longer asks again.
pub const EDGE_VALIDITY: Duration = Duration::from_secs(90 * DAY);
/// How long the CA itself lasts: 20 years of 365.25 days. Connectors pin it, so it must outlive the machines.
pub const CA_VALIDITY: Duration = Duration::from_secs(20 * 365 * DAY + 5 * DAY);
/// Certificates begin this long ago, for peers whose clock is behind: one hour.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

const DAY: u64 = 24 * 60 * 60;
/// Year 9000: past it a date plus [`CA_VALIDITY`] could leave what X.509 can write (9999).
const CLOCK_MAX: Duration = Duration::from_secs(221_845_392_000);

/// The CA: its certificate and the key that signs. Cheap to ask, safe to share between threads.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    fingerprint: [u8; 32],
}

/// A connector's new certificate and what the store keeps of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate in DER; nothing in it is secret.
    pub certificate_der: CertificateDer<'static>,
    /// Its serial number, 32 lower-case hexadecimal digits.
    pub serial_hex: String,
    /// When it ends, to the second.
    pub not_after: SystemTime,
}

impl Authority {
    /// Opens the CA in `dir` (`ca.pem`, `ca.key`), or makes one there if `dir` has none.
    ///
    /// Blocks on the file system, and on another process that does the same at the same time: both then get one CA.
    ///
    /// # Errors
    /// [`CaError::Io`], [`CaError::KeyMissing`], [`CaError::Damaged`] and [`CaError::Mismatch`] about the files. A CA
    /// that is there but cannot be used is never replaced: every connector would have to join again.
    pub fn open_or_create(dir: &Path) -> Result<Self, CaError> {
        disk::open_or_create(dir, SystemTime::now())
    }

    /// The CA's certificate, for chains, roots and connectors.
    #[must_use]
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of [`Authority::certificate_der`]: what a join token carries.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Makes an edge's key and certificate for [`EDGE_DNS_NAME`], from now for [`EDGE_VALIDITY`]: the chain with the CA
    /// at its end, and the key, which is nowhere else.
    ///
    /// # Errors
    /// [`CaError::Random`], [`CaError::Clock`] or [`CaError::Signing`].
    pub fn issue_edge(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Signing)?;
        let (mut params, _) =
            leaf(SystemTime::now(), EDGE_VALIDITY, EDGE_DNS_NAME, ExtendedKeyUsagePurpose::ServerAuth)?;
        params.subject_alt_names = vec![SanType::DnsName(ia5(EDGE_DNS_NAME)?)];
        let certificate = params.signed_by(&key, &self.issuer).map_err(CaError::Signing)?;
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate.into(), self.certificate.clone()], private.into()))
    }

    /// Signs a connector's request (PKCS #10, DER) from now; see [`Authority::sign_connector_at`].
    ///
    /// # Errors
    /// As [`Authority::sign_connector_at`].
    pub fn sign_connector(&self, csr_der: &[u8], connector_id: &str, validity: Duration) -> Result<Issued, CaError> {
        self.sign_connector_at(csr_der, connector_id, validity, SystemTime::now())
    }

    /// Signs a connector's request (PKCS #10, DER) as of `now`: of the request only the public key is taken, once its
    /// own signature has proven that the private one is held.
    ///
    /// # Errors
    /// [`CaError::Csr`] when the request is no request, is not signed by its own key, or brings a key that is neither
    /// ECDSA P-256 nor Ed25519; [`CaError::ConnectorId`], [`CaError::Validity`] and [`CaError::Clock`] about the other
    /// arguments; [`CaError::Random`] and [`CaError::Signing`] when the library fails. Never panics, whatever the bytes.
    pub fn sign_connector_at(
        &self,
        csr_der: &[u8],
        connector_id: &str,
        validity: Duration,
        now: SystemTime,
    ) -> Result<Issued, CaError> {
        if !is_connector_id(connector_id) {
            return Err(CaError::ConnectorId);
        }
        if validity < Duration::from_secs(1) || validity > CONNECTOR_VALIDITY_MAX {
            return Err(CaError::Validity);
        }
        let public_key = request::proven_key(csr_der).map_err(CaError::Csr)?;
        let (mut params, not_after) = leaf(now, validity, connector_id, ExtendedKeyUsagePurpose::ClientAuth)?;
        params.subject_alt_names = vec![SanType::URI(ia5(&format!("{CONNECTOR_URI_PREFIX}{connector_id}"))?)];
        let serial_hex = params.serial_number.as_ref().map(|serial| serial_hex(&serial.to_bytes())).unwrap_or_default();
        let certificate = params.signed_by(&public_key, &self.issuer).map_err(CaError::Signing)?;
        Ok(Issued { certificate_der: certificate.into(), serial_hex, not_after })
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, CaError> {
        let fingerprint = sha256(&certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(CaError::Signing)?;
        Ok(Self { issuer, certificate, fingerprint })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = crate::tunnel::token::hex(&self.fingerprint);
        f.debug_struct("Authority").field("fingerprint", &fingerprint).finish_non_exhaustive()
    }
}

/// What every certificate below the CA has in common, and when it will end.
fn leaf(
    now: SystemTime,
    validity: Duration,
    common_name: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(CertificateParams, SystemTime), CaError> {
    let (mut params, not_after) = dated(now, validity)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    Ok((params, not_after))
}

/// The CA's own certificate. Its name follows from its key, so the same key always means the same trust anchor.
fn ca_params(key: &KeyPair, now: SystemTime) -> Result<CertificateParams, CaError> {
    let (mut params, _) = dated(now, CA_VALIDITY)?;
    let name = crate::tunnel::token::hex(&sha256(key.public_key_raw())[..4]);
    params.distinguished_name.push(DnType::CommonName, format!("Lockgate CA {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Dates, a fresh serial number, and nothing else. X.509 counts whole seconds, so the end is cut to one.
fn dated(now: SystemTime, validity: Duration) -> Result<(CertificateParams, SystemTime), CaError> {
    let since_1970 = now.duration_since(UNIX_EPOCH).map_err(|_| CaError::Clock)?;
    if since_1970 < CLOCK_SKEW || since_1970 > CLOCK_MAX {
        return Err(CaError::Clock);
    }
    let start = UNIX_EPOCH + Duration::from_secs(since_1970.as_secs());
    let not_after = start + Duration::from_secs(validity.as_secs());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = (start - CLOCK_SKEW).into();
    params.not_after = not_after.into();
    params.serial_number = Some(random_serial()?);
    Ok((params, not_after))
}

/// 128 bits with the top two fixed to 01: positive in DER without a zero in front, always 16 bytes, 126 of them random bits.
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| CaError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

fn ia5(text: &str) -> Result<Ia5String, CaError> {
    Ia5String::try_from(text).map_err(CaError::Signing)
}

#[cfg(test)]
mod tests;
