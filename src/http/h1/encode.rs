//! Writes heads (RFC 9112, 2.1). Names and values come from checked maps, so CR, LF and NUL cannot
//! be emitted (RFC 9112, 11.1); the framing field is written here and nowhere else.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};

use super::Framing;
use crate::http::Version;
use crate::http::vouched::Vouched;

/// Writes a request head: `Host` first, then the fields, then framing.
pub fn request_head(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    host: &[u8],
    headers: &HeaderMap,
    vouched: Option<&Vouched>,
    framing: Framing,
) {
    out.reserve(512 + target.len() + headers.len() * 48);
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(host);
    out.put_slice(b"\r\n");
    put_fields(out, headers);
    if let Some(vouched) = vouched {
        vouched.write(out);
    }
    // A method that anticipates content says so even when there is none (RFC 9110, 8.6).
    let anticipates = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match framing {
        Framing::Length(length) => put_length(out, length),
        Framing::None if anticipates => put_length(out, 0),
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
    out.put_slice(b"\r\n");
}

/// Writes a response head. `length` is the Content-Length to announce, if any; for a response to
/// HEAD it may be there without a body.
pub fn response_head(
    out: &mut BytesMut,
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    keep_alive: bool,
) {
    out.reserve(128 + headers.len() * 48);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    put_fields(out, headers);
    match framing {
        Framing::Length(length) => put_length(out, length),
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
    match (version, keep_alive) {
        // RFC 9110, 15.5.22: it names the protocol that is required, which can only be the one there is.
        (Version::Http11, true) if status == StatusCode::UPGRADE_REQUIRED => {
            out.put_slice(b"upgrade: websocket\r\nconnection: upgrade\r\n");
        }
        (Version::Http11, false) if status == StatusCode::UPGRADE_REQUIRED => {
            out.put_slice(b"upgrade: websocket\r\nconnection: close, upgrade\r\n");
        }
        (Version::Http10, true) => out.put_slice(b"connection: keep-alive\r\n"),
        (_, false) if status != StatusCode::SWITCHING_PROTOCOLS => out.put_slice(b"connection: close\r\n"),
        _ => {}
    }
    out.put_slice(b"\r\n");
}

/// Writes an interim response.
pub fn interim_head(out: &mut BytesMut, status: StatusCode, headers: &HeaderMap) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    put_fields(out, headers);
    out.put_slice(b"\r\n");
}

/// The size line of a chunk.
#[must_use]
pub fn chunk_size(length: usize) -> Bytes {
    let mut line = [0u8; 20];
    let mut rest = &mut line[..];
    // invariant: 16 hex digits and CRLF fit in 20 bytes
    let _ = write!(rest, "{length:x}\r\n");
    let written = 20 - rest.len();
    Bytes::copy_from_slice(&line[..written])
}

/// The last chunk and the trailer section.
#[must_use]
pub fn last_chunk(trailers: Option<&HeaderMap>) -> Bytes {
    match trailers {
        None => Bytes::from_static(b"0\r\n\r\n"),
        Some(trailers) => {
            let mut out = BytesMut::with_capacity(64 + trailers.len() * 48);
            out.put_slice(b"0\r\n");
            put_fields(&mut out, trailers);
            out.put_slice(b"\r\n");
            out.freeze()
        }
    }
}

fn put_fields(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        // The framing is the caller's word, not the map's.
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            continue;
        }
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

fn put_length(out: &mut BytesMut, length: u64) {
    out.put_slice(b"content-length: ");
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = length;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_framing_is_written_once_and_by_the_encoder() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("999"));
        headers.insert("a", HeaderValue::from_static("b"));
        let mut out = BytesMut::new();
        request_head(&mut out, &Method::POST, "/x", b"h", &headers, None, Framing::None);
        assert_eq!(&out[..], b"POST /x HTTP/1.1\r\nhost: h\r\na: b\r\ncontent-length: 0\r\n\r\n");
        out.clear();
        response_head(&mut out, Version::Http11, StatusCode::OK, &headers, Framing::Length(1205), false);
        assert_eq!(&out[..], b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 1205\r\nconnection: close\r\n\r\n");
        assert_eq!(&chunk_size(usize::MAX)[..], b"ffffffffffffffff\r\n");
    }
}
