//! Where the CA lives between starts: `ca.key` (owner only) and `ca.pem`, both whole or absent.
//!
//! ```text
//!  lock ca.lock ─► neither file ──► make key ─► write ca.key ─► write ca.pem ─┐
//!               ├► key only (a crash in between) ─► write ca.pem ─────────────┼─► Authority
//!               ├► both ─► do they belong together? ──────────────────────────┘
//!               └► certificate only ─► refuse
//! ```
//!
//! Refuses to replace a CA that is there but cannot be used.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{Authority, CaError, ca_params};
use crate::tunnel::durable::{self, Access};

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
const LOCK_FILE: &str = "ca.lock";

/// Opens the CA in `dir`, or makes one that is valid from `now`.
pub(super) fn open_or_create(dir: &Path, now: SystemTime) -> Result<Authority, CaError> {
    durable::private_directory(dir).map_err(at(dir))?;
    // The edge and the command line may both be the first.
    let lock_path = dir.join(LOCK_FILE);
    let _lock = durable::lock(&lock_path).map_err(at(&lock_path))?;
    let (certificate_path, key_path) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
    let certificate_pem = read_if_there(&certificate_path)?;
    let key_pem = read_if_there(&key_path)?;
    match (certificate_pem, key_pem) {
        (Some(certificate_pem), Some(key_pem)) => {
            let key = read_key(&key_pem, &key_path)?;
            let certificate = read_certificate(&certificate_pem, &certificate_path)?;
            if !belongs_to(&certificate, &key, &certificate_path)? {
                return Err(CaError::Mismatch { path: key_path });
            }
            Authority::new(certificate, key)
        }
        (Some(_), None) => Err(CaError::KeyMissing { path: key_path }),
        (None, Some(key_pem)) => {
            tracing::warn!(path = %certificate_path.display(), "CA key without a certificate: making the certificate");
            create_certificate(read_key(&key_pem, &key_path)?, &certificate_path, now)
        }
        (None, None) => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CaError::Signing)?;
            durable::replace(&key_path, key.serialize_pem().as_bytes(), Access::Private).map_err(at(&key_path))?;
            create_certificate(key, &certificate_path, now)
        }
    }
}

fn create_certificate(key: KeyPair, path: &Path, now: SystemTime) -> Result<Authority, CaError> {
    let certificate = ca_params(&key, now)?.self_signed(&key).map_err(CaError::Signing)?;
    durable::replace(path, certificate.pem().as_bytes(), Access::Public).map_err(at(path))?;
    Authority::new(certificate.into(), key)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, CaError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn read_key(pem: &[u8], path: &Path) -> Result<KeyPair, CaError> {
    if durable::open_to_others(path).map_err(at(path))? {
        tracing::warn!(path = %path.display(), "the CA key can be read by others than its owner: chmod 600 it");
    }
    let damaged = || CaError::Damaged { path: path.to_owned() };
    let pem = std::str::from_utf8(pem).map_err(|_| damaged())?;
    let key = KeyPair::from_pem(pem).map_err(|_| damaged())?;
    if key.algorithm() == &PKCS_ECDSA_P256_SHA256 { Ok(key) } else { Err(damaged()) }
}

fn read_certificate(pem: &[u8], path: &Path) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(pem).map_err(|_| CaError::Damaged { path: path.to_owned() })
}

/// Whether the certificate is `key`'s; damaged ones are neither right nor wrong.
fn belongs_to(certificate: &CertificateDer<'_>, key: &KeyPair, path: &Path) -> Result<bool, CaError> {
    let damaged = || CaError::Damaged { path: path.to_owned() };
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| damaged())?;
    if !rest.is_empty() || !parsed.is_ca() {
        return Err(damaged());
    }
    Ok(parsed.public_key().raw == key.subject_public_key_info())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CaError + '_ {
    move |source| CaError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::tunnel::scratch::Scratch;

    fn open(dir: &Path) -> Result<Authority, CaError> {
        open_or_create(dir, SystemTime::now())
    }

    #[test]
    fn the_same_ca_comes_back() {
        let dir = Scratch::new();
        let first = open(dir.path()).unwrap();
        let second = open(dir.path()).unwrap();
        assert_eq!(first.certificate_der(), second.certificate_der());
        assert_eq!(first.fingerprint(), second.fingerprint());
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [KEY_FILE, LOCK_FILE, CERTIFICATE_FILE]);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Scratch::new();
        let data = dir.path().join("data");
        open(&data).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&data), 0o700);
    }

    #[test]
    fn many_first_starts_agree_on_one_ca() {
        let dir = Scratch::new();
        let prints: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(dir.path()).unwrap().fingerprint())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(prints.iter().all(|print| *print == prints[0]));
    }

    #[test]
    fn a_crash_between_the_two_files_is_mended() {
        let dir = Scratch::new();
        let before = open(dir.path()).unwrap();
        fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        let after = open(dir.path()).unwrap();
        let facts = |authority: &Authority| {
            let (_, parsed) = X509Certificate::from_der(authority.certificate_der()).unwrap();
            (parsed.subject().to_string(), parsed.public_key().raw.to_vec())
        };
        assert_eq!(facts(&before), facts(&after));
    }

    #[test]
    fn a_ca_that_cannot_be_used_is_not_replaced() {
        let (dir, other) = (Scratch::new(), Scratch::new());
        open(dir.path()).unwrap();
        open(other.path()).unwrap();
        let (key, certificate) = (dir.path().join(KEY_FILE), dir.path().join(CERTIFICATE_FILE));
        let (good_key, good_certificate) = (fs::read(&key).unwrap(), fs::read(&certificate).unwrap());

        fs::copy(other.path().join(KEY_FILE), &key).unwrap();
        assert!(matches!(open(dir.path()), Err(CaError::Mismatch { .. })));
        fs::write(&key, &good_key[..good_key.len() / 2]).unwrap();
        assert!(matches!(open(dir.path()), Err(CaError::Damaged { path }) if path == key));
        fs::remove_file(&key).unwrap();
        assert!(matches!(open(dir.path()), Err(CaError::KeyMissing { .. })));
        assert!(!key.exists());
        fs::write(&key, &good_key).unwrap();
        fs::write(&certificate, &good_certificate[..good_certificate.len() / 2]).unwrap();
        assert!(matches!(open(dir.path()), Err(CaError::Damaged { path }) if path == certificate));
        fs::write(&certificate, &good_certificate).unwrap();
        assert!(open(dir.path()).is_ok());
    }
}
