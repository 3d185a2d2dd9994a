//! TLS towards backends: one client configuration for each way to verify.
//!
//! Without a word in the configuration the platform's roots decide.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use super::target::{Place, Protocol, TargetSpec, Verify};
use crate::error::{Error, Kind, Result};
use crate::http::Scheme;
use crate::tls::{VERSIONS, alpn, danger, provider};

/// Configurations by what they depend on.
#[derive(Default)]
pub(super) struct Configs {
    known: HashMap<(Verify, Protocol), Arc<ClientConfig>>,
}

impl Configs {
    /// The configuration for a place; `None` when it is reached without TLS.
    pub(super) fn config_for(&mut self, place: &Place, spec: &TargetSpec) -> Result<Option<Arc<ClientConfig>>> {
        if place.scheme == Scheme::Http {
            return Ok(None);
        }
        let key = (spec.verify.clone(), spec.protocol);
        if let Some(config) = self.known.get(&key) {
            return Ok(Some(config.clone()));
        }
        let config = build(&spec.verify, spec.protocol)
            .map(Arc::new)
            .map_err(|reason| Error::new(Kind::BackendCertificate, reason))?;
        self.known.insert(key, config.clone());
        Ok(Some(config))
    }
}

fn build(verify: &Verify, protocol: Protocol) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(VERSIONS)
        .map_err(|error| error.to_string())?;
    let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = match verify {
        Verify::Danger => danger::skip_backend_verification(provider),
        Verify::Platform => {
            Arc::new(Verifier::new(provider).map_err(|error| format!("the platform's roots: {error}"))?)
        }
        Verify::WithAuthority(pem) => {
            let roots: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| format!("backend_ca: {error:?}"))?;
            if roots.is_empty() {
                return Err("backend_ca holds no certificate".into());
            }
            with_authority(roots, provider)?
        }
    };
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![alpn::H2.to_vec(), alpn::HTTP1.to_vec()],
        Protocol::Http1 => vec![alpn::HTTP1.to_vec()],
        Protocol::H2c => vec![alpn::H2.to_vec()],
    };
    Ok(config)
}

/// The named authority beside the platform's roots. A machine without any roots of its own (a
/// bare container) still verifies by the authority alone.
fn with_authority(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn rustls::client::danger::ServerCertVerifier>, String> {
    match Verifier::new_with_extra_roots(roots.clone(), provider.clone()) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(_) => {
            let mut store = rustls::RootCertStore::empty();
            store.add_parsable_certificates(roots);
            let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                .build()
                .map_err(|error| format!("backend_ca: {error}"))?;
            Ok(verifier)
        }
    }
}
