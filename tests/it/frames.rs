//! HTTP/2 frames by hand (RFC 9113, 4), for what no honest peer sends. It refuses to be clever: nothing is
//! acknowledged, checked or put in order unless a test says so.

mod fields;

use std::net::SocketAddr;

use lockgate::tls::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::client::connect_tls;
use crate::world::within;

pub use fields::{block, integer};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags of HEADERS and DATA.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;
/// Flag of SETTINGS and PING.
pub const ACK: u8 = 1;

/// Error codes (RFC 9113, 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (RFC 9113, 6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

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

/// A frame that was received.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The 32 bits at `at` of the payload: an error code, an increment.
    pub fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn is_ack(&self) -> bool {
        matches!(self.kind, SETTINGS | PING) && self.flags & ACK != 0
    }

    /// Ends its stream from the sender's side.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status of a response head.
    pub fn status(&self) -> u16 {
        fields::status(&self.payload)
    }

    /// The settings of a SETTINGS frame, in order.
    pub fn settings(&self) -> Vec<(u16, u32)> {
        let pair = |pair: &[u8]| {
            (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
        };
        self.payload.chunks_exact(6).map(pair).collect()
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole HEADERS frame of `fields`, in this order.
pub fn headers(stream: u32, fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// A SETTINGS frame.
pub fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        pairs.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// RST_STREAM.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// WINDOW_UPDATE.
pub fn credit(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A connection on which any frame can be sent.
pub struct Frames {
    stream: Stream,
}

/// What became of a flood.
#[derive(Debug)]
pub struct Flooded {
    /// How the peer ended it; `None` when it took everything and still answers PING.
    pub end: Option<End>,
    /// Frames that came back, by kind.
    pub received: [usize; 256],
}

impl Frames {
    /// Frames on a connection that is there already.
    pub fn over(stream: Stream) -> Self {
        Self { stream }
    }

    /// Connects, and says nothing.
    pub async fn dial(addr: SocketAddr, server_name: &str) -> Self {
        Self { stream: connect_tls(addr, server_name, &["h2"]).await.unwrap() }
    }

    /// Connects and sends the preface.
    pub async fn connect(addr: SocketAddr, server_name: &str) -> Self {
        let mut frames = Self::dial(addr, server_name).await;
        frames.write(&[PREFACE, &settings(&[])].concat()).await;
        frames
    }

    /// Connects with `pairs` as settings, and waits until the settings of both ends are in force; returns the peer's.
    pub async fn handshake(addr: SocketAddr, server_name: &str, pairs: &[(u16, u32)]) -> (Self, Vec<(u16, u32)>) {
        let mut frames = Self::dial(addr, server_name).await;
        frames.write(&[PREFACE, &settings(pairs)].concat()).await;
        let (mut theirs, mut acknowledged) = (None, false);
        while theirs.is_none() || !acknowledged {
            let frame = frames.next().await.expect("a handshake");
            match (frame.kind, frame.is_ack()) {
                (SETTINGS, true) => acknowledged = true,
                (SETTINGS, false) => theirs = Some(frame.settings()),
                _ => {}
            }
        }
        frames.send(SETTINGS, ACK, 0, b"").await;
        (frames, theirs.unwrap())
    }

    /// Sends bytes as they are; a peer that has closed already says so when it is read.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    /// HEADERS with `fields`, in this order.
    pub async fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        self.write(&headers(stream, fields, flags)).await;
    }

    /// Exactly `count` bytes that are no frame.
    pub async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        within("bytes", self.stream.read_exact(&mut bytes)).await.ok().map(|_| bytes)
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", read_frame(&mut self.stream)).await
    }

    /// Reads on until `stream` has come to something; acknowledges settings on the way.
    pub async fn end_of(&mut self, stream: u32) -> End {
        loop {
            let Some(frame) = self.next().await else { return End::Connection(NO_ERROR) };
            match frame.kind {
                HEADERS if frame.stream == stream => return End::Status(frame.status()),
                RST_STREAM if frame.stream == stream => return End::Reset(frame.word(0)),
                GOAWAY => return End::Connection(frame.word(4)),
                SETTINGS if !frame.is_ack() => self.send(SETTINGS, ACK, 0, b"").await,
                _ => {}
            }
        }
    }

    /// Sends `pieces` one after the other while reading what comes back, until they are all taken or the peer ends it.
    pub async fn flood(&mut self, pieces: impl Iterator<Item = Vec<u8>>) -> Flooded {
        const LAST: &[u8; 8] = b"theflood";
        let mut received = [0; 256];
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let reading = async {
            loop {
                let Some(frame) = read_frame(&mut reader).await else { return Some(End::Connection(NO_ERROR)) };
                received[usize::from(frame.kind)] += 1;
                match frame.kind {
                    GOAWAY => return Some(End::Connection(frame.word(4))),
                    PING if frame.payload == LAST => return None,
                    _ => {}
                }
            }
        };
        let writing = async {
            for piece in pieces {
                if writer.write_all(&piece).await.is_err() {
                    break;
                }
            }
            let _ = writer.write_all(&frame(PING, 0, 0, LAST)).await;
            let _ = writer.flush().await;
            std::future::pending().await
        };
        let end = within("the end of a flood", async {
            tokio::select! { end = reading => end, end = writing => end }
        });
        let end = end.await;
        Flooded { end, received }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream: id, payload })
}
