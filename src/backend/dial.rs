//! Opens a connection to a place: resolve, check, connect to what was checked, TLS. Every failure has
//! its own kind.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::dns::Resolver;
use super::policy::Policy;
use super::target::{Place, Protocol};
use crate::error::{Error, Kind, Result};
use crate::io::socket;
use crate::io::tcp::Tcp;
use crate::tls::{self, Stream, alpn};

/// An open connection and what is spoken on it.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    pub(super) http2: bool,
}

/// Dials the addresses of `place` that `policy` permits in turn, until one answers.
pub(super) async fn dial(
    place: &Place,
    config: Option<&Arc<ClientConfig>>,
    resolver: &Resolver,
    policy: &Policy,
    timeout: Duration,
) -> Result<Dialled> {
    policy.check_host(place)?;
    let addresses = resolver
        .resolve(&place.host, place.port)
        .await
        .map_err(|reason| Error::new(Kind::BackendDns, format!("{}: {reason}", place.host)))?;
    let addresses = policy.permitted(place, addresses)?;
    // Each address gets its share, so that a dead first one does not eat the time of the second.
    let share = timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).clamp(1, 3);
    let mut last = None;
    for address in addresses {
        match socket::connect(address, share).await {
            Ok(tcp) => return secure(tcp, place, config, timeout).await,
            Err(error) => last = Some((address, error)),
        }
    }
    let Some((address, error)) = last else {
        return Err(Error::new(Kind::BackendDns, format!("{} has no address", place.host)));
    };
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => Kind::BackendRefused,
        _ => Kind::BackendNetwork,
    };
    Err(Error::new(kind, format!("{place} at {address}: {error}")))
}

async fn secure(
    tcp: tokio::net::TcpStream,
    place: &Place,
    config: Option<&Arc<ClientConfig>>,
    timeout: Duration,
) -> Result<Dialled> {
    let lost = |error: io::Error| Error::new(Kind::BackendNetwork, format!("{place}: {error}"));
    let Some(config) = config else {
        return Ok(Dialled {
            stream: Stream::Plain(Tcp::from(tcp).settle().map_err(lost)?),
            http2: place.protocol == Protocol::H2c,
        });
    };
    let bare = place.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|_| {
        Error::new(Kind::BackendCertificate, format!("{} is no name a certificate can have", place.host))
    })?;
    let stream = match tokio::time::timeout(timeout, tls::connect(tcp, config.clone(), name)).await {
        Err(_) => return Err(Error::new(Kind::BackendTls, format!("{place}: the TLS handshake timed out"))),
        Ok(Err(error)) => return Err(tls_failure(place, &error)),
        Ok(Ok(stream)) => stream.settle().map_err(lost)?,
    };
    let http2 = stream.tls().and_then(|tls| tls.alpn_protocol()).is_some_and(|protocol| protocol == alpn::H2);
    Ok(Dialled { stream, http2 })
}

fn tls_failure(place: &Place, error: &io::Error) -> Error {
    let reason = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    let kind = match reason {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Kind::BackendCertificate,
        _ => Kind::BackendTls,
    };
    Error::new(kind, format!("{place}: {error}"))
}
