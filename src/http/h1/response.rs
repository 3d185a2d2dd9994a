//! A response head of a backend (RFC 9112, 4 and 6): held to the same rules as a request.
//!
//! What is ambiguous becomes a visible error of the backend, never a poisoned connection.

use bytes::BytesMut;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode};

use super::lines::{HeadLimits, LineScanner, parse_fields};
use super::request::{content_length, is_chunked};
use super::{Framing, Reject};
use crate::http::Version;
use crate::http::fields::list_contains;

/// A response head whose parts agree with each other.
#[derive(Debug)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields, `Transfer-Encoding` taken out.
    pub headers: HeaderMap,
    /// How the body is delimited.
    pub framing: Framing,
    /// The backend keeps the connection.
    pub keep_alive: bool,
}

/// Parses a response head out of `input` when it is complete; `method` is the request's, on which
/// the framing depends (RFC 9112, 6.3).
///
/// # Errors
/// The rule that was broken. The connection must then be closed.
pub fn parse(
    scanner: &mut LineScanner,
    input: &mut BytesMut,
    limits: &HeadLimits,
    method: &Method,
) -> Result<Option<ResponseHead>, Reject> {
    if !scanner.scan(input, limits)? {
        return Ok(None);
    }
    scanner.take(input, |head, lines| {
        let Some((&(start, end), fields)) = lines.split_first() else {
            return Err(Reject::grammar("the head is empty (RFC 9112, 2.1)"));
        };
        let (version, status) = parse_status_line(&head[start as usize..end as usize])?;
        let mut headers = parse_fields(head, fields)?;
        let framing = response_framing(&headers, version, status, method)?;
        let keep_alive = framing != Framing::UntilClose
            && match version {
                Version::Http10 => list_contains(&headers, &header::CONNECTION, b"keep-alive"),
                _ => !list_contains(&headers, &header::CONNECTION, b"close"),
            };
        headers.remove(header::TRANSFER_ENCODING);
        Ok(Some(ResponseHead { status, version, headers, framing, keep_alive }))
    })
}

/// `HTTP/1.1 SP 3DIGIT SP [reason]` (RFC 9112, 4); a missing space after the code is tolerated
/// as nearly every server that omits the reason omits it too.
fn parse_status_line(line: &[u8]) -> Result<(Version, StatusCode), Reject> {
    const SHAPE: Reject = Reject::grammar("the status line is not `HTTP/1.x SP code SP reason` (RFC 9112, 4)");
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(SHAPE),
    };
    let code = line.get(9..12).ok_or(SHAPE)?;
    if !matches!(line.get(12), None | Some(b' ')) {
        return Err(SHAPE);
    }
    match StatusCode::from_bytes(code) {
        Ok(status) if status.as_u16() < 600 => Ok((version, status)),
        _ => Err(SHAPE),
    }
}

fn response_framing(
    headers: &HeaderMap,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<Framing, Reject> {
    let chunked = is_chunked(headers)?;
    let length = content_length(headers)?;
    if chunked && length.is_some() {
        return Err(Reject::grammar("Content-Length and Transfer-Encoding together (RFC 9112, 6.3)"));
    }
    if chunked && version == Version::Http10 {
        return Err(Reject::grammar("an HTTP/1.0 response has a Transfer-Encoding (RFC 9112, 6.1)"));
    }
    let bodiless = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    Ok(match (bodiless, chunked, length) {
        (true, ..) | (_, false, Some(0)) => Framing::None,
        (_, true, _) => Framing::Chunked,
        (_, _, Some(length)) => Framing::Length(length),
        _ => Framing::UntilClose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { first_line_bytes_max: 9_000, head_bytes_max: 65_536, header_count_max: 128 };

    fn read(text: &str, method: &Method) -> Result<ResponseHead, Reject> {
        let mut input = BytesMut::from(text.as_bytes());
        parse(&mut LineScanner::default(), &mut input, &LIMITS, method).map(|head| head.expect("a complete head"))
    }

    #[test]
    fn rfc9112_6_3_framing_of_responses() {
        for (text, method, framing, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::HEAD, Framing::None, true),
            ("HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::None, true),
            ("HTTP/1.1 204 \r\n\r\n", Method::GET, Framing::None, true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::GET, Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Method::GET, Framing::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Method::GET, Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Method::GET, Framing::None, false),
        ] {
            let head = read(text, &method).expect("valid");
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text}");
        }
    }

    #[test]
    fn rfc9112_an_ambiguous_response_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 999 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            assert!(read(text, &Method::GET).is_err(), "{text:?}");
        }
    }
}
