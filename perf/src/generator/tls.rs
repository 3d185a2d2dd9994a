//! TLS of the generator: 1.3, one certificate trusted, X25519 for everybody.
//!
//! Peers of this vintage know no post-quantum key exchange; it refuses to offer one, so that all do the
//! same work. `perf/README.md` says so beside the figures.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::peers::TLS_HOST;

pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Whom to trust, and the sessions that may be taken up again.
pub struct Trust {
    config: Arc<ClientConfig>,
    resumed: bool,
}

impl Trust {
    pub fn new(certificate: &Path, resumed: bool) -> Result<Self, String> {
        let say = |error: &dyn std::fmt::Display| format!("{}: {error}", certificate.display());
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_file(certificate).map_err(|error| say(&error))?;
        roots.add(trusted).map_err(|error| say(&error))?;
        let provider = rustls::crypto::CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| say(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), resumed }.apart())
    }

    /// The same, with sessions of its own: a connection takes up what it left, not what others did.
    pub fn apart(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = if self.resumed { Resumption::in_memory_sessions(4) } else { Resumption::disabled() };
        Self { config: Arc::new(config), resumed: self.resumed }
    }

    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream> {
        let host = ServerName::try_from(TLS_HOST).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(host, stream).await
    }
}

pub fn was_resumed(stream: &TlsStream) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}
