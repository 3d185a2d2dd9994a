//! Host and port of a request in one normal form: lower case, no trailing dot, checked characters.
//!
//! Accepts `uri-host [":" port]` (RFC 9110, 7.2; RFC 3986, 3.2) and refuses userinfo, lists,
//! percent-encoding and anything longer than a DNS name.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;

use super::Scheme;

/// 253 octets of a name, brackets and a port fit.
const AUTHORITY_BYTES: usize = 255 + 6;

/// A host with an optional port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Bytes,
    port: Option<u16>,
}

impl Authority {
    /// Parses the value of `Host` or `:authority`.
    ///
    /// # Errors
    /// The rule it breaks, for the client to read.
    pub fn parse(value: &Bytes) -> Result<Self, &'static str> {
        if value.is_empty() {
            return Err("the host is empty (RFC 9110, 7.2)");
        }
        if value.len() > AUTHORITY_BYTES {
            return Err("the host is longer than 255 octets");
        }
        let end_of_host = match value.first() {
            Some(b'[') => value.iter().position(|&byte| byte == b']').ok_or("the host lacks a closing bracket")? + 1,
            _ => memchr::memchr(b':', value).unwrap_or(value.len()),
        };
        let port = match &value[end_of_host..] {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return Err("the host is followed by something else than a port"),
        };
        let mut host = value.slice(..end_of_host);
        check_host(&host)?;
        if host.len() > 1 && host.ends_with(b".") {
            host.truncate(host.len() - 1);
        }
        if host.iter().any(u8::is_ascii_uppercase) {
            host = host.to_ascii_lowercase().into();
        }
        Ok(Self { host, port })
    }

    /// The host: lower case, without trailing dot; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        std::str::from_utf8(&self.host).unwrap_or_default()
    }

    /// The port as given.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The authority as a field value.
    #[must_use]
    pub fn header_value(&self) -> Option<HeaderValue> {
        match self.port {
            None => HeaderValue::from_maybe_shared(self.host.clone()).ok(),
            Some(port) => {
                // Digit by digit: with every request, `format!` is too much for a number.
                let mut text = BytesMut::with_capacity(self.host.len() + 6);
                text.put_slice(&self.host);
                text.put_u8(b':');
                let first = [10_000, 1_000, 100, 10].iter().take_while(|&&unit| port < unit).count();
                for unit in &[10_000, 1_000, 100, 10, 1][first..] {
                    text.put_u8(b'0' + u8::try_from(port / unit % 10).unwrap_or_default());
                }
                HeaderValue::from_maybe_shared(text.freeze()).ok()
            }
        }
    }

    /// The port, or the default of `scheme`.
    #[must_use]
    pub fn effective_port(&self, scheme: Scheme) -> u16 {
        self.port.unwrap_or(scheme.default_port())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn parse_port(digits: &[u8]) -> Result<u16, &'static str> {
    const BAD: &str = "the port of the host is not a number from 1 to 65535";
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let port = digits.iter().fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    u16::try_from(port).ok().filter(|&port| port != 0).ok_or(BAD)
}

fn check_host(host: &[u8]) -> Result<(), &'static str> {
    if let [b'[', address @ .., b']'] = host {
        let text = std::str::from_utf8(address).unwrap_or_default();
        return match text.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("the host in brackets is not an IPv6 address"),
        };
    }
    if host.is_empty() || host == b"." {
        return Err("the host is empty (RFC 9110, 7.2)");
    }
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !host.iter().all(legal) {
        return Err("the host holds a character that no host name has (RFC 3986, 3.2.2)");
    }
    if host.starts_with(b".") || memchr::memmem::find(host, b"..").is_some() {
        return Err("the host has an empty label");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Result<String, &'static str> {
        Authority::parse(&Bytes::from_static(text.as_bytes())).map(|authority| authority.to_string())
    }

    #[test]
    fn rfc9110_7_2_one_place_has_one_form() {
        for (given, form) in [
            ("a.test", "a.test"),
            ("A.Test", "a.test"),
            ("a.test.", "a.test"),
            ("a.test:", "a.test"),
            ("a.test:8443", "a.test:8443"),
            ("[::1]:80", "[::1]:80"),
            ("a.test:1", "a.test:1"),
            ("a.test:010", "a.test:10"),
            ("a.test:65535", "a.test:65535"),
            ("127.0.0.1", "127.0.0.1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(form), "{given}");
            let value = Authority::parse(&Bytes::from_static(given.as_bytes())).ok().and_then(|it| it.header_value());
            assert_eq!(value.as_ref().map(HeaderValue::as_bytes), Some(form.as_bytes()), "{given}");
        }
    }

    #[test]
    fn rfc9112_3_2_a_bad_host_is_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "user@a.test",
            "a.test/",
            "a,b",
            "a b",
            "a.test:99999",
            "a.test:0",
            "a.test:+1",
            "a%2etest",
            "[::1",
            "[x]",
            "[::1]x",
            "b\u{fc}cher.example",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(Authority::parse(&Bytes::from(vec![b'a'; 300])).is_err());
    }
}
