//! What a backend is: where it is dialled, how it is verified, how long it may take.
//!
//! The spec is what the edge pushes to connectors; a connector dials nothing else.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::http::Scheme;

/// How the server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// By the roots of the platform the connector runs on.
    Platform,
    /// By the roots of the platform and this authority (PEM).
    WithAuthority(String),
    /// Not at all.
    Danger,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 without TLS; with TLS what ALPN agrees on.
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 by prior knowledge (RFC 9113, 3.3).
    H2c,
}

/// A backend as configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TargetSpec {
    /// TLS or not.
    pub tls: bool,
    /// The host; for a wildcard what follows the first label.
    pub host: String,
    /// The first label of the host comes from the request.
    pub wildcard: bool,
    /// The port.
    pub port: u16,
    /// Which HTTP.
    pub protocol: Protocol,
    /// How it is verified.
    pub verify: Verify,
    /// How long a response head may take, dialling included; also how long a response body may
    /// be silent.
    pub response_timeout_ms: u64,
}

/// A spec in use: knows itself by number, so that its pool is found without hashing names.
#[derive(Debug)]
pub struct Target {
    /// What it is.
    pub spec: TargetSpec,
    /// The `Host` of a request that brings none of its own.
    pub host: HeaderValue,
    serial: u64,
}

impl Target {
    /// A target of its own.
    #[must_use]
    pub fn new(spec: TargetSpec) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let host = spec.host_field();
        Self { spec, host, serial: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }
}

/// One server that can be dialled: a spec with its wildcard filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// How it is reached.
    pub scheme: Scheme,
    /// The full host name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Which HTTP.
    pub protocol: Protocol,
    /// How it is verified.
    pub verify: Verify,
}

impl TargetSpec {
    /// The response timeout.
    #[must_use]
    pub const fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.response_timeout_ms)
    }

    /// `https://host:port`, for logs.
    #[must_use]
    pub fn origin(&self) -> String {
        let star = if self.wildcard { "*." } else { "" };
        format!("{}://{star}{}:{}", self.scheme().as_str(), self.host, self.port)
    }

    /// The `Host` of the target's own URL: without a port where that is the scheme's own.
    #[must_use]
    pub fn host_field(&self) -> HeaderValue {
        let text = match self.port {
            port if port == self.scheme().default_port() => self.host.clone(),
            port => format!("{}:{port}", self.host),
        };
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    const fn scheme(&self) -> Scheme {
        if self.tls { Scheme::Https } else { Scheme::Http }
    }

    /// The place for a request whose host had `label` in the wildcard's position; `None` when a
    /// wildcard lacks a valid label.
    #[must_use]
    pub fn place(&self, label: Option<&str>) -> Option<Place> {
        let host = match (self.wildcard, label) {
            (false, _) => self.host.clone(),
            (true, Some(label)) if is_label(label) => format!("{label}.{}", self.host),
            (true, _) => return None,
        };
        Some(Place {
            scheme: self.scheme(),
            host,
            port: self.port,
            protocol: self.protocol,
            verify: self.verify.clone(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

/// One DNS label of letters, digits and inner hyphens (RFC 1123, 2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_takes_one_label_and_nothing_else() {
        let spec = TargetSpec {
            tls: false,
            host: "corp.local".into(),
            wildcard: true,
            port: 80,
            protocol: Protocol::Auto,
            verify: Verify::Platform,
            response_timeout_ms: 1,
        };
        assert_eq!(spec.place(Some("wiki")).map(|place| place.host).as_deref(), Some("wiki.corp.local"));
        for bad in [None, Some(""), Some("a.b"), Some("-a"), Some("a/"), Some("évil")] {
            assert_eq!(spec.place(bad), None, "{bad:?}");
        }
    }
}
