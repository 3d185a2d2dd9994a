//! HTTP/2 frames by hand (RFC 9113, 4; RFC 7541), for what no honest client sends. It refuses to be clever: fields
//! are literals without indexing, and of a response only its status is read.

use std::net::SocketAddr;

use lockgate::tls::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::connect_tls;
use crate::world::within;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Flags of HEADERS and DATA.
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What a stream came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A response head with this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, or the end of the connection.
    Connection(u32),
}

impl End {
    /// Refused as RFC 9113, 8.1.1 wants it: a reset, or a 4xx.
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::Status(status) if !(400..500).contains(&status))
    }
}

/// A connection on which any frame can be sent.
pub struct Frames {
    stream: Stream,
}

impl Frames {
    /// Connects and exchanges prefaces.
    pub async fn connect(addr: SocketAddr, server_name: &str) -> Self {
        let stream = connect_tls(addr, server_name, &["h2"]).await.unwrap();
        let mut frames = Self { stream };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        frames.send(SETTINGS, 0, 0, b"").await;
        frames
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        // A peer that has closed already says so when it is read.
        let _ = self.stream.write_all(&[&head[..], payload].concat()).await;
        let _ = self.stream.flush().await;
    }

    /// HEADERS with `fields`, in this order.
    pub async fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        let block: Vec<u8> =
            fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect();
        self.send(HEADERS, flags | END_HEADERS, stream, &block).await;
    }

    /// Reads on until `stream` has come to something.
    pub async fn end_of(&mut self, stream: u32) -> End {
        loop {
            let mut head = [0; 9];
            if within("a frame", self.stream.read_exact(&mut head)).await.is_err() {
                return End::Connection(0);
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            if within("a payload", self.stream.read_exact(&mut payload)).await.is_err() {
                return End::Connection(0);
            }
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                HEADERS if id == stream => return End::Status(status(&payload)),
                RST_STREAM if id == stream => return End::Reset(code(0)),
                GOAWAY => return End::Connection(code(4)),
                SETTINGS if head[4] & ACK == 0 => self.send(SETTINGS, ACK, 0, b"").await,
                _ => {}
            }
        }
    }
}

/// RFC 7541, 6.2.2: literal without indexing, new name, no Huffman coding.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

/// RFC 7541, 5.1, with a prefix of seven bits.
fn length(mut length: usize) -> Vec<u8> {
    if length < 127 {
        return vec![u8::try_from(length).unwrap()];
    }
    let mut bytes = vec![127];
    length -= 127;
    while length >= 128 {
        bytes.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes
}

/// The status a header block begins with: indexed, or a literal whose digits may be Huffman-coded (RFC 7541, A and B).
/// The first response of a connection has nothing in the dynamic table yet.
fn status(block: &[u8]) -> u16 {
    let at = usize::from(block[0] & 0xe0 == 0x20); // a table size update may come first
    match block[at] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        _ => {
            let (huffman, length) = (block[at + 1] & 0x80 != 0, usize::from(block[at + 1] & 0x7f));
            let text = &block[at + 2..at + 2 + length];
            if huffman { huffman_digits(text) } else { String::from_utf8_lossy(text).into_owned() }.parse().unwrap()
        }
    }
}

/// Digits only: `0`–`2` are 00000–00010, `3`–`9` are 011001–011111.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut digits = String::new();
    for _ in 0..3 {
        let long = rest.starts_with("011");
        let (code, tail) = rest.split_at(if long { 6 } else { 5 });
        let value = u32::from_str_radix(code, 2).unwrap();
        digits.push(char::from_digit(if long { value - 0b011001 + 3 } else { value }, 10).unwrap());
        rest = tail;
    }
    digits
}
