//! The chunked coding: the same at every cut, agreement with a slow decoder, and what our encoder writes is read again.

use bytes::BytesMut;
use http::HeaderMap;
use lockgate::http::h1::chunked::{Decoder, Step};
use lockgate::http::h1::encode::{chunk_size, last_chunk};

use super::cuts;

pub const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "0\r\n",
    "0\r\n\r\n",
    "1\r\nA\r\n",
    "5;a=b\r\nhello\r\n",
    "00000000000000001\r\n",
    "ffffffffffffffff\r\n",
    "7fffffffffffffff\r\n",
    "A\r\n0123456789\r\n",
    ";",
    ";a",
    ";a=b",
    "; a = \"b\\\"c\"",
    "=",
    "\"",
    "\\",
    " ",
    "\t",
    "0x",
    "+",
    "-",
    "_",
    "T: 1\r\n",
    "T : 1\r\n",
    "Host: x\r\n",
    "\0",
    "\u{e9}",
];

/// Body, trailers in words, and what is left; `None` when it is not whole.
type Decoded = Option<(Vec<u8>, String, Vec<u8>)>;

fn decode(pieces: &[&[u8]]) -> Result<Decoded, ()> {
    let (mut decoder, mut input, mut body, mut end) = (Decoder::default(), BytesMut::new(), Vec::new(), None);
    for piece in pieces {
        input.extend_from_slice(piece);
        while end.is_none() {
            match decoder.step(&mut input).map_err(drop)? {
                Step::Data(data) => {
                    assert!(!data.is_empty(), "a piece of nothing");
                    body.extend_from_slice(&data);
                }
                Step::End(trailers) => end = Some(trailers),
                Step::Starved => break,
            }
        }
    }
    Ok(end.map(|trailers| (body, format!("{trailers:?}"), input.to_vec())))
}

/// Holds a chunked body.
pub fn run(data: &[u8]) {
    let whole = decode(&[data]);
    for pieces in cuts::of(data) {
        assert_eq!(decode(&pieces), whole, "{}", data.escape_ascii());
    }
    match (&whole, slow(data)) {
        (Ok(Some((body, _, left))), Slow::Whole(slow_body, slow_left)) => {
            assert_eq!((body, &left[..]), (&slow_body, slow_left), "{}", data.escape_ascii());
        }
        (Ok(None), Slow::Short) | (Err(()), Slow::Bad) => {}
        // Without the end of its line a rule may be broken already, or not be known to be.
        (Err(()) | Ok(None), Slow::Open) => {}
        (whole, slow) => panic!("{whole:?}, but {slow:?}: {}", data.escape_ascii()),
    }
    written(data);
}

/// Any bytes in any chunks, as our encoder writes them.
fn written(data: &[u8]) {
    let mut out = Vec::new();
    for chunk in data.chunks(1 + data.len() / 3) {
        out.extend_from_slice(&chunk_size(chunk.len()));
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(&last_chunk(None));
    let none = format!("{:?}", HeaderMap::<http::HeaderValue>::new());
    assert_eq!(decode(&[&out]), Ok(Some((data.to_vec(), none, Vec::new()))));
}

#[derive(Debug)]
enum Slow<'d> {
    Whole(Vec<u8>, &'d [u8]),
    Short,
    /// A line of sizes or trailers has no end yet.
    Open,
    Bad,
}

/// The grammar of RFC 9112, 7.1, one line after the other.
fn slow(mut rest: &[u8]) -> Slow<'_> {
    let (mut body, mut extensions) = (Vec::new(), 0);
    loop {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return Slow::Open };
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return Slow::Bad };
        rest = &rest[end + 1..];
        let Ok(line) = std::str::from_utf8(line).map(str::to_owned).or_else(|_| latin(line)) else { return Slow::Bad };
        let digits = line.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(line.len());
        extensions += line.chars().count() - digits;
        let size = match u64::from_str_radix(&line[..digits], 16) {
            Ok(size) if size <= i64::MAX.unsigned_abs() && digits <= 16 => usize::try_from(size).unwrap_or(usize::MAX),
            _ => return Slow::Bad,
        };
        if !extended(&line[digits..]) || extensions > 16 << 10 {
            return Slow::Bad;
        }
        if size == 0 {
            return trailers(body, rest);
        }
        let taken = size.min(rest.len());
        body.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        match rest {
            _ if taken < size => return Slow::Short,
            [] | [b'\r'] => return Slow::Short,
            [b'\r', b'\n', behind @ ..] => rest = behind,
            _ => return Slow::Bad,
        }
    }
}

/// What is no UTF-8, a character for each byte.
fn latin(line: &[u8]) -> Result<String, ()> {
    Ok(line.iter().map(|&byte| char::from(byte)).collect())
}

fn trailers(body: Vec<u8>, mut rest: &[u8]) -> Slow<'_> {
    let mut count = 0;
    loop {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return if rest.is_empty() { Slow::Short } else { Slow::Open };
        };
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return Slow::Bad };
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Slow::Whole(body, rest);
        }
        count += 1;
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
        let control = |&byte: &u8| byte != b'\t' && (byte < b' ' || byte == 0x7f);
        if colon == 0 || !line[..colon].iter().all(token) || line[colon + 1..].iter().any(control) || count > 128 {
            // Field lines are judged when the last of them is there.
            return if has_end(rest) { Slow::Bad } else { Slow::Open };
        }
    }
}

fn has_end(rest: &[u8]) -> bool {
    rest.starts_with(b"\r\n")
        || rest.windows(4).any(|window| window == b"\r\n\r\n")
        || rest.windows(2).any(|w| w[0] != b'\r' && w[1] == b'\n')
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`, by peeling off the front.
fn extended(text: &str) -> bool {
    let blank = |text: &str| text.trim_start_matches([' ', '\t']).to_owned();
    let token = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
        let end = end.unwrap_or(text.len());
        (end > 0).then(|| text[end..].to_owned())
    };
    let mut text = text.to_owned();
    while !text.is_empty() {
        let Some(rest) = blank(&text).strip_prefix(';').map(blank) else { return false };
        let Some(rest) = token(&rest) else { return false };
        text = match blank(&rest).strip_prefix('=').map(blank) {
            None => rest,
            Some(value) => match value.strip_prefix('"').map_or_else(|| token(&value), quoted) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
    true
}

/// What stands behind a quoted string whose first mark is taken already.
fn quoted(text: &str) -> Option<String> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if c.is_ascii_control() && c != '\t' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(text[at + 1..].to_owned()),
            _ => {}
        }
    }
    None
}
