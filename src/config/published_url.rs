//! External and internal URLs of an app, in the one form in which they are compared and routed.
//!
//! Refuses what would make two readings of one URL possible: user names, queries, fragments, paths
//! that are not in normal form or do not end in `/`, and host names that are numbers in disguise.

use std::fmt;
use std::net::IpAddr;

use toml::de::DeValue;
use url::{Host, Url};

use super::error::{Wrong, cited, quoted};
use super::kind::Kind;
use super::published_path::check_path;

/// The two schemes that are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`, port 80.
    Http,
    /// `https`, port 443.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL as published: scheme, host, optional port, and a path that ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishedUrl {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Lower case, IDN as punycode, no trailing dot, at most 253 bytes; an IPv6 address in its
    /// brackets. Of a wildcard, the part after `*.`.
    pub host: String,
    /// Whether the host is `*.` before `host`: exactly the names that end in `.host`.
    pub wildcard: bool,
    /// `None` where it is the default of the scheme; never 0.
    pub port: Option<u16>,
    /// Begins and ends in `/`; normal form: no empty or dot segments, no `%2F`, `%5C`, `\` or `;`,
    /// percent-encoding in upper case and only where it is needed (RFC 3986, 6.2.2).
    pub path: String,
}

impl PublishedUrl {
    /// Parses and normalises a URL.
    ///
    /// # Errors
    /// The rule it breaks, and where that can be said how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_characters(text)?;
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("{} is not a URL; write for example \"https://app.example.com/\"", cited(text)));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(format!("the scheme is {}; allowed is http or https", cited(scheme))),
        };
        let path_start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_start);
        if authority.contains('@') {
            return Err("a URL with a user name cannot be published".to_owned());
        }
        if !path.ends_with('/') {
            return Err(format!("the path must end in /; write {}", cited(&format!("{text}/"))));
        }
        check_path(path)?;
        let (host, wildcard, port) = parse_authority(scheme, authority)?;
        Ok(Self { scheme, host, wildcard, port, path: path.to_owned() })
    }

    /// The port, or the default of the scheme.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// The host, if it is an IP address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// An example for the table of settings; `host` is in normal form.
    pub(super) fn example(scheme: Scheme, host: &str) -> Self {
        Self { scheme, host: host.to_owned(), wildcard: false, port: None, path: "/".to_owned() }
    }

    /// Whether `url` is a page of this app: same scheme and port, a host it matches, inside its path.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let is_host = match self.wildcard {
            true => host.strip_suffix(&self.host).is_some_and(|label| label.len() > 1 && label.ends_with('.')),
            false => host == self.host,
        };
        url.scheme() == self.scheme.as_str()
            && is_host
            && url.port_or_known_default() == Some(self.effective_port())
            && url.path().starts_with(&self.path)
    }
}

impl fmt::Display for PublishedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = if self.wildcard { "*." } else { "" };
        write!(f, "{}://{wildcard}{}", self.scheme.as_str(), self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

fn check_characters(text: &str) -> Result<(), String> {
    let bad = text.chars().find(|char| char.is_whitespace() || char.is_control() || "?#\\".contains(*char));
    Err(match bad {
        None => return Ok(()),
        Some('?') => "a URL with a query cannot be published".to_owned(),
        Some('#') => "a URL with a fragment cannot be published".to_owned(),
        Some('\\') => "a URL has no backslashes".to_owned(),
        Some(_) => "a URL has no spaces or control characters".to_owned(),
    })
}

/// Host, whether it is a wildcard, and the port if it is not the scheme's.
fn parse_authority(scheme: Scheme, authority: &str) -> Result<(String, bool, Option<u16>), String> {
    let bad = || format!("{} is not a host with an optional port", cited(authority));
    let (wildcard, name) = match authority.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, authority),
    };
    if name.contains('*') {
        return Err("a wildcard can only be the whole first label: \"*.example.com\"".to_owned());
    }
    if name.is_empty() || name.contains('%') {
        return Err(bad());
    }
    let url = Url::parse(&format!("{}://{name}/", scheme.as_str())).map_err(|_| bad())?;
    if url.port() == Some(0) {
        return Err("the port must be from 1 to 65535".to_owned());
    }
    let host = match url.host().ok_or_else(bad)? {
        Host::Domain(domain) => {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            check_domain(domain)?;
            domain.to_owned()
        }
        address if wildcard => return Err(format!("\"*.{address}\": an address has no subdomains")),
        Host::Ipv4(address) => {
            let written = name.split(':').next().unwrap_or_default();
            if written != address.to_string() {
                return Err(format!("{} means the address {address}; write it so", cited(written)));
            }
            address.to_string()
        }
        Host::Ipv6(address) => format!("[{address}]"),
    };
    Ok((host, wildcard, url.port()))
}

/// RFC 1123, 2.1, and `_`, which private networks use.
pub(super) fn check_domain(domain: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() <= 253 && domain.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!("{} is not a valid host name", cited(domain)))
}

/// `external_url` and `internal_url`.
pub(super) struct Published;

