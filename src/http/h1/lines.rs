//! Finds the lines of a head as the bytes arrive, and parses field lines (RFC 9112, 2.2 and 5).
//!
//! Only CRLF ends a line: a bare LF or CR, which other programs read differently, is refused at
//! once, even before the head is complete.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Reject;
use crate::error::Kind;

/// What a head may cost.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the first line.
    pub first_line_bytes_max: usize,
    /// Bytes of the whole head.
    pub head_bytes_max: usize,
    /// Number of fields.
    pub header_count_max: usize,
}

/// Remembers how far a partial head has been scanned, so that no byte is looked at twice.
#[derive(Debug, Default)]
pub struct LineScanner {
    scanned: usize,
    line_start: usize,
    /// Start and end (without CRLF) of each complete line.
    lines: Vec<(u32, u32)>,
}

impl LineScanner {
    /// Looks for the empty line that ends a head in `input`; `true` when it is there.
    ///
    /// # Errors
    /// A line that does not end in CRLF, or a head beyond the limits.
    pub fn scan(&mut self, input: &mut BytesMut, limits: &HeadLimits) -> Result<bool, Reject> {
        while let Some(offset) = memchr::memchr(b'\n', &input[self.scanned..]) {
            let newline = self.scanned + offset;
            if newline == self.line_start || input[newline - 1] != b'\r' {
                return Err(Reject::grammar("a line ends in a bare LF (RFC 9112, 2.2)"));
            }
            let end = newline - 1;
            if end == self.line_start && self.lines.is_empty() {
                // An empty line before the first: some old clients send one after a POST (2.2).
                let _ = input.split_to(newline + 1);
                self.scanned = 0;
                self.line_start = 0;
                continue;
            }
            self.scanned = newline + 1;
            if end == self.line_start {
                return self.within(newline + 1, limits).map(|()| true);
            }
            self.lines.push((index(self.line_start)?, index(end)?));
            self.line_start = newline + 1;
            self.within(newline + 1, limits)?;
        }
        self.scanned = input.len();
        // A CR at the end is half of a line's end, and no part of the line; a limit that counted it
        // would depend on where the network cut the head.
        let half_an_end = usize::from(input.last() == Some(&b'\r'));
        self.within(input.len() - half_an_end, limits)?;
        Ok(false)
    }

    fn within(&self, length: usize, limits: &HeadLimits) -> Result<(), Reject> {
        let first_line = self.lines.first().map_or(length, |&(_, end)| end as usize);
        if first_line > limits.first_line_bytes_max {
            return Err(Reject::of(Kind::UriTooLong, "the request line is longer than limits.uri_bytes_max"));
        }
        if length > limits.head_bytes_max {
            return Err(Reject::of(Kind::HeaderTooLarge, "the head is larger than limits.head_bytes_max"));
        }
        if self.lines.len() > limits.header_count_max + 1 {
            return Err(Reject::of(Kind::HeaderTooLarge, "the head has more fields than limits.header_count_max"));
        }
        Ok(())
    }

    /// Takes the complete head out of `input`, after [`LineScanner::scan`] said `true`, and calls
    /// `parse` with its bytes and its lines.
    pub fn take<R>(&mut self, input: &mut BytesMut, parse: impl FnOnce(&Bytes, &[(u32, u32)]) -> R) -> R {
        // Copied, not split off: a head is small, and the read buffer stays ours to use again.
        let head = Bytes::copy_from_slice(&input[..self.scanned]);
        input.advance(self.scanned);
        let result = parse(&head, &self.lines);
        self.scanned = 0;
        self.line_start = 0;
        self.lines.clear();
        result
    }

    /// Whether nothing of a head has arrived yet.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.scanned == 0 && self.lines.is_empty()
    }
}

fn index(at: usize) -> Result<u32, Reject> {
    u32::try_from(at).map_err(|_| Reject::of(Kind::HeaderTooLarge, "the head is larger than 4 GiB"))
}

