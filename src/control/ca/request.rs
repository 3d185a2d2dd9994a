//! A connector's certificate request: the one thing in it we believe is a public key whose private half was held.
//!
//! Refuses keys that our peers' TLS need not accept, and says nothing about names: whatever the request asks for is not
//! even looked at.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519, Oid};
use x509_parser::prelude::FromDer;

use super::CsrRefusal;

/// Longest request that is looked at, in bytes. Ours has about 220; names and extensions another tool adds fit as well.
pub(super) const CSR_BYTES_MAX: usize = 8 * 1024;

/// The public key of a request (PKCS #10, DER) that is signed by that very key.
pub(super) fn proven_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, CsrRefusal> {
    if csr_der.len() > CSR_BYTES_MAX {
        return Err(CsrRefusal::TooLong);
    }
    let (rest, csr) = X509CertificationRequest::from_der(csr_der).map_err(|_| CsrRefusal::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrRefusal::Malformed);
    }
    let info = &csr.certification_request_info;
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| CsrRefusal::Key)?;
    let (scheme, scheme_oid) = scheme_of(&key).ok_or(CsrRefusal::Key)?;
    if csr.signature_algorithm.algorithm != scheme_oid {
        return Err(CsrRefusal::Signature);
    }
    UnparsedPublicKey::new(scheme, key.der_bytes())
        .verify(info.raw, &csr.signature_value.data)
        .map_err(|_| CsrRefusal::Signature)?;
    Ok(key)
}

/// How a key of an accepted kind signs, and the name a request gives that.
fn scheme_of(key: &SubjectPublicKeyInfo) -> Option<(&'static dyn VerificationAlgorithm, Oid<'static>)> {
    if key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
        Some((&ECDSA_P256_SHA256_ASN1, OID_SIG_ECDSA_WITH_SHA256))
    } else if key.algorithm() == &PKCS_ED25519 {
        Some((&ED25519, OID_SIG_ED25519))
    } else {
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::new(vec!["edge.lockgate.internal".into()])
            .unwrap()
            .serialize_request(key)
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn takes_p256_and_ed25519_and_no_other_key() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            assert_eq!(proven_key(&request(&key)).unwrap().der_bytes(), key.public_key_raw());
        }
        for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            assert_eq!(proven_key(&request(&key)), Err(CsrRefusal::Key));
        }
    }

    #[test]
    fn a_stolen_public_key_proves_nothing() {
        let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut forged = request(&mine);
        let at = forged.windows(65).position(|window| window == mine.public_key_raw()).unwrap();
        forged[at..at + 65].copy_from_slice(theirs.public_key_raw());
        assert_eq!(proven_key(&forged), Err(CsrRefusal::Signature));
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        let pair = KeyPair::generate().unwrap();
        let whole = request(&pair);
        for length in 0..whole.len() {
            assert_eq!(proven_key(&whole[..length]), Err(CsrRefusal::Malformed), "{length} bytes");
        }
        assert_eq!(proven_key(&[&whole[..], &[0]].concat()), Err(CsrRefusal::Malformed));
        assert_eq!(proven_key(&vec![0x30; CSR_BYTES_MAX + 1]), Err(CsrRefusal::TooLong));
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                // The parser forgives a bit or two of the wrapping, which is not signed; never another key.
                if let Ok(key) = proven_key(&changed) {
                    assert_eq!(key.der_bytes(), pair.public_key_raw(), "byte {at} ^ {flip:#x}");
                }
            }
        }
    }
}