impl Kind for Published {
    type Value = PublishedUrl;

    fn read(&self, value: &DeValue<'_>) -> Result<PublishedUrl, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        PublishedUrl::parse(text).map_err(Wrong::one)
    }

    fn show(&self, value: &PublishedUrl) -> String {
        quoted(&value.to_string())
    }

    fn allowed(&self) -> String {
        "an http or https URL whose path ends in /".to_owned()
    }
}

/// `home_url`: any page; whether it is the app's is checked where the app is known.
pub(super) struct Page;

impl Kind for Page {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        match Url::parse(text) {
            Ok(url) if url.has_host() && url.username().is_empty() && url.password().is_none() => Ok(url.to_string()),
            _ => Err(Wrong::one(format!("{} is not {}", cited(text), self.allowed()))),
        }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        "a URL inside external_url".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3986_6_2_one_place_has_one_form() {
        for (given, form) in [
            ("https://shop.example.com/", "https://shop.example.com/"),
            ("HTTPS://Shop.Example.COM./", "https://shop.example.com/"),
            ("https://shop.example.com:443/a/b/", "https://shop.example.com/a/b/"),
            ("http://shop:80/", "http://shop/"),
            ("http://shop:8080/", "http://shop:8080/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://*.Example.com:8443/", "https://*.example.com:8443/"),
            ("https://*.bücher.example/", "https://*.xn--bcher-kva.example/"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000/"),
            ("http://[::1]:3000/", "http://[::1]:3000/"),
            ("http://[0:0::1]/", "http://[::1]/"),
            ("http://my_host/~a/b%20c/%C3%BC/", "http://my_host/~a/b%20c/%C3%BC/"),
        ] {
            let url = PublishedUrl::parse(given).unwrap_or_else(|reason| panic!("{given}: {reason}"));
            assert_eq!(url.to_string(), form, "{given}");
            assert_eq!(PublishedUrl::parse(form), Ok(url), "{form}");
        }
        let url = PublishedUrl::parse("https://*.example.com:8443/").unwrap();
        assert_eq!((url.host.as_str(), url.wildcard, url.port), ("example.com", true, Some(8443)));
        assert_eq!(PublishedUrl::parse("http://[::1]/").unwrap().ip(), Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        assert_eq!(PublishedUrl::parse("http://a/").unwrap().effective_port(), 80);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (bad, reason) in [
            ("shop.example.com", "\"shop.example.com\" is not a URL; write for example \"https://app.example.com/\""),
            ("ftp://a/", "the scheme is \"ftp\"; allowed is http or https"),
            ("https://a", "the path must end in /; write \"https://a/\""),
            ("https://a/b", "the path must end in /; write \"https://a/b/\""),
            ("https://a/?x=/", "a URL with a query cannot be published"),
            ("https://a/#/", "a URL with a fragment cannot be published"),
            ("https://u:p@a/", "a URL with a user name cannot be published"),
            ("https://a/b c/", "a URL has no spaces or control characters"),
            ("https://a/b\\c/", "a URL has no backslashes"),
            ("https:///", "\"\" is not a host with an optional port"),
            ("https://a:x/", "\"a:x\" is not a host with an optional port"),
            ("https://a:0/", "the port must be from 1 to 65535"),
            ("https://a..b/", "\"a..b\" is not a valid host name"),
            ("https://a../", "\"a.\" is not a valid host name"),
            ("https://-a/", "\"-a\" is not a valid host name"),
            ("https://a.*.b/", "a wildcard can only be the whole first label: \"*.example.com\""),
            ("https://a*.b/", "a wildcard can only be the whole first label: \"*.example.com\""),
            ("https://*/", "a wildcard can only be the whole first label: \"*.example.com\""),
            ("https://*.10.0.0.1/", "\"*.10.0.0.1\": an address has no subdomains"),
            ("http://127.1/", "\"127.1\" means the address 127.0.0.1; write it so"),
            ("http://0x7f000001/", "\"0x7f000001\" means the address 127.0.0.1; write it so"),
            ("https://a/b//c/", "the path has an empty segment (//)"),
        ] {
            assert_eq!(PublishedUrl::parse(bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn an_app_covers_the_pages_inside_it() {
        let app = PublishedUrl::parse("https://a.test/shop/").unwrap();
        let wild = PublishedUrl::parse("https://*.a.test/").unwrap();
        for (url, page, covered) in [
            (&app, "https://a.test/shop/home?x", true),
            (&app, "https://a.test:443/shop/", true),
            (&app, "https://a.test/shopping", false),
            (&app, "https://a.test/shop/%2e%2e/admin", false),
            (&app, "http://a.test/shop/", false),
            (&app, "https://a.test:8443/shop/", false),
            (&wild, "https://b.a.test/", true),
            (&wild, "https://a.test/", false),
            (&wild, "https://ba.test/", false),
            (&wild, "https://.a.test/", false),
        ] {
            assert_eq!(url.covers(&Url::parse(page).unwrap()), covered, "{url} {page}");
        }
    }
}
