//! Which certificate answers for which name.
//!
//! ```text
//!   server name ─▶ exact ─▶ *.parent ─▶ the default (an unknown name)
//!   none ─▶ the first for an address (who dials one gives no name) ─▶ the default
//! ```
//!
//! Built whole for each configuration; refuses a certificate whose key does not fit.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::PublicTls;
use crate::tls::{VERSIONS, alpn, provider};

/// Certificates by name.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// For an IP address: names are never addresses in a ClientHello (RFC 6066, 3).
    addressed: Option<Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Adds a chain and its key under the names of the leaf; the first one added is the default,
    /// and of two for one name the first wins.
    ///
    /// # Errors
    /// What is wrong with the pair, in words.
    pub fn add(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Vec<String>, String> {
        let leaf = chain.first().ok_or("the file holds no certificate")?;
        let names = names_of(leaf)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
            error => error.to_string(),
        })?;
        let certified = Arc::new(certified);
        for name in &names {
            if is_address(name) {
                self.addressed.get_or_insert_with(|| certified.clone());
            }
            match name.strip_prefix("*.") {
                Some(parent) => self.wildcard.entry(parent.to_owned()).or_insert_with(|| certified.clone()),
                None => self.exact.entry(name.clone()).or_insert_with(|| certified.clone()),
            };
        }
        self.default.get_or_insert(certified);
        Ok(names)
    }

    /// The certificate for `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }

    /// Whether both names are answered for by one certificate, so that a browser may use one
    /// connection for both (RFC 9113, 9.1.1).
    #[must_use]
    pub fn same(&self, one: &str, other: &str) -> bool {
        match (self.find(one), self.find(other)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            // Neither is published: the corridor answers both the same way.
            (None, None) => true,
            _ => false,
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = match hello.server_name() {
            Some(name) => self.find(&name.trim_end_matches('.').to_ascii_lowercase()),
            None => self.addressed.as_ref(),
        };
        found.or(self.default.as_ref()).cloned()
    }
}

impl PublicTls {
    /// The configuration for a set of certificates. `ticketer` outlives reloads, so that sessions
    /// resume across them.
    ///
    /// # Errors
    /// A provider without the versions we speak; none in practice.
    pub fn new(
        certificates: Certificates,
        ticketer: Arc<dyn rustls::server::ProducesTickets>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(certificates);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![alpn::H2.to_vec(), alpn::HTTP1.to_vec()];
        config.ticketer = ticketer;
        // Tickets carry the session; the cache behind a lock would only be written.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 2;
        Ok(Self { config: Arc::new(config), certificates })
    }
}

/// Whether a host is written as an address: `192.0.2.1` or `[2001:db8::1]`.
fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// An address of a certificate as a host is written.
fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| format!("[{}]", Ipv6Addr::from(v6)))
}

/// DNS names and addresses of a certificate, lower case (RFC 6125, 6.4: the common name is not
/// looked at).
fn names_of(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| format!("not a certificate: {error}"))?;
    let alternatives = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
    let names: Vec<String> = alternatives
        .iter()
        .flat_map(|alternatives| &alternatives.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err("the certificate names no host and no address (subjectAltName)".into());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for (host, named) in
            [("a.test", "a.test"), ("*.b.test", "*.b.test"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")]
        {
            let pair = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
            let mut certificates = Certificates::default();
            assert_eq!(certificates.add(vec![pair.cert.der().clone()], key).unwrap(), [named]);
            assert_eq!(certificates.addressed.is_some(), is_address(named), "{host}");
        }
    }
}
