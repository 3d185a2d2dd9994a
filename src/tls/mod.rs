//! TLS for every room: one stream type, one provider, configurations made by hand.
//!
//! Refuses process-global defaults: the provider is passed in. Refuses 0-RTT (replays), TLS below
//! 1.2, and renegotiation (rustls has none).

pub mod danger;
mod handshake;
mod pinned;
mod stream;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use handshake::{accept, connect, read_hello};
pub use pinned::pinned;
pub use stream::{Detached, Stream};

/// The cryptographic provider of this build: aws-lc-rs with the hybrid X25519MLKEM768 key share
/// first.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The versions spoken to clients and backends.
pub const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Application protocols by their ALPN names (RFC 7301).
pub mod alpn {
    /// HTTP/2.
    pub const H2: &[u8] = b"h2";
    /// HTTP/1.1.
    pub const HTTP1: &[u8] = b"http/1.1";
    /// A connector's link.
    pub const LINK: &[u8] = b"lockgate/1";
    /// A connector that enrols with a join token.
    pub const JOIN: &[u8] = b"lockgate-join/1";
}
