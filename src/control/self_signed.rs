//! Certificates for names nobody brought one for: signed by themselves, kept so that a browser's
//! exception lasts.
//!
//! They are for trying things out; the log says so. It refuses to replace a file it cannot read.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tunnel::durable::{self, Access};

/// Browsers refuse certificates that last longer than 398 days.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 60 * 60);
/// Made anew when less than this is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A chain and its key.
pub type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The certificate for `name` (a host name, `*.parent` or an address) from `dir`, made if it is missing or
/// nearly over.
///
/// # Errors
/// The file system's or the library's, in words.
pub fn open_or_create(dir: &Path, name: &str) -> Result<Pair, String> {
    let file = dir.join(format!("{}.pem", name.replace('*', "_").replace(['[', ']', ':'], "-")));
    if let Ok(pem) = std::fs::read(&file)
        && let Ok(pair) = read(&pem)
        && lasts(&pair.0[0])
    {
        return Ok(pair);
    }
    let pem = create(name).map_err(|error| error.to_string())?;
    durable::private_directory(dir)
        .and_then(|()| durable::replace(&file, pem.as_bytes(), Access::Private))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    read(pem.as_bytes())
}

/// The certificates kept in `dir`, without their keys; none if there is no such directory.
#[must_use]
pub fn known(dir: &Path) -> Vec<CertificateDer<'static>> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let pems = files.filter(|file| file.extension().is_some_and(|kind| kind == "pem")).flat_map(std::fs::read);
    pems.filter_map(|pem| CertificateDer::from_pem_slice(&pem).ok()).collect()
}

fn create(name: &str) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    // An IPv6 address is written in brackets in a URL and without them in a certificate.
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let mut params = CertificateParams::new(vec![bare.to_owned()])?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("{name} (Lockgate, self-signed)").chars().take(64).collect::<String>());
    params.distinguished_name = subject;
    params.not_before = (SystemTime::now() - Duration::from_secs(60 * 60)).into();
    params.not_after = (SystemTime::now() + VALIDITY).into();
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn read(pem: &[u8]) -> Result<Pair, String> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("{error:?}"))?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("{error:?}"))?;
    if chain.is_empty() { Err("no certificate".into()) } else { Ok((chain, key)) }
}

fn lasts(leaf: &CertificateDer<'_>) -> bool {
    let until = SystemTime::now() + RENEW_BEFORE;
    let until = until.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    X509Certificate::from_der(leaf)
        .is_ok_and(|(_, leaf)| u64::try_from(leaf.validity().not_after.timestamp()).is_ok_and(|end| end > until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::scratch::Scratch;

    #[test]
    fn an_address_is_a_name_too() {
        let dir = Scratch::new();
        for (host, octets) in [("127.0.0.1", 4), ("[::1]", 16)] {
            let (chain, _) = open_or_create(dir.path(), host).expect("made");
            let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("a certificate");
            let names = leaf.subject_alternative_name().expect("readable").expect("there");
            let address = &names.value.general_names[0];
            assert!(matches!(address, x509_parser::extensions::GeneralName::IPAddress(ip) if ip.len() == octets));
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let dir = Scratch::new();
        let (first, _) = open_or_create(dir.path(), "*.a.test").expect("made");
        let (second, _) = open_or_create(dir.path(), "*.a.test").expect("read");
        assert_eq!(first, second);
        assert_eq!((known(dir.path()), known(&dir.path().join("none"))), (first, Vec::new()));
    }
}
