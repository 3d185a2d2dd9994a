//! A request head (RFC 9112, 3 and 6): the request line, `Host`, and the framing of the body.
//!
//! Accepts one reading or none. What hyper would resolve silently (two lengths, a length beside a
//! transfer coding, unknown codings, a wrong or second `Host`) is refused here by name.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method};

use super::lines::{HeadLimits, LineScanner, parse_fields};
use super::{Framing, Reject};
use crate::error::Kind;
use crate::http::fields::{is_framing_look_alike, list_contains};
use crate::http::{Authority, Scheme, Version};

/// A request head whose parts agree with each other.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// What is asked for.
    pub target: Target,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The host: of the absolute target if there is one, else of `Host`. `None` only for
    /// HTTP/1.0 without `Host`.
    pub authority: Option<Authority>,
    /// The fields, `Host` and the framing ones taken out.
    pub headers: HeaderMap,
    /// How the body is delimited.
    pub framing: Framing,
    /// The client wants to keep the connection (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// The value of `Sec-WebSocket-Key` when the client asks for a WebSocket.
    pub websocket_key: Option<HeaderValue>,
}

/// The forms of a request target (RFC 9112, 3.2) that are served.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`.
    Origin(Bytes),
    /// `http://host/path?query`, taken apart; the path is `/` when it was empty.
    Absolute(Scheme, Bytes),
    /// `*`, of OPTIONS.
    Asterisk,
}

/// Parses a head out of `input` when it is complete.
///
/// # Errors
/// The rule that was broken. The connection must then be closed.
pub fn parse(
    scanner: &mut LineScanner,
    input: &mut BytesMut,
    limits: &HeadLimits,
) -> Result<Option<RequestHead>, Reject> {
    if !scanner.scan(input, limits)? {
        return Ok(None);
    }
    scanner.take(input, |head, lines| {
        let Some((&(start, end), fields)) = lines.split_first() else {
            return Err(Reject::grammar("the head is empty (RFC 9112, 2.1)"));
        };
        let line = head.slice(start as usize..end as usize);
        let (method, target, version) = parse_request_line(&line)?;
        let headers = parse_fields(head, fields)?;
        assemble(method, target, version, headers).map(Some)
    })
}

fn parse_request_line(line: &Bytes) -> Result<(Method, Bytes, Version), Reject> {
    const SHAPE: Reject = Reject::grammar("the request line is not `method SP target SP version` (RFC 9112, 3)");
    let first = memchr::memchr(b' ', line).ok_or(SHAPE)?;
    let last = memchr::memrchr(b' ', line).ok_or(SHAPE)?;
    if last <= first + 1 {
        return Err(SHAPE);
    }
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Reject::of(Kind::VersionNotSupported, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        _ => return Err(SHAPE),
    };
    let method = parse_method(&line[..first])?;
    let target = line.slice(first + 1..last);
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(Reject::grammar("the target holds a space, a control character or raw non-ASCII (RFC 9112, 3.2)"));
    }
    Ok((method, target, version))
}

fn parse_method(method: &[u8]) -> Result<Method, Reject> {
    // Registered methods are upper-case tokens of at most 17 characters; a lower-case `get` is
    // another method, and nobody's.
    let legal = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if method.is_empty() || method.len() > 32 || !method.iter().all(legal) {
        return Err(Reject::of(Kind::NotImplemented, "the method is not one of the registered kind (RFC 9110, 9.1)"));
    }
    match Method::from_bytes(method) {
        Ok(Method::CONNECT | Method::TRACE) => {
            Err(Reject::of(Kind::MethodNotAllowed, "CONNECT and TRACE are never forwarded (RFC 9110, 9.3)"))
        }
        Ok(method) => Ok(method),
        Err(_) => Err(Reject::grammar("the method is not a token (RFC 9110, 9.1)")),
    }
}

