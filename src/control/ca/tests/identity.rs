//! The identity written into certificates is the one read back from them, and garbage is no identity.

use crate::control::ca::{Authority, CONNECTOR_VALIDITY};
use crate::tunnel::csr::generate_csr;
use crate::tunnel::identity::*;
use crate::tunnel::scratch::Scratch;

#[test]
fn reads_back_what_the_authority_wrote() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let issued =
        authority.sign_connector(&generate_csr().unwrap().1, "c-abcdefgh23456777", CONNECTOR_VALIDITY).unwrap();
    let identity = connector_identity(&issued.certificate_der).unwrap();
    assert_eq!(identity.id, "c-abcdefgh23456777");
    assert_eq!(identity.serial_hex, issued.serial_hex);
    assert_eq!(identity.serial_hex.len(), 32);
    assert_eq!(identity.not_after, issued.not_after);
}

#[test]
fn other_certificates_name_no_connector() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let (chain, _) = authority.issue_edge().unwrap();
    for certificate in &chain {
        assert_eq!(connector_identity(certificate), Err(IdentityError::NotAConnector));
    }
}

#[test]
fn garbage_never_panics() {
    let dir = Scratch::new();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    let issued = authority.sign_connector(&generate_csr().unwrap().1, "c-a", CONNECTOR_VALIDITY).unwrap();
    let whole = issued.certificate_der.as_ref();
    for length in 0..whole.len() {
        assert_eq!(connector_identity(&whole[..length]), Err(IdentityError::NotACertificate), "{length} bytes");
    }
    assert_eq!(connector_identity(&[whole, &[0]].concat()), Err(IdentityError::NotACertificate));
    for at in 0..whole.len() {
        for flip in [0x01, 0x02, 0x10, 0x40, 0x80, 0xff] {
            let mut changed = whole.to_vec();
            changed[at] ^= flip;
            if let Ok(identity) = connector_identity(&changed) {
                assert!(is_connector_id(&identity.id), "byte {at} ^ {flip:#x} gave {identity:?}");
            }
        }
    }
}

#[test]
fn ids_are_plain() {
    assert!(is_connector_id("c-abcdefgh23456777") && is_connector_id(&"a".repeat(64)));
    for wrong in ["", "C-A", "c_a", "c/a", "c a", "ç", &"a".repeat(65)] {
        assert!(!is_connector_id(wrong), "{wrong}");
    }
    assert_eq!(serial_hex(&[0, 0, 0x80, 1]), "8001");
}
