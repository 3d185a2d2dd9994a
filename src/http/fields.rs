//! Rules about fields: which end at a connection, which lists hold a token, which may be trailers.
//!
//! Works on parsed maps only; it refuses to know which fields this proxy adds.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// `keep-alive`, hop-by-hop by tradition.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// `proxy-connection`, hop-by-hop by tradition (RFC 9110, 7.6.1).
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// `http2-settings` (RFC 7540, 3.2.1; obsolete, never forwarded).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that end at a connection whether `Connection` names them or not (RFC 9110, 7.6.1).
/// `te` is handled apart, since `trailers` may pass.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HTTP2_SETTINGS,
];

/// Removes the fields that end at a connection, and whatever `Connection` names (RFC 9110,
/// 7.6.1). `TE: trailers` survives, other codings of `TE` do not.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        for name in nominated {
            // What frames the message is this hop's own business already.
            if name != header::CONTENT_LENGTH && name != header::TE {
                headers.remove(name);
            }
        }
    }
    // Most heads have none of them: looking at few names once is cheaper than eight look-ups.
    if headers.len() > HOP_BY_HOP.len() || headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TE) {
        let trailers = list_contains(headers, &header::TE, b"trailers");
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
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
/// with `_` read as `-`, as some backends do (CVE-2025-64484 of oauth2-proxy).
#[must_use]
pub fn is_forwarding(name: &HeaderName) -> bool {
    let text = name.as_str();
    let mut folded = [0u8; 32];
    let Some(folded) = folded.get_mut(..text.len()) else { return text.starts_with("lockgate-") };
    for (to, &from) in folded.iter_mut().zip(text.as_bytes()) {
        *to = if from == b'_' { b'-' } else { from };
    }
    folded.starts_with(b"x-forwarded-")
        || folded.starts_with(b"lockgate-")
        || folded.starts_with(b"x-ssl-")
        || folded.starts_with(b"client-cert")
        || matches!(
            &*folded,
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
        for name in ["x-forwarded-for", "x_forwarded_for", "x-forwarded_host", "forwarded", "x-real-ip", "client-cert"]
        {
            assert!(is_forwarding(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!is_forwarding(&HeaderName::from_static("x-forwardedfor")));
        assert!(!is_forwarding(&HeaderName::from_static("accept")));
    }
}