fn assemble(method: Method, target: Bytes, version: Version, mut headers: HeaderMap) -> Result<RequestHead, Reject> {
    let present = Present::of(&headers);
    let framing = if present.framing { request_framing(&headers, version)? } else { Framing::None };
    let host = one_host(&headers, version)?;
    let (target, authority) = parse_target(&method, target, host)?;
    let sized = present.framing && headers.contains_key(header::CONTENT_LENGTH);
    let keep_alive = match version {
        // Old clients send bodies without saying how long: what follows such a POST is no request
        // (RFC 9112, 6.3; CVE-2026-2835).
        Version::Http10 if !matches!(method, Method::GET | Method::HEAD) && !sized => false,
        Version::Http10 => present.connection && list_contains(&headers, &header::CONNECTION, b"keep-alive"),
        _ => !present.connection || !list_contains(&headers, &header::CONNECTION, b"close"),
    };
    let (mut expects_continue, mut key) = (false, None);
    if present.upgrading {
        expects_continue = expectation(&headers, version, framing)?;
        key = websocket_key(&method, version, framing, &headers)?;
        headers.remove(header::EXPECT);
        headers.remove(header::SEC_WEBSOCKET_KEY);
    }
    headers.remove(header::HOST);
    if framing == Framing::Chunked {
        headers.remove(header::TRANSFER_ENCODING);
    }
    Ok(RequestHead {
        method,
        target,
        version,
        authority,
        headers,
        framing,
        keep_alive,
        expects_continue,
        websocket_key: key,
    })
}

/// What a head must be asked about at all: one look at each name instead of a look-up for each
/// question. Most heads have none of it.
#[derive(Default)]
struct Present {
    /// A length, a transfer coding, or a look-alike of either.
    framing: bool,
    connection: bool,
    /// `Expect`, `Upgrade` or `Sec-WebSocket-Key`.
    upgrading: bool,
}

impl Present {
    fn of(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "content-length" | "transfer-encoding" => present.framing = true,
                "connection" => present.connection = true,
                "expect" | "upgrade" | "sec-websocket-key" => present.upgrading = true,
                _ => present.framing |= is_framing_look_alike(name),
            }
        }
        present
    }
}

/// RFC 9112, 6.1–6.3 for requests: one length, or chunked alone, or no body.
fn request_framing(headers: &HeaderMap, version: Version) -> Result<Framing, Reject> {
    if headers.keys().any(is_framing_look_alike) {
        return Err(Reject::grammar("a framing field is spelt with an underscore (RFC 9110, 17.10)"));
    }
    let chunked = is_chunked(headers)?;
    let length = content_length(headers)?;
    match (chunked, length) {
        (true, _) if version == Version::Http10 => {
            Err(Reject::grammar("an HTTP/1.0 request has a Transfer-Encoding (RFC 9112, 6.1)"))
        }
        (true, Some(_)) => Err(Reject::grammar("Content-Length and Transfer-Encoding together (RFC 9112, 6.3)")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(0) | None) => Ok(Framing::None),
        (false, Some(length)) => Ok(Framing::Length(length)),
    }
}

/// Whether the body is chunked; any other transfer coding is refused (RFC 9112, 6.1 and 7).
pub(super) fn is_chunked(headers: &HeaderMap) -> Result<bool, Reject> {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(false) };
    if values.next().is_some() {
        return Err(Reject::grammar("Transfer-Encoding twice (RFC 9112, 6.1)"));
    }
    if value.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    Err(Reject::of(Kind::NotImplemented, "a transfer coding other than `chunked` alone (RFC 9112, 6.1)"))
}

/// The one `Content-Length`, if there is any (RFC 9112, 6.3; RFC 9110, 8.6).
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Reject> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Reject::grammar("Content-Length twice (RFC 9112, 6.3)"));
    }
    let digits = value.as_bytes();
    let canonical = digits == b"0" || matches!(digits, [b'1'..=b'9', ..]);
    if !canonical || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reject::grammar("Content-Length is not one decimal number (RFC 9110, 8.6)"));
    }
    Ok(Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))))
}

/// RFC 9112, 3.2: exactly one valid `Host`; HTTP/1.0 may lack it.
fn one_host(headers: &HeaderMap, version: Version) -> Result<Option<Authority>, Reject> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        return match version {
            Version::Http10 => Ok(None),
            _ => Err(Reject::grammar("Host is missing (RFC 9112, 3.2)")),
        };
    };
    if values.next().is_some() {
        return Err(Reject::grammar("Host twice (RFC 9112, 3.2)"));
    }
    Authority::parse(&Bytes::copy_from_slice(value.as_bytes())).map(Some).map_err(Reject::grammar)
}

