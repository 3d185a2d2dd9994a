//! The handshake: is it one, is it correct (RFC 6455, 4.2.1; RFC 8441, 5), is it allowed.
//!
//! It refuses to judge requests that are no handshakes: they pass untouched.

use std::borrow::Cow;

use abi::Edit;
use origins::url::host_and_port;

use crate::config::{Allowed, Compression, Origin, Policy};

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No handshake.
    Pass,
    /// A handshake that may go on.
    Accept {
        /// What changes in it.
        edits: Vec<Edit<'a>>,
        /// It is an extended CONNECT, which is granted with 200 instead of 101.
        extended: bool,
    },
    /// A handshake that is answered here.
    Refuse(Refusal),
}

/// The local response to a refused handshake; the body is plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 403 or 426.
    pub status: u16,
    /// Beside `content-type`.
    pub headers: &'static [(&'static str, &'static str)],
    /// One sentence for the person who reads it.
    pub body: String,
}

fn refuse<'a>(status: u16, body: impl Into<String>) -> Verdict<'a> {
    Verdict::Refuse(Refusal { status, headers: &[], body: body.into() })
}

/// The fields of a request that matter here.
#[derive(Default)]
struct Head<'a> {
    method: &'a [u8],
    authority: &'a [u8],
    scheme: &'a [u8],
    extended: bool,
    upgrade: bool,
    origins: Vec<&'a [u8]>,
    versions: Vec<&'a [u8]>,
    keys: Vec<&'a [u8]>,
    subprotocols: Vec<&'a [u8]>,
    extensions: bool,
}

impl<'a> Head<'a> {
    fn read(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut head = Head::default();
        for (name, value) in fields {
            match name {
                b":method" => head.method = value,
                b":authority" => head.authority = value,
                b":scheme" => head.scheme = value,
                b":protocol" => head.extended = value.eq_ignore_ascii_case(b"websocket"),
                b"upgrade" => head.upgrade |= listed(value).any(|name| name.eq_ignore_ascii_case(b"websocket")),
                b"origin" => head.origins.push(value),
                b"sec-websocket-version" => head.versions.push(value.trim_ascii()),
                b"sec-websocket-key" => head.keys.push(value.trim_ascii()),
                b"sec-websocket-protocol" => head.subprotocols.extend(listed(value)),
                b"sec-websocket-extensions" => head.extensions = true,
                _ => {}
            }
        }
        head
    }
}

fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Judges a request by its fields, pseudo-headers among them. Names are lower-case.
pub fn judge<'a>(policy: &Policy, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Verdict<'a> {
    let head = Head::read(fields);
    let extended = head.extended && head.method == b"CONNECT";
    if !extended && !head.upgrade {
        return Verdict::Pass;
    }
    if head.versions != [b"13"] {
        return Verdict::Refuse(Refusal {
            status: 426,
            headers: &[("sec-websocket-version", "13")],
            body: "This server speaks version 13 of the WebSocket protocol (RFC 6455) only.\n".into(),
        });
    }
    if !extended {
        if head.method != b"GET" {
            return refuse(400, "A WebSocket handshake must be a GET request.\n");
        }
        if !matches!(head.keys.as_slice(), [key] if is_key(key)) {
            return refuse(400, "A WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes in base64.\n");
        }
    }
    if let Some(body) = foreign(policy, &head) {
        return refuse(403, body);
    }
    let mut edits = Vec::new();
    if let Some(allowed) = &policy.subprotocols {
        let wanted = head.subprotocols.iter().copied();
        let both: Vec<_> = wanted.filter(|name| allowed.iter().any(|allowed| allowed.as_bytes() == *name)).collect();
        if both.is_empty() {
            let allowed = allowed.join(", ");
            return refuse(400, format!("This WebSocket must ask for one of these subprotocols: {allowed}.\n"));
        }
        if both != head.subprotocols {
            edits.push(Edit::Set(Cow::Borrowed(b"sec-websocket-protocol"), both.join(&b", "[..])));
        }
    }
    let strip = policy.inspect.as_ref().is_some_and(|inspect| inspect.compression == Compression::Strip);
    if strip && head.extensions {
        edits.push(Edit::Remove(Cow::Borrowed(b"sec-websocket-extensions")));
    }
    Verdict::Accept { edits, extended }
}

/// 16 bytes in base64: 22 characters and two `=`.
fn is_key(key: &[u8]) -> bool {
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.strip_suffix(b"==").is_some_and(|digits| digits.iter().all(base64))
}

/// Why the origin is refused, if it is.
fn foreign(policy: &Policy, head: &Head) -> Option<String> {
    let allowed = policy.origins.as_ref()?;
    let origin = match head.origins.as_slice() {
        [] if policy.allow_missing_origin => return None,
        [] => return Some("This WebSocket may only be opened by a page, which names its Origin.\n".into()),
        [origin] => origin.trim_ascii(),
        _ => return Some("A request has one Origin, this one names several.\n".into()),
    };
    let fits = Origin::read(origin).is_some_and(|origin| allowed.iter().any(|allowed| fits(allowed, &origin, head)));
    (!fits).then(|| format!("Pages of {} may not open this WebSocket.\n", printable(origin)))
}

fn fits(allowed: &Allowed, origin: &Origin, head: &Head) -> bool {
    match allowed {
        Allowed::Exactly(exactly) => exactly == origin,
        Allowed::Below(parent) => {
            let below = origin
                .host
                .strip_suffix(parent.host.as_slice())
                .is_some_and(|label| label.len() > 1 && label.ends_with(b"."));
            below && parent.secure == origin.secure && parent.port == origin.port
        }
        Allowed::Same => {
            let secure = head.scheme.eq_ignore_ascii_case(b"https");
            host_and_port(head.authority).is_some_and(|(host, port)| Origin::new(secure, host, port) == *origin)
        }
    }
}

/// What the client sent may be said back to it, as harmless text of a harmless length.
fn printable(origin: &[u8]) -> String {
    let shown = origin.iter().take(200).map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '?' });
    shown.collect()
}
