//! What a connector dials: addresses, ranges and names, each with or without a port.
//!
//! Refuses numbers that programs read as addresses in different ways: `127.1` is written `127.0.0.1`.

use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;
use url::Host;

use super::cidr::{Cidr, Ranges};
use super::collection::List;
use super::error::{Wrong, cited, quoted};
use super::kind::Kind;
use super::published_url::{PublishedUrl, check_domain};
use super::schema::{Section, settings};

/// Entries of `allow`.
const ENTRIES_MAX: usize = 1024;

settings! {
    /// What the connector dials, whatever an edge has pushed to it.
    pub struct DialSettings {
        /// What may be dialled: addresses, ranges and host names, each with or without a port; "localhost" means every loopback address. Empty means every address that is not denied; otherwise it is the whole list. A name opens no denied address; a range does where it is as narrow as the one that denies.
        optional allow: Vec<Destination> = Vec::new(), List { max: ENTRIES_MAX, of: OneDestination };
        /// Ranges that are denied besides loopback, link-local, multicast, broadcast and unspecified addresses and the metadata services of clouds.
        optional deny: Vec<Cidr> = Vec::new(), Ranges;
    }
}

impl DialSettings {
    /// For the connector of an edge that publishes `url` and nothing else: that place, and this machine at its port.
    #[must_use]
    pub fn only(url: &PublishedUrl) -> Self {
        let port = Some(url.effective_port());
        let at = match url.ip() {
            Some(address) => Whereabouts::Range(Cidr::from(address)),
            None if url.wildcard => Whereabouts::Below(url.host.clone()),
            None => Whereabouts::Name(url.host.clone()),
        };
        let here = Whereabouts::Name("localhost".to_owned());
        Self { allow: vec![Destination { at, port }, Destination { at: here, port }], deny: Vec::new() }
    }
}

impl Default for DialSettings {
    fn default() -> Self {
        Self::template()
    }
}

/// One entry of `allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where it is.
    pub at: Whereabouts,
    /// `None` for every port; never 0.
    pub port: Option<u16>,
}

/// An address, a range or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// An address or a range.
    Range(Cidr),
    /// A host: lower case, IDN as punycode, no trailing dot.
    Name(String),
    /// `*.` and this: every name below it.
    Below(String),
}

impl FromStr for Destination {
    type Err = String;

    /// `10.0.0.0/8`, `10.0.0.5:3000`, `[fd00::5]:3000`, `wiki.corp`, `*.corp:443`, `localhost:3000`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(range) = text.parse() {
            return Ok(Self { at: Whereabouts::Range(range), port: None });
        }
        let (place, port) = split_port(text)?;
        let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let at = match bare.unwrap_or(place).parse::<Cidr>() {
            Ok(range) => Whereabouts::Range(range),
            Err(reason) if bare.is_some() || place.contains('/') => return Err(reason),
            Err(_) => match place.strip_prefix("*.") {
                Some(parent) => Whereabouts::Below(name(parent)?),
                None => Whereabouts::Name(name(place)?),
            },
        };
        Ok(Self { at, port })
    }
}

/// The text before the port, and the port if there is one.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    match text.rsplit_once(':') {
        Some((place, digits)) if !digits.ends_with(']') => match digits.parse() {
            Ok(port) if port != 0 && !digits.starts_with('+') => Ok((place, Some(port))),
            _ => Err(format!("{} is not {}", cited(text), OneDestination.allowed())),
        },
        _ => Ok((text, None)),
    }
}

fn name(text: &str) -> Result<String, String> {
    match Host::parse(text) {
        Ok(Host::Domain(domain)) => {
            let domain = domain.strip_suffix('.').unwrap_or(&domain);
            check_domain(domain)?;
            Ok(domain.to_owned())
        }
        Ok(address) => Err(format!("{} means the address {address}; write it so", cited(text))),
        Err(_) => Err(format!("{} is not {}", cited(text), OneDestination.allowed())),
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Whereabouts::Range(range) if self.port.is_some() && range.network().is_ipv6() => write!(f, "[{range}]"),
            Whereabouts::Range(range) => range.fmt(f),
            Whereabouts::Name(name) => f.write_str(name),
            Whereabouts::Below(parent) => write!(f, "*.{parent}"),
        }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An entry of `allow`.
struct OneDestination;

impl Kind for OneDestination {
    type Value = Destination;

    fn read(&self, value: &DeValue<'_>) -> Result<Destination, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        text.parse().map_err(Wrong::one)
    }

    fn show(&self, value: &Destination) -> String {
        quoted(&value.to_string())
    }

    fn allowed(&self) -> String {
        "an address, a range or a host such as \"10.0.0.5:3000\", \"10.0.0.0/8\", \"[fd00::5]:443\", \"*.corp\" or \"localhost:3000\""
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_an_address_a_range_or_a_name() {
        for (given, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.5", "10.0.0.5/32"),
            ("10.0.0.5:3000", "10.0.0.5/32:3000"),
            ("10.0.0.0/8:443", "10.0.0.0/8:443"),
            ("::1", "::1/128"),
            ("[::1]", "::1/128"),
            ("[::1]:3000", "[::1/128]:3000"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("localhost:3000", "localhost:3000"),
            ("Wiki.Corp.", "wiki.corp"),
            ("bücher.corp:80", "xn--bcher-kva.corp:80"),
            ("*.Corp:443", "*.corp:443"),
        ] {
            let destination: Destination = given.parse().unwrap_or_else(|reason| panic!("{given}: {reason}"));
            assert_eq!(destination.to_string(), shown, "{given}");
            assert_eq!(shown.parse(), Ok(destination), "{shown}");
        }
        assert_eq!(
            "127.1".parse::<Destination>(),
            Err("\"127.1\" means the address 127.0.0.1; write it so".to_owned())
        );
        for bad in [
            "",
            ":80",
            "a:0",
            "a:+1",
            "a:99999",
            "a:",
            "*",
            "*:80",
            "a.*",
            "*.10.0.0.1",
            "10.0.0.1/8",
            "[10.0/8]:1",
            "0x7f000001",
            "2130706433:80",
            "http://a",
            "a b",
            "[::1",
            "[::1]x",
            "unix:/run/a",
            "-a",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_app_is_its_place_and_this_machine() {
        for (url, allow) in [
            ("http://127.0.0.1:3000/", "127.0.0.1/32:3000"),
            ("http://[::1]/", "[::1/128]:80"),
            ("https://wiki.corp/", "wiki.corp:443"),
            ("https://*.corp/", "*.corp:443"),
        ] {
            let url = PublishedUrl::parse(url).unwrap();
            let shown: Vec<_> = DialSettings::only(&url).allow.iter().map(ToString::to_string).collect();
            assert_eq!(shown, [allow, &format!("localhost:{}", url.effective_port())], "{url}");
        }
    }
}
