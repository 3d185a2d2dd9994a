//! TLS configurations of the link: mutual, 1.3 only, and nothing trusted but the edge's own CA.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::identity::EDGE_DNS_NAME;
use crate::tls::{alpn, provider};

/// The edge's side: one configuration for links, one for enrolment.
#[derive(Clone)]
pub struct EdgeTls {
    /// Demands a certificate of our CA.
    pub link: Arc<ServerConfig>,
    /// Demands none: a join token follows.
    pub join: Arc<ServerConfig>,
}

impl EdgeTls {
    /// Both configurations, from the CA's certificate and the edge's own chain and key.
    ///
    /// # Errors
    /// A chain and key that do not fit together.
    pub fn new(
        authority: &CertificateDer<'static>,
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        let provider = provider();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let mut link = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.to_vec(), key.clone_key())?;
        link.alpn_protocols = vec![alpn::LINK.to_vec()];
        let mut join = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain.to_vec(), key.clone_key())?;
        join.alpn_protocols = vec![alpn::JOIN.to_vec()];
        Ok(Self { link: Arc::new(link), join: Arc::new(join) })
    }
}

/// The connector's side of a link: its certificate, and the CA it enrolled with.
///
/// # Errors
/// A certificate and key that do not fit together, or a CA that is no certificate.
pub fn link_client(
    authority: &CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![alpn::LINK.to_vec()];
    Ok(Arc::new(config))
}

/// The connector's side of enrolment: it believes only the CA whose fingerprint its token holds.
///
/// # Errors
/// None in practice; rustls reports a provider without TLS 1.3.
pub fn join_client(ca_fingerprint: [u8; 32]) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let verifier = Arc::new(Pinned { ca_fingerprint, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn::JOIN.to_vec()];
    Ok(Arc::new(config))
}

/// The name every edge's certificate has, whatever address it was dialled at.
#[must_use]
pub fn edge_name() -> ServerName<'static> {
    // cannot fail: a constant DNS name, held by a test
    ServerName::try_from(EDGE_DNS_NAME).unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// Verifies an edge by the fingerprint of the CA that it shows in its chain.
#[derive(Debug)]
struct Pinned {
    ca_fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|shown| digest(&SHA256, shown).as_ref() == self.ca_fingerprint);
        let Some(authority) = pinned else {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("a link never speaks TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_name_is_a_dns_name() {
        assert!(matches!(edge_name(), ServerName::DnsName(_)));
    }
}
