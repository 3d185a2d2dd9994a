//! One side of a published app: the URL it has outside or inside, parsed from the configuration.
//!
//! It refuses what an operator cannot have meant: user information, a query, a path that does not
//! end in `/`, a wildcard that is not the whole first label, and hosts not written in ASCII.

use crate::url::{self, Form, Port, slash};

/// `scheme://host[:port]/path/`; the host may be `*.suffix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `https`.
    pub secure: bool,
    /// Lower-case; of a wildcard what follows `*.`.
    pub host: Vec<u8>,
    /// Whether one free label stands before the host.
    pub wildcard: bool,
    /// The written or the scheme's own.
    pub port: u16,
    /// Begins and ends with `/`.
    pub path: Vec<u8>,
    /// `host[:port]` as it is written into URLs, with a leading dot if a label goes before it.
    pub authority: Vec<u8>,
}

impl Place {
    /// Reads the URL of an app; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Form::Origin(split) = url::read(text.as_bytes()) else {
            return Err("must look like http://host/ or https://host:port/path/, without user and password");
        };
        let secure = match split.scheme {
            Some(scheme) if !scheme.socket => scheme.secure,
            _ => return Err("must begin with http:// or https://"),
        };
        let port = match split.port {
            Port::Number(0) => return Err("port 0 cannot be reached"),
            Port::Number(port) => port,
            Port::Default | Port::Any => default_port(secure),
        };
        let path = path(split.rest)?;
        let host = split.host.to_ascii_lowercase();
        let (wildcard, host) = match host.strip_prefix(b"*.") {
            Some(suffix) => (true, suffix.to_vec()),
            None => (false, host),
        };
        if !host_is_plain(&host) {
            return Err(
                "its host must be ASCII letters, digits, `-`, `_` and dots (an international name in its xn-- \
                        form), with at most one `*.` before it",
            );
        }
        let mut authority = if wildcard { b".".to_vec() } else { Vec::new() };
        authority.extend_from_slice(&host);
        if port != default_port(secure) {
            authority.extend_from_slice(format!(":{port}").as_bytes());
        }
        Ok(Place { secure, host, wildcard, port, path, authority })
    }

    /// Whether a URL of this scheme and port is on this side. A URL without a scheme is if its port fits.
    pub(crate) fn serves(&self, split: &url::Split) -> bool {
        let secure = split.scheme.is_none_or(|scheme| scheme.secure == self.secure);
        let port = match split.port {
            Port::Default => self.port == default_port(self.secure),
            Port::Number(port) => self.port == port,
            Port::Any => true,
        };
        secure && port
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Place) -> bool {
        self.secure == other.secure && self.port == other.port && self.authority == other.authority
    }

    /// The authority of this side, for this free label.
    pub fn write_authority(&self, label: &[u8], out: &mut Vec<u8>) {
        if self.wildcard {
            out.extend_from_slice(label);
        }
        out.extend_from_slice(&self.authority);
    }
}

fn path(rest: &[u8]) -> Result<Vec<u8>, &'static str> {
    let whole = rest.first() == Some(&b'/') && rest.last() == Some(&b'/');
    if !whole {
        return Err("its path must begin and end with `/`");
    }
    if rest.iter().any(|byte| matches!(byte, b'?' | b'#' | b'\\') || !byte.is_ascii_graphic()) {
        return Err("its path must be plain: no query, fragment, backslash or space");
    }
    Ok(rest.to_vec())
}

fn host_is_plain(host: &[u8]) -> bool {
    let label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match host {
        [b'[', address @ .., b']'] => {
            address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        _ => !host.is_empty() && !host.starts_with(b".") && host.iter().all(label),
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Where a path stands to a prefix that ends in `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Below<'a> {
    /// What follows the prefix.
    pub(crate) tail: &'a [u8],
    /// The path was the prefix without its last slash.
    pub(crate) bare: bool,
}

/// Splits a prefix off a path on a segment border.
pub(crate) fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<Below<'a>> {
    if let Some((head, tail)) = path.split_at_checked(prefix.len())
        && same_path(head, prefix)
    {
        return Some(Below { tail, bare: false });
    }
    let bare = prefix.strip_suffix(b"/")?;
    let (head, tail) = path.split_at_checked(bare.len())?;
    let ends = matches!(tail.first(), None | Some(b'?' | b'#'));
    if ends && same_path(head, bare) { Some(Below { tail, bare: true }) } else { None }
}

fn same_path(written: &[u8], prefix: &[u8]) -> bool {
    written == prefix || written.iter().zip(prefix).all(|(&a, &b)| a == b || (slash(a) && slash(b)))
}

/// Writes a path below `from` as the same path below `to`.
pub(crate) fn write_path(below: Below, from: &Place, to: &Place, out: &mut Vec<u8>) {
    let root = |place: &Place| place.path == b"/";
    match (below.bare, root(from), root(to)) {
        (false, _, _) | (true, true, false) | (true, false, true) => out.extend_from_slice(&to.path),
        (true, true, true) => {}
        (true, false, false) => out.extend_from_slice(to.path.strip_suffix(b"/").unwrap_or(&to.path)),
    }
    out.extend_from_slice(below.tail);
}
