//! The services a filter may call: a scheme and a place, nothing else.
//!
//! Refuses paths and wildcards: the filter says what it wants there, and there is one there.

use std::fmt;

use toml::de::DeValue;

use super::error::{Wrong, quoted};
use super::kind::Kind;
use super::published_url::{PublishedUrl, Scheme};

/// A service that a filter may call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Over TLS.
    pub https: bool,
    /// Lower case, IDN as punycode, no trailing dot; an IPv6 address in its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl Upstream {
    /// Parses and normalises `http://host:port`; a `/` may follow.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let has_path = text.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let url = if has_path { PublishedUrl::parse(text)? } else { PublishedUrl::parse(&format!("{text}/"))? };
        if url.wildcard {
            return Err("a wildcard is no place to call".to_owned());
        }
        if url.path != "/" {
            return Err("a path is not part of it: the filter says which".to_owned());
        }
        let port = url.effective_port();
        Ok(Self { https: url.scheme == Scheme::Https, host: url.host, port })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { Scheme::Https } else { Scheme::Http };
        write!(f, "{}://{}", scheme.as_str(), self.host)?;
        if self.port != scheme.default_port() { write!(f, ":{}", self.port) } else { Ok(()) }
    }
}

/// One value of `upstreams`.
pub(super) struct Service;

impl Kind for Service {
    type Value = Upstream;

    fn read(&self, value: &DeValue<'_>) -> Result<Upstream, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        Upstream::parse(text).map_err(Wrong::one)
    }

    fn show(&self, value: &Upstream) -> String {
        quoted(&value.to_string())
    }

    fn allowed(&self) -> String {
        "an http or https URL without a path".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_scheme_and_a_place() {
        for (given, https, host, port, shown) in [
            ("http://auth.corp:8080", false, "auth.corp", 8080, "http://auth.corp:8080"),
            ("HTTPS://Auth.Corp./", true, "auth.corp", 443, "https://auth.corp"),
            ("http://[::1]:80", false, "[::1]", 80, "http://[::1]"),
        ] {
            let upstream = Upstream::parse(given).unwrap();
            assert_eq!(upstream, Upstream { https, host: host.to_owned(), port }, "{given}");
            assert_eq!(upstream.to_string(), shown);
        }
        for bad in
            ["", "auth:80", "ftp://a", "http://a/b/", "http://a/b", "http://*.a", "http://u@a", "http://a?x", "http://"]
        {
            assert!(Upstream::parse(bad).is_err(), "{bad}");
        }
    }
}
