//! Rules about fields: which end at a connection, which lists hold a token, which may be trailers.
//!
//! Works on parsed maps only; it refuses to know which fields this proxy adds.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Removes the fields that end at a connection, and whatever `Connection` names (RFC 9110,
/// 7.6.1). `TE: trailers` survives, other codings of `TE` do not.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        // What most of them say; it goes below in any case.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in nominated {
        // What frames the message is this hop's own business already.
        if name != header::CONTENT_LENGTH && name != header::TE {
            headers.remove(name);
        }
    }
    // Most heads have one of them or none: each name is looked at, instead of eight looked up.
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
    if headers.contains_key(header::TE) {
        let trailers = list_contains(headers, &header::TE, b"trailers");
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Fields that end at a connection whether `Connection` names them or not (RFC 9110, 7.6.1; some
/// by tradition, `http2-settings` of RFC 7540). `te` is handled apart, since `trailers` may pass.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

/// Removes the link's own fields (`lockgate-…`), whoever sent them.
pub fn strip_own(headers: &mut HeaderMap) {
    let is_own = |name: &&HeaderName| name.as_str().starts_with("lockgate-");
    while let Some(name) = headers.keys().find(is_own).cloned() {
        headers.remove(name);
    }
}

/// Whether a comma-separated field holds `token` (case-insensitive, RFC 9110, 5.6.1).
#[must_use]
pub fn list_contains(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Removes what must not be a trailer: framing, routing, authentication, response control, and
/// anything this proxy vouches for (RFC 9110, 6.5.1).
pub fn strip_forbidden_trailers(trailers: &mut HeaderMap) {
    const FORBIDDEN: [HeaderName; 20] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::TE,
        header::CONNECTION,
        header::UPGRADE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::RANGE,
        header::LOCATION,
        header::VARY,
    ];
    for name in &FORBIDDEN {
        trailers.remove(name);
    }
    let forwarding: Vec<HeaderName> = trailers.keys().filter(|name| is_forwarding(name)).cloned().collect();
    for name in forwarding {
        trailers.remove(name);
    }
}

/// Fields by which a proxy vouches for the client; a client may not send them itself. Compared
/// with `_` and `.` read as `-`, as some backends do (CVE-2025-64484 of oauth2-proxy; PHP reads
/// both as `_`).
#[must_use]
pub fn is_forwarding(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    // A longer name can be one by its prefix only.
    let mut folded = [0u8; 32];
    let length = text.len().min(folded.len());
    for (to, &from) in folded.iter_mut().zip(text) {
        *to = if matches!(from, b'_' | b'.') { b'-' } else { from };
    }
    let folded = &folded[..length];
    folded.starts_with(b"x-forwarded-")
        || folded.starts_with(b"lockgate-")
        || folded.starts_with(b"x-ssl-")
        || folded.starts_with(b"client-cert")
        // Of `x-client-` only what speaks of a certificate: `x-client-version` and the like are the
        // application's own.
        || folded.starts_with(b"x-client-cert")
        || folded.starts_with(b"x-client-verify")
        || folded.starts_with(b"x-client-dn")
        || matches!(
            folded,
            b"forwarded"
                | b"x-real-ip"
                | b"x-client-ip"
                | b"true-client-ip"
                | b"x-original-url"
                | b"x-rewrite-url"
                | b"x-original-host"
                | b"x-http-method-override"
                | b"x-http-method"
                | b"x-method-override"
                | b"x-request-id"
                | b"traceparent"
                | b"tracestate"
        )
}

/// Whether a name is a look-alike of a framing or routing field, spelt with underscores.
#[must_use]
pub fn is_framing_look_alike(name: &HeaderName) -> bool {
    matches!(name.as_str(), "content_length" | "transfer_encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn rfc9110_7_6_1_connection_names_what_ends_here() {
        let mut headers = map(&[
            ("connection", "close, X-Secret , te"),
            ("x-secret", "1"),
            ("keep-alive", "1"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("te", "gzip, trailers"),
            ("accept", "*/*"),
            ("proxy-authorization", "x"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers"), ("accept", "*/*")]));
    }

    #[test]
    fn rfc9110_6_5_1_trailers_cannot_carry_what_decides() {
        let mut trailers = map(&[("host", "x"), ("x_forwarded_for", "x"), ("grpc-status", "0"), ("cookie", "x")]);
        strip_forbidden_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }

    #[test]
    fn look_alikes_of_forwarding_fields_are_found() {
        for name in [
            "x-forwarded-for",
            "x_forwarded_for",
            "x.forwarded.for",
            "x-forwarded_host",
            "forwarded",
            "x-real-ip",
            "client-cert",
            "x-forwarded-the-subject-of-a-client-s-certificate",
            "lockgate_something_that_is_longer_than_all_of_them",
        ] {
            assert!(is_forwarding(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!is_forwarding(&HeaderName::from_static("x-forwardedfor")));
        assert!(!is_forwarding(&HeaderName::from_static("accept")));
    }
}