fn parse_target(
    method: &Method,
    target: Bytes,
    host: Option<Authority>,
) -> Result<(Target, Option<Authority>), Reject> {
    if target.starts_with(b"/") {
        return Ok((Target::Origin(target), host));
    }
    if &target[..] == b"*" {
        return match *method {
            Method::OPTIONS => Ok((Target::Asterisk, host)),
            _ => Err(Reject::grammar("the target `*` is for OPTIONS only (RFC 9112, 3.2.4)")),
        };
    }
    let (scheme, rest) = match &target[..] {
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b':', b'/', b'/', ..] => (Scheme::Http, target.slice(7..)),
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b's' | b'S', b':', b'/', b'/', ..] => {
            (Scheme::Https, target.slice(8..))
        }
        _ => return Err(Reject::grammar("the target is neither a path nor an http(s) URL (RFC 9112, 3.2)")),
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = Authority::parse(&rest.slice(..end)).map_err(Reject::grammar)?;
    // RFC 9112, 3.2.2 lets a proxy replace Host; a sender whose two places disagree is either
    // broken or hopes that somebody reads the other one.
    if let Some(host) = host
        && (host.host() != authority.host() || host.effective_port(scheme) != authority.effective_port(scheme))
    {
        return Err(Reject::grammar("the absolute target and Host disagree (RFC 9112, 3.2.2)"));
    }
    let path = match rest.get(end) {
        None => Bytes::from_static(b"/"),
        Some(b'?') => [&b"/"[..], &rest[end..]].concat().into(),
        Some(_) => rest.slice(end..),
    };
    Ok((Target::Absolute(scheme, path), Some(authority)))
}

/// RFC 9110, 10.1.1: only `100-continue` exists; it means nothing in HTTP/1.0 or without a body.
fn expectation(headers: &HeaderMap, version: Version, framing: Framing) -> Result<bool, Reject> {
    let mut values = headers.get_all(header::EXPECT).iter();
    let Some(value) = values.next() else { return Ok(false) };
    if values.next().is_some() || !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
        return Err(Reject::of(Kind::ExpectationFailed, "Expect is not `100-continue` (RFC 9110, 10.1.1)"));
    }
    Ok(version == Version::Http11 && framing != Framing::None)
}