/// Parses field lines into a map; names become lower case, values are checked byte by byte.
///
/// # Errors
/// Obs-fold, a missing colon, space before it, a name that is no token, a control character in a
/// value (RFC 9112, 5; RFC 9110, 5.5).
pub fn parse_fields(head: &Bytes, lines: &[(u32, u32)]) -> Result<HeaderMap, Reject> {
    // Room for the fields a proxy adds, so that the map is not built twice.
    let mut headers = HeaderMap::with_capacity(lines.len() + 8);
    for &(start, end) in lines {
        let (name, value) = parse_field(head, start as usize, end as usize)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn parse_field(head: &Bytes, start: usize, end: usize) -> Result<(HeaderName, HeaderValue), Reject> {
    let line = &head[start..end];
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Reject::grammar("a field line is folded or begins with a space (RFC 9112, 5.2)"));
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(Reject::grammar("a field line has no colon (RFC 9112, 5)"));
    };
    if colon == 0 {
        return Err(Reject::grammar("a field name is empty (RFC 9112, 5)"));
    }
    let name = &line[..colon];
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(Reject::grammar("there is a space between a field name and its colon (RFC 9112, 5.1)"));
    }
    let name = HeaderName::from_bytes(name)
        .map_err(|_| Reject::grammar("a field name holds a character that is not of a token (RFC 9110, 5.6.2)"))?;
    let mut from = start + colon + 1;
    let mut to = end;
    while from < to && matches!(head[from], b' ' | b'\t') {
        from += 1;
    }
    while to > from && matches!(head[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    let value = HeaderValue::from_maybe_shared(head.slice(from..to))
        .map_err(|_| Reject::grammar("a field value holds a control character (RFC 9110, 5.5)"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { first_line_bytes_max: 20, head_bytes_max: 100, header_count_max: 3 };

    #[test]
    fn rfc9112_2_2_a_head_is_found_whatever_the_chunking() {
        let head = b"\r\nGET / HTTP/1.1\r\nA: 1\r\n\r\nrest";
        for size in 1..head.len() {
            let mut scanner = LineScanner::default();
            let mut input = BytesMut::new();
            let mut found = false;
            for piece in head.chunks(size) {
                input.extend_from_slice(piece);
                found = found || scanner.scan(&mut input, &LIMITS).expect("a valid head");
            }
            assert!(found);
            let lines = scanner.take(&mut input, |head, lines| {
                lines.iter().map(|&(from, to)| head[from as usize..to as usize].to_vec()).collect::<Vec<_>>()
            });
            assert_eq!(lines, [b"GET / HTTP/1.1".to_vec(), b"A: 1".to_vec()]);
            assert_eq!(&input[..], b"rest");
        }
    }

    #[test]
    fn a_line_at_its_limit_is_one_wherever_it_is_cut() {
        let head = [&b"G /aaaaaaaa HTTP/1.1"[..], b"\r\n\r\n"].concat();
        assert_eq!(head.len(), LIMITS.first_line_bytes_max + 4);
        for at in 1..head.len() {
            let (mut scanner, mut input) = (LineScanner::default(), BytesMut::from(&head[..at]));
            assert_eq!(scanner.scan(&mut input, &LIMITS), Ok(false), "{at}");
            input.extend_from_slice(&head[at..]);
            assert_eq!(scanner.scan(&mut input, &LIMITS), Ok(true), "{at}");
        }
    }

    #[test]
    fn what_is_too_large_is_told_apart() {
        let kind = |bytes: &[u8]| LineScanner::default().scan(&mut BytesMut::from(bytes), &LIMITS).map_err(|r| r.kind);
        assert_eq!(kind(&[b'a'; 21]), Err(Kind::UriTooLong));
        assert_eq!(kind(&[&b"G / H\r\nA: "[..], &[b'a'; 100]].concat()), Err(Kind::HeaderTooLarge));
        assert_eq!(kind(b"G / H\r\nA:\r\nB:\r\nC:\r\nD:\r\n"), Err(Kind::HeaderTooLarge));
        assert_eq!(kind(b"G / H\r\nA:\n"), Err(Kind::BadRequest));
    }
}
