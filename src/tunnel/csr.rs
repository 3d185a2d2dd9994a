//! The connector's half of enrolment: a new key, and the request that proves it is held.
//!
//! Refuses to put a name into the request: the edge chooses the connector's name and would ignore ours.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

/// Makes an ECDSA P-256 key and a certificate signing request for it: `(PKCS #8 key in PEM, PKCS #10 request in DER)`.
///
/// The key is meant for [`durable::replace`](super::durable::replace) with private access, and for nothing else.
///
/// # Errors
/// [`CsrError`] when the cryptographic library cannot make a key, which means the system gives no random bytes.
pub fn generate_csr() -> Result<(String, Vec<u8>), CsrError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CsrError)?;
    let csr = request_for(&key)?;
    Ok((key.serialize_pem(), csr))
}

/// Makes a request for the key a connector holds already, in PKCS #8 PEM; for a renewal that keeps the key.
///
/// # Errors
/// [`CsrError`] when the PEM is damaged or its key cannot sign.
pub fn csr_for_key(key_pem: &str) -> Result<Vec<u8>, CsrError> {
    request_for(&KeyPair::from_pem(key_pem).map_err(CsrError)?)
}

fn request_for(key: &KeyPair) -> Result<Vec<u8>, CsrError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(key).map_err(CsrError)?;
    Ok(csr.der().to_vec())
}

/// The key or the request could not be made.
#[derive(Debug)]
pub struct CsrError(rcgen::Error);

impl fmt::Display for CsrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connector's key or its certificate request could not be made")
    }
}

impl std::error::Error for CsrError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    #[test]
    fn every_call_makes_another_key_and_names_nobody() {
        let (first, first_csr) = generate_csr().unwrap();
        let (second, second_csr) = generate_csr().unwrap();
        assert_ne!(first, second);
        assert_ne!(first_csr, second_csr);
        let (rest, parsed) = X509CertificationRequest::from_der(&first_csr).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.certification_request_info.subject.iter().count(), 0);
        assert!(!String::from_utf8_lossy(&first_csr).contains("PRIVATE"));
    }

    #[test]
    fn a_kept_key_asks_for_the_same_public_key() {
        let (key, csr) = generate_csr().unwrap();
        let again = csr_for_key(&key).unwrap();
        let public = |der: &[u8]| {
            let (_, parsed) = X509CertificationRequest::from_der(der).unwrap();
            parsed.certification_request_info.subject_pki.raw.to_vec()
        };
        assert_eq!(public(&csr), public(&again));
        assert!(csr_for_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
