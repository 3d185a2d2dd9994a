//! The link: one TLS connection a connector opened to an edge, and HTTP/2 turned round on it.
//!
//! ```text
//!   connector ──TCP, TLS 1.3, ALPN lockgate/1──▶ edge           connector half: dial, serve
//!             ── hello (one line) ─────────────▶                edge half: arrival, fleet, link
//!             ◀───────────── welcome (one line) ──
//!             ◀══ HTTP/2: the edge is the client ══             control stream, probes, requests
//!
//!   Dialling ─▶ Hello ─▶ Up ⇄ Suspect ─▶ Draining ─▶ Closed
//! ```
//!
//! Hello and welcome go before HTTP/2, because only after them does the edge know which of its
//! workers the link belongs to. Each edge worker has its own link from each connector. The room
//! refuses to know what an app is: configuration passes through as opaque values.

pub mod arrival;
pub mod control;
pub mod credentials;
pub mod csr;
pub mod dial;
pub mod durable;
pub mod envelope;
pub mod fleet;
pub mod hello;
pub mod identity;
pub mod link;
pub mod tls;
pub mod token;

#[cfg(test)]
pub(crate) mod scratch;

use std::time::Duration;

/// Version of the hello and of everything on a link. An edge speaks this one and says so.
pub const PROTOCOL_VERSION: u16 = 2;

/// Names of the fields that carry metadata on a link. They are stripped at both borders.
pub mod field {
    use http::HeaderName;

    /// Which pushed target to dial, and fields that are the same from request to request; see
    /// [`super::envelope`].
    pub const ENVELOPE: HeaderName = HeaderName::from_static("lockgate-envelope");
    /// First label of the host, for a wildcard target.
    pub const LABEL: HeaderName = HeaderName::from_static("lockgate-label");
    /// `Expect: 100-continue` of the client, which HTTP/2 hops may drop.
    pub const EXPECT: HeaderName = HeaderName::from_static("lockgate-expect");
    /// On a response: the connector could not get one, and why (`cause; detail`).
    pub const FAULT: HeaderName = HeaderName::from_static("lockgate-fault");
    /// On a response: the backend accepted the WebSocket.
    pub const ACCEPTED: HeaderName = HeaderName::from_static("lockgate-websocket");
    /// On a request of the link's own: `control` or `probe`.
    pub const SERVICE: HeaderName = HeaderName::from_static("lockgate-service");
}

/// The edge probes each link so often, by a stream of its own that the connector's worker answers:
/// it proves the data path, not only the connection.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// A probe without an answer for this long makes a link suspect: no new request goes to it.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(1500);
/// … and for this long ends it.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// A connector that has seen no probe for this long gives the link up: three intervals and the
/// edge's own patience.
pub const PROBES_MISSED_AFTER: Duration = Duration::from_secs(11);
/// Dialling, TLS and hello together.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
