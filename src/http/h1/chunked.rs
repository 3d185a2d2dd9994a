//! The chunked transfer coding (RFC 9112, 7.1), decoded strictly and without I/O.
//!
//! ```text
//!   Size ──▶ Data ──▶ DataEnd ──▶ Size … ──0──▶ Trailers ──▶ Done
//! ```
//!
//! Extensions are checked, counted and dropped; they are never forwarded. A size that overflows,
//! a bare LF, a chunk longer or shorter than its size: all end the connection.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::Reject;
use super::lines::{HeadLimits, LineScanner, parse_fields};
use crate::limits::{CHUNK_EXTENSION_BYTES, CRUMB_BYTES, GATHERED_BYTES, TRAILER_BYTES};

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extension_bytes: usize,
    trailers: LineScanner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// A step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of the body.
    Data(Bytes),
    /// The body has ended, with these trailers; whatever follows is the next message.
    End(HeaderMap),
    /// More input is needed.
    Starved,
}

/// A size line longer than this without an end is not waited for: 16 digits and extensions.
const SIZE_LINE_BYTES: usize = CHUNK_EXTENSION_BYTES + 16 + 2;

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Size, extension_bytes: 0, trailers: LineScanner::default() }
    }
}

impl Decoder {
    /// Takes the next piece out of `input`.
    ///
    /// # Errors
    /// The rule of RFC 9112, 7.1 that was broken.
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Step, Reject> {
        loop {
            match self.advance(input)? {
                Some(Step::Data(crumb)) if crumb.len() < CRUMB_BYTES => return self.gather(crumb, input),
                Some(step) => return Ok(step),
                None => {}
            }
        }
    }

    /// The data of `crumb` and of the chunks that are there behind it.
    fn gather(&mut self, crumb: Bytes, input: &mut BytesMut) -> Result<Step, Reject> {
        let mut gathered = BytesMut::new();
        while gathered.len().max(crumb.len()) < GATHERED_BYTES && self.is_before_crumbs() {
            match self.advance(input)? {
                Some(Step::Data(bytes)) => {
                    if gathered.is_empty() {
                        gathered.extend_from_slice(&crumb);
                    }
                    gathered.extend_from_slice(&bytes);
                }
                Some(_) => break,
                None => {}
            }
        }
        Ok(Step::Data(if gathered.is_empty() { crumb } else { gathered.freeze() }))
    }

    /// Large chunks are passed on without a copy, and trailers come after the data.
    fn is_before_crumbs(&self) -> bool {
        match self.state {
            State::Size | State::DataEnd => true,
            State::Data(left) => left < CRUMB_BYTES as u64,
            State::Trailers | State::Done => false,
        }
    }

    /// One state further; `None`: with nothing to show for it.
    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Step>, Reject> {
        match self.state {
            State::Size => match self.read_size(input)? {
                None => return Ok(Some(Step::Starved)),
                Some(0) => self.state = State::Trailers,
                Some(size) => self.state = State::Data(size),
            },
            State::Data(left) => {
                if input.is_empty() {
                    return Ok(Some(Step::Starved));
                }
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - take as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                return Ok(Some(Step::Data(input.split_to(take).freeze())));
            }
            State::DataEnd => {
                if input.first().is_some_and(|&byte| byte != b'\r') || input.get(1).is_some_and(|&byte| byte != b'\n') {
                    return Err(Reject::grammar("a chunk does not end in CRLF where its size says (RFC 9112, 7.1)"));
                }
                if input.len() < 2 {
                    return Ok(Some(Step::Starved));
                }
                let _ = input.split_to(2);
                self.state = State::Size;
            }
            State::Trailers => {
                let Some(trailers) = self.read_trailers(input)? else { return Ok(Some(Step::Starved)) };
                self.state = State::Done;
                return Ok(Some(Step::End(trailers)));
            }
            State::Done => return Ok(Some(Step::End(HeaderMap::new()))),
        }
        Ok(None)
    }

    fn read_size(&mut self, input: &mut BytesMut) -> Result<Option<u64>, Reject> {
        let Some(newline) = memchr::memchr(b'\n', input) else {
            return match input.len() {
                0..=SIZE_LINE_BYTES => Ok(None),
                _ => Err(Reject::grammar("a chunk-size line has no end (RFC 9112, 7.1)")),
            };
        };
        let line = input.split_to(newline + 1);
        let Some(line) = line[..newline].strip_suffix(b"\r") else {
            return Err(Reject::grammar("a chunk-size line ends in a bare LF (RFC 9112, 7.1)"));
        };
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        if digits == 0 || digits > 16 {
            return Err(Reject::grammar("a chunk size is not 1 to 16 hex digits (RFC 9112, 7.1)"));
        }
        let size = line[..digits]
            .iter()
            .fold(0u64, |size, &digit| size << 4 | u64::from(char::from(digit).to_digit(16).unwrap_or_default()));
        if size > i64::MAX.unsigned_abs() {
            return Err(Reject::grammar("a chunk size overflows (RFC 9112, 7.1)"));
        }
        let extensions = &line[digits..];
        self.extension_bytes += extensions.len();
        if self.extension_bytes > CHUNK_EXTENSION_BYTES {
            return Err(Reject::grammar("more than 16 KiB of chunk extensions (RFC 9112, 7.1.1)"));
        }
        check_extensions(extensions)?;
        Ok(Some(size))
    }