/// RFC 6455, 4.1 and 4.2: what makes a request a WebSocket handshake. Any other `Upgrade` is
/// ignored and never forwarded.
fn websocket_key(
    method: &Method,
    version: Version,
    framing: Framing,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, Reject> {
    if version != Version::Http11 || !headers.contains_key(header::UPGRADE) {
        return Ok(None);
    }
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let only_websocket = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none();
    if !only_websocket || !list_contains(headers, &header::CONNECTION, b"upgrade") {
        return Ok(None);
    }
    if *method != Method::GET {
        return Err(Reject::grammar("a WebSocket handshake is not a GET (RFC 6455, 4.1)"));
    }
    if framing != Framing::None {
        return Err(Reject::grammar("a WebSocket handshake has a body (RFC 6455, 4.1)"));
    }
    // A second version is another answer to the same question, and the backend might read that one.
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
        return Err(Reject::of(Kind::UpgradeRequired, "Sec-WebSocket-Version is not 13 (RFC 6455, 4.4)"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if crate::http::websocket::is_key(key.as_bytes()) => Ok(Some(key.clone())),
        _ => Err(Reject::grammar("Sec-WebSocket-Key is not one key of 16 octets (RFC 6455, 4.1)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { first_line_bytes_max: 9_000, head_bytes_max: 65_536, header_count_max: 128 };

    fn read(text: &str) -> Result<RequestHead, Reject> {
        let mut input = BytesMut::from(text.as_bytes());
        parse(&mut LineScanner::default(), &mut input, &LIMITS).map(|head| head.expect("a complete head"))
    }

    fn refused(text: &str) -> Kind {
        match read(text) {
            Ok(head) => panic!("accepted {text:?} as {head:?}"),
            Err(reject) => reject.kind,
        }
    }

    #[test]
    fn rfc9112_6_3_ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 2",
            "Content-Length: +2",
            "Content-Length: -0",
            "Content-Length: 0x2",
            "Content-Length: 1 0",
            "Content-Length: 02",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "Content_Length: 2",
            "Transfer_Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\r\n chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(
                refused(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")),
                Kind::BadRequest,
                "{fields}"
            );
        }
        for coding in [
            "xchunked",
            "identity",
            "chunked, identity",
            "chunked, chunked",
            ",chunked",
            "chunked,",
            "chunked;q=1",
            "gzip, chunked",
            "",
            "\u{b}chunked",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n");
            assert!(matches!(refused(&text), Kind::NotImplemented | Kind::BadRequest), "{coding:?}");
        }
        assert_eq!(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Kind::BadRequest);
    }

    #[test]
    fn rfc9112_6_3_plain_framing_is_read() {
        let framing =
            |fields: &str| read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).map(|head| head.framing);
        assert_eq!(framing("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(Framing::None));
        assert_eq!(framing("transfer-encoding:\tChunked \r\n"), Ok(Framing::Chunked));
        assert_eq!(framing(""), Ok(Framing::None));
    }

    #[test]
    fn rfc9112_3_bad_request_lines_are_refused() {
        for (line, kind) in [
            ("get / HTTP/1.1", Kind::NotImplemented),
            ("G=\":<> / HTTP/1.1", Kind::NotImplemented),
            ("GET  / HTTP/1.1", Kind::BadRequest),
            ("GET\t/ HTTP/1.1", Kind::BadRequest),
            ("GET /", Kind::BadRequest),
            ("GET / HTTP/1", Kind::BadRequest),
            ("GET / HTTP/01.1", Kind::BadRequest),
            ("GET / http/1.1", Kind::BadRequest),
            ("GET / HTTP/ 1.1", Kind::BadRequest),
            ("GET / HTTP/2.0", Kind::VersionNotSupported),
            ("GET / HTTP/4294967295.255", Kind::BadRequest),
            ("PRI * HTTP/2.0", Kind::VersionNotSupported),
            ("GET * HTTP/1.1", Kind::BadRequest),
            ("GET ftp://a/ HTTP/1.1", Kind::BadRequest),
            ("GET a HTTP/1.1", Kind::BadRequest),
            ("CONNECT a:443 HTTP/1.1", Kind::MethodNotAllowed),
            ("TRACE / HTTP/1.1", Kind::MethodNotAllowed),
            ("GET http://b/ HTTP/1.1", Kind::BadRequest),
            ("GET http://u@a/ HTTP/1.1", Kind::BadRequest),
        ] {
            assert_eq!(refused(&format!("{line}\r\nHost: a\r\n\r\n")), kind, "{line}");
        }
    }

    #[test]
    fn rfc9112_3_2_2_an_absolute_target_names_the_host() {
        let head = read("GET HTTP://A.test:80?x=1 HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("valid");
        assert_eq!(head.target, Target::Absolute(Scheme::Http, Bytes::from_static(b"/?x=1")));
        assert_eq!(head.authority.map(|authority| authority.to_string()).as_deref(), Some("a.test:80"));
    }

    #[test]
    fn rfc9112_5_bad_fields_are_refused() {
        for field in
            ["Name : x", ": x", "no colon", " Folded: x", "N\u{e4}me: x", "A: \0", "A: b\rc", "A: \u{7f}", "A(: b"]
        {
            assert_eq!(
                refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n")),
                Kind::BadRequest,
                "{field:?}"
            );
        }
        for host in ["", "Host: a\r\nHost: a", "Host: a,b", "Host: u@a", "Host: a/b", "Host:"] {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{host}\r\n\r\n")), Kind::BadRequest, "{host:?}");
        }
    }

    #[test]
    fn rfc6455_4_2_1_a_handshake_is_complete_or_refused() {
        const GOOD: &str = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert!(read(&format!("GET / HTTP/1.1\r\n{GOOD}\r\n")).is_ok_and(|head| head.websocket_key.is_some()));
        for (from, to, kind) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", Kind::BadRequest),
            ("Version: 13", "Version: 8", Kind::UpgradeRequired),
            ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8", Kind::UpgradeRequired),
            ("Host: a", "Host: a\r\nContent-Length: 1", Kind::BadRequest),
        ] {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", GOOD.replace(from, to))), kind, "{to}");
        }
        assert_eq!(refused(&format!("POST / HTTP/1.1\r\n{GOOD}\r\n")), Kind::BadRequest);
        for other in ["h2c", "foo", "websocket, h2c", "TLS/1.0"] {
            let head = read(&format!("GET / HTTP/1.1\r\n{}\r\n", GOOD.replace("WebSocket\r", &format!("{other}\r"))));
            assert!(head.is_ok_and(|head| head.websocket_key.is_none()), "{other}");
        }
    }

    #[test]
    fn rfc9110_10_1_1_expectations() {
        let expects = |text: &str| read(text).map(|head| head.expects_continue).map_err(|reject| reject.kind);
        assert_eq!(expects("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n"), Ok(true));
        assert_eq!(expects("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"), Ok(false));
        assert_eq!(
            expects("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: y 100-continue\r\n\r\n"),
            Err(Kind::ExpectationFailed)
        );
    }
}
