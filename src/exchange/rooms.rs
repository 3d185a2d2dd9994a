//! One immutable snapshot of everything a request is decided by.
//!
//! A reload builds a new one and swaps it whole; a request keeps the one it began with.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use crate::auth::Policy;
use crate::filters::Chain;
use crate::http::Authority;
use crate::relay::Destination;
use crate::routing::Table;

/// What is published, and how requests are judged.
pub struct Rooms {
    /// The configuration generation; grows by one with every reload that succeeded.
    pub generation: u64,
    /// Places to apps.
    pub routes: Table<App>,
    /// Whether forwarding fields of a peer are believed.
    pub trusted_proxies: Vec<Network>,
}

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address, IPv4 mapped into IPv6.
    pub base: u128,
    /// Ones at the bits that must agree.
    pub mask: u128,
}

/// An application, in the form the corridor needs.
pub struct App {
    /// Its name.
    pub name: Arc<str>,
    /// The filters its requests meet.
    pub chain: Chain,
    /// Its published path.
    pub external_path: String,
    /// The port of its external URL.
    pub external_port: u16,
    /// The path inside that takes the published one's place.
    pub internal_path: String,
    /// The `Host` the backend sees; for a wildcard what follows the label, with a leading dot.
    pub internal_host: HeaderValue,
    /// The first label of the internal host comes from the request.
    pub internal_wildcard: bool,
    /// The external `Host` is kept instead.
    pub keeps_host: bool,
    /// Who may enter.
    pub policy: Policy,
    /// Where its requests go.
    pub destination: Destination,
    /// Switched off by the operator.
    pub maintenance: bool,
    /// Whether its requests get an access line.
    pub access_log: bool,
    /// Also send RFC 7239 `Forwarded`.
    pub forwarded_header: bool,
}

impl Rooms {
    /// Whether `peer` is a trusted proxy.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        if self.trusted_proxies.is_empty() {
            return false;
        }
        let bits = match peer {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        self.trusted_proxies.iter().any(|network| bits & network.mask == network.base)
    }
}

impl App {
    /// The `Host` the backend sees.
    pub(super) fn internal_host(&self, label: Option<&str>, external: &Authority) -> HeaderValue {
        let internal = || match label {
            Some(label) if self.internal_wildcard => {
                let parent = self.internal_host.to_str().unwrap_or_default();
                HeaderValue::from_str(&format!("{label}{parent}")).ok()
            }
            _ => Some(self.internal_host.clone()),
        };
        let kept = || external.header_value();
        let host = if self.keeps_host { kept() } else { internal() };
        host.unwrap_or_else(|| self.internal_host.clone())
    }
}