    fn read_trailers(&mut self, input: &mut BytesMut) -> Result<Option<HeaderMap>, Reject> {
        const LIMITS: HeadLimits =
            HeadLimits { first_line_bytes_max: usize::MAX, head_bytes_max: TRAILER_BYTES, header_count_max: 128 };
        // No trailers is the common case, and the scanner skips empty lines before the first.
        if self.trailers.is_fresh() {
            match &input[..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => {
                    let _ = input.split_to(2);
                    return Ok(Some(HeaderMap::new()));
                }
                _ => {}
            }
        }
        if !self.trailers.scan(input, &LIMITS)? {
            return Ok(None);
        }
        self.trailers.take(input, parse_fields).map(Some)
    }
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112, 7.1.1).
fn check_extensions(mut rest: &[u8]) -> Result<(), Reject> {
    const BAD: Reject = Reject::grammar("a chunk extension is malformed (RFC 9112, 7.1.1)");
    while !rest.is_empty() {
        rest = skip_space(rest).strip_prefix(b";").ok_or(BAD)?;
        rest = skip_token(skip_space(rest)).ok_or(BAD)?;
        if let Some(value) = skip_space(rest).strip_prefix(b"=") {
            let value = skip_space(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => skip_quoted(quoted).ok_or(BAD)?,
                None => skip_token(value).ok_or(BAD)?,
            };
        }
    }
    Ok(())
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    &bytes[end..]
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = bytes.iter().position(|byte| !is_token(byte)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            [b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body, number of trailers, what is left over.
    type Decoded = (Vec<u8>, usize, Vec<u8>);

    /// Decodes `text` given in pieces of `size` bytes: body, trailers, and what is left over.
    fn decode(text: &[u8], size: usize) -> Result<Option<Decoded>, Reject> {
        let mut decoder = Decoder::default();
        let mut input = BytesMut::new();
        let mut body = Vec::new();
        let mut ended = None;
        for piece in text.chunks(size) {
            input.extend_from_slice(piece);
            while ended.is_none() {
                match decoder.step(&mut input)? {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::End(trailers) => ended = Some(trailers.len()),
                    Step::Starved => break,
                }
            }
        }
        Ok(ended.map(|trailers| (body, trailers, input.to_vec())))
    }

    #[test]
    fn rfc9112_7_1_a_body_is_the_same_whatever_the_chunking() {
        let text = b"4\r\nWiki\r\n6;a;b=c; d = \"x\\\"y\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nT: 1\r\n\r\nGET";
        for size in 1..=text.len() {
            let decoded = decode(text, size).expect("valid").expect("complete");
            assert_eq!(decoded, (b"Wikipedia in \r\n\r\nchunks.".to_vec(), 1, b"GET".to_vec()), "{size}");
        }
        assert_eq!(decode(b"0\r\n\r\n", 1), Ok(Some((vec![], 0, vec![]))));
    }

    #[test]
    fn chunks_that_are_there_at_once_are_one_piece_if_they_are_small() {
        let large = "l".repeat(CRUMB_BYTES);
        let body =
            format!("{}400\r\n{large}\r\n1\r\nc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n".repeat(3));
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::from(body.as_bytes()));
        for piece in ["abcabcabc", &large, "cd"] {
            assert_eq!(decoder.step(&mut input), Ok(Step::Data(Bytes::copy_from_slice(piece.as_bytes()))));
        }
        assert!(matches!(decoder.step(&mut input), Ok(Step::End(trailers)) if trailers.len() == 1));
        let mut crumbs = BytesMut::from("1\r\na\r\n".repeat(2 * GATHERED_BYTES).as_bytes());
        assert!(matches!(Decoder::default().step(&mut crumbs), Ok(Step::Data(piece)) if piece.len() == GATHERED_BYTES));
    }

    #[test]
    fn rfc9112_7_1_malformed_chunks_are_refused() {
        for bad in [
            &b"0x1\r\n"[..],
            b"+1\r\n",
            b"-1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1_0\r\n",
            b"\r\n",
            b"1\0\r\n",
            b"g\r\n",
            b"ffffffffffffffff\r\n",
            b"11111111111111111\r\n",
            b"1\nA",
            b"1\r\nAXX",
            b"1\r\nA\rX",
            b"1\r\nA\n",
            b"2\r\nAB3",
            b"1;\r\n",
            b"1;a=\r\n",
            b"1;a\x01\r\n",
            b"1;a=\"\r\n",
            b"1\r\rA",
            b"0\r\nT : 1\r\n\r\n",
            b"0\r\n a\r\n\r\n",
            b"0\r\nT: 1\n\r\n",
            b"0\r\n\n",
            b"1;a\rb\r\n",
        ] {
            for size in [1, bad.len()] {
                let result = decode(bad, size);
                let starved = matches!(result, Ok(None));
                assert!(
                    result.is_err() || (starved && bad == b"1\r\rA"),
                    "{:?} {result:?}",
                    String::from_utf8_lossy(bad)
                );
            }
        }
    }

    #[test]
    fn rfc9112_7_1_1_extensions_are_bounded_in_all() {
        let chunk = [&b"1;"[..], &[b'x'; 100], b"\r\nA\r\n"].concat();
        assert!(decode(&chunk.repeat(200), 4096).is_err());
        assert!(decode(&[b'1'; 20_000], 4096).is_err());
        assert!(decode(&[&b"0\r\nA: "[..], &[b'x'; 20_000]].concat(), 4096).is_err());
    }
}
