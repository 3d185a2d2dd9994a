//! HTTP messages as people write them in a file: a start line, fields, an empty line, the body.
//!
//! Lines end with LF or CRLF; the body is every byte after the empty line, as it is. `Host` becomes
//! `:authority`. It refuses what no HTTP message could be, with the line's number.

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use crate::filters::{Coding, Decoder, Encoder, Levels};

/// What a request without `Host` is for.
const SOME_HOST: HeaderValue = HeaderValue::from_static("app.example");

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestText {
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) authority: HeaderValue,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseText {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Default for RequestText {
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: PathAndQuery::from_static("/"),
            authority: SOME_HOST,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            trailers: HeaderMap::new(),
        }
    }
}

impl Default for ResponseText {
    fn default() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new(), trailers: HeaderMap::new() }
    }
}

impl RequestText {
    /// Reads `METHOD /path HTTP/1.1` and what follows.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let (start, mut headers, body) = split(text)?;
        let mut words = start.split(' ').filter(|word| !word.is_empty());
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(format!("line 1: {start:?} is no request line; write for example GET /path HTTP/1.1"));
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("line 1: {method:?} is no method"))?;
        let uri: http::Uri = target.parse().map_err(|_| format!("line 1: {target:?} is no target"))?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let named = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let authority = named.or_else(|| headers.get(header::HOST).cloned()).unwrap_or(SOME_HOST);
        headers.remove(header::HOST);
        Ok(Self { method, path, authority, headers, body, trailers: HeaderMap::new() })
    }

    /// Its head, a line each.
    pub(super) fn head(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.method, self.path), format!("host: {}", text_of(&self.authority))];
        lines.extend(lines_of(&self.headers));
        lines
    }
}

impl ResponseText {
    /// Reads `HTTP/1.1 200 OK` and what follows.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let (start, headers, body) = split(text)?;
        let status = start.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1));
        let status = status.and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok());
        let status =
            status.ok_or_else(|| format!("line 1: {start:?} is no status line; write for example HTTP/1.1 200 OK"))?;
        Ok(Self { status, headers, body, trailers: HeaderMap::new() })
    }

    /// Its head, a line each.
    pub(super) fn head(&self) -> Vec<String> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut lines = vec![format!("{} {reason}", self.status.as_str()).trim_end().to_owned()];
        lines.extend(lines_of(&self.headers));
        lines
    }
}

/// The start line, the fields and the body.
fn split(text: &[u8]) -> Result<(String, HeaderMap, Bytes), String> {
    let (mut rest, mut number) = (text, 0);
    let mut next = || -> Option<&[u8]> {
        number += 1;
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[], |end| &rest[end + 1..]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    };
    let start = next().ok_or("it is empty")?;
    let start = std::str::from_utf8(start).map_err(|_| "line 1 is not UTF-8")?.to_owned();
    let mut headers = HeaderMap::new();
    let mut at = 1;
    while let Some(line) = next() {
        at += 1;
        let wrong = || format!("line {at}: {:?} is no field; write name: value", String::from_utf8_lossy(line));
        let colon = line.iter().position(|&byte| byte == b':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok((start, headers, Bytes::copy_from_slice(rest)))
}

/// Fields, a line each, by name: only the order within one name means something (RFC 9110, 5.3).
pub(super) fn lines_of(headers: &HeaderMap) -> Vec<String> {
    let mut fields: Vec<_> = headers.iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    fields.into_iter().map(|(name, value)| format!("{name}: {}", text_of(value))).collect()
}

/// A value as text; what is not UTF-8 or not printable is escaped.
pub(super) fn text_of(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().escape_ascii().to_string(),
    }
}

/// `body` in the codings that `headers` name.
pub(super) fn encoded(headers: &HeaderMap, body: &[u8]) -> Result<Bytes, String> {
    let codings = Coding::list(headers).map_err(|error| error.to_string())?;
    if codings.is_empty() {
        return Ok(Bytes::copy_from_slice(body));
    }
    let mut encoder = Encoder::new(&codings, Levels::default()).map_err(|error| error.to_string())?;
    let mut out = BytesMut::new();
    encoder.write(body, &mut out).and_then(|()| encoder.finish(&mut out)).map_err(|error| error.to_string())?;
    Ok(out.freeze())
}

/// `body` without the codings that `headers` name; as it is, when they are not known or wrong.
pub(super) fn decoded(headers: &HeaderMap, body: &Bytes) -> Bytes {
    let codings = Coding::list(headers).unwrap_or_default();
    if codings.is_empty() || body.is_empty() {
        return body.clone();
    }
    let (mut decoder, mut input, mut out) = (Decoder::new(&codings), body.clone(), BytesMut::new());
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(piece)) => out.extend_from_slice(&piece),
            Ok(None) if decoder.finish().is_ok() => return out.freeze(),
            Ok(None) | Err(_) => return body.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_either_end_of_line() {
        for text in [
            "POST /a?b HTTP/1.1\r\nHost: x.test\r\nA: 1\r\na:2 \r\n\r\nbody\r\n",
            "POST /a?b\nHost: x.test\nA: 1\na:2\n\nbody\r\n",
        ] {
            let request = RequestText::parse(text.as_bytes()).unwrap();
            assert_eq!(request.head(), ["POST /a?b", "host: x.test", "a: 1", "a: 2"]);
            assert_eq!(request.body, "body\r\n");
        }
        let absolute = RequestText::parse(b"GET http://y.test/p HTTP/1.1\n").unwrap();
        assert_eq!((absolute.path.as_str(), text_of(&absolute.authority)), ("/p", "y.test".to_owned()));
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_line() {
        for (text, said) in [
            ("", "it is empty"),
            ("GET\n", "line 1: \"GET\" is no request line; write for example GET /path HTTP/1.1"),
            ("GET / HTTP/1.1\nno field\n", "line 2: \"no field\" is no field; write name: value"),
        ] {
            assert_eq!(RequestText::parse(text.as_bytes()).unwrap_err(), said);
        }
        assert!(ResponseText::parse(b"200 OK").is_err());
        assert_eq!(ResponseText::parse(b"HTTP/1.1 304 Not Modified\n\n").unwrap().head(), ["304 Not Modified"]);
    }

    #[test]
    fn bodies_are_coded_and_decoded_as_their_fields_say() {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static("br, gzip"))]);
        let coded = encoded(&headers, b"hello").unwrap();
        assert!(coded.starts_with(b"\x1f\x8b"));
        assert_eq!(decoded(&headers, &coded), "hello");
        assert_eq!(decoded(&headers, &Bytes::from_static(b"plain")), "plain", "not what it says: left alone");
    }
}
