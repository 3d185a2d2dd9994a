//! Frames as they pass (RFC 6455, 5.2), in chunks of any size: headers are read, payloads skipped.
//!
//! ```text
//!            ┌───────────── payload skipped ◀────────────┐
//!            ▼                                           │
//!     Header (0–14 bytes so far) ── complete ─▶ checks ──┤
//!            ▲                                    └─▶ Violation: this direction is over
//!            └─ Close frame: what follows is not looked at
//! ```
//!
//! It refuses to unmask, to decompress, and to check that text is UTF-8.

use crate::config::{Compression, Inspect, Kind};

/// Who sends the frames of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// Why frames may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The close code that says so: 1002, 1003 or 1009.
    pub code: u16,
    /// For the log and the close frame; at most 100 bytes.
    pub reason: &'static str,
    /// How many bytes of the chunk stand before the frame. Nothing if an earlier chunk, which has
    /// been sent on, holds the start of its header.
    pub clean: Option<usize>,
}

impl Violation {
    /// A close frame to the receiver, as if its sender had sent it. A masking key of zeros leaves
    /// the payload as it is.
    pub fn close_frame(&self, from: Sender) -> Vec<u8> {
        // cannot overflow: a reason is shorter than 100 bytes, the code has two.
        let length = u8::try_from(self.reason.len() + 2).unwrap_or(2);
        let mut frame = match from {
            Sender::Client => vec![0x88, 0x80 | length, 0, 0, 0, 0],
            Sender::Server => vec![0x88, length],
        };
        frame.extend(self.code.to_be_bytes());
        frame.extend(self.reason.bytes().take(usize::from(length) - 2));
        frame
    }
}

/// One direction of a WebSocket.
#[derive(Clone, Debug)]
pub struct Inspector {
    sender: Sender,
    header: [u8; 14],
    filled: usize,
    payload_left: u64,
    /// Payload of the message so far; nothing between messages.
    message: Option<u64>,
    over: bool,
}

impl Inspector {
    /// At the first byte after the handshake.
    pub fn new(sender: Sender) -> Self {
        Inspector { sender, header: [0; 14], filled: 0, payload_left: 0, message: None, over: false }
    }

    /// Who sends in this direction.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// Looks at the next bytes. After a violation or a close frame there is nothing more to say.
    pub fn feed(&mut self, inspect: &Inspect, chunk: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        let mut start = (self.filled == 0).then_some(0);
        while !self.over {
            let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(chunk.len() - at);
            at += skipped;
            self.payload_left -= skipped as u64;
            let Some(&byte) = chunk.get(at).filter(|_| self.payload_left == 0) else { return Ok(()) };
            if self.filled == 0 {
                start = Some(at);
            }
            self.header[self.filled] = byte;
            self.filled += 1;
            at += 1;
            if self.filled == self.header_length() {
                let checked = self.check(inspect);
                self.filled = 0;
                if let Err((code, reason)) = checked {
                    self.over = true;
                    return Err(Violation { code, reason, clean: start });
                }
            }
        }
        Ok(())
    }

    /// How long the header is, as far as its first bytes tell: 2 to 14.
    fn header_length(&self) -> usize {
        if self.filled < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn length(&self) -> u64 {
        let [_, short, length @ ..] = self.header;
        match short & 0x7f {
            126 => u64::from(u16::from_be_bytes([length[0], length[1]])),
            127 => length.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte)),
            short => u64::from(short),
        }
    }

    fn check(&mut self, inspect: &Inspect) -> Result<(), (u16, &'static str)> {
        let (first, length) = (self.header[0], self.length());
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let reserved = if inspect.compression == Compression::Keep { 0x30 } else { 0x70 };
        if first & reserved != 0 {
            return Err((1002, "reserved bits are set and no extension was agreed on"));
        }
        if (self.header[1] & 0x80 != 0) != (self.sender == Sender::Client) {
            return Err((1002, "frames of clients must be masked, those of servers not"));
        }
        if length >> 63 != 0 {
            return Err((1002, "a frame length has its highest bit set"));
        }
        match opcode {
            0..=2 => self.check_data(inspect, opcode, length, fin)?,
            8..=10 if fin && length <= 125 => self.over = opcode == 8,
            8..=10 => return Err((1002, "a control frame is fragmented or longer than 125 bytes")),
            _ => return Err((1002, "a frame has a reserved opcode")),
        }
        self.payload_left = length;
        Ok(())
    }

    fn check_data(&mut self, inspect: &Inspect, opcode: u8, length: u64, fin: bool) -> Result<(), (u16, &'static str)> {
        let before = match (opcode, self.message) {
            (0, Some(before)) => before,
            (0, None) => return Err((1002, "a continuation frame continues nothing")),
            (_, Some(_)) => return Err((1002, "a message begins within another")),
            (_, None) => 0,
        };
        let kind = if opcode == 1 { Kind::Text } else { Kind::Binary };
        if opcode != 0 && !inspect.allow.contains(&kind) {
            return Err((1003, "messages of this kind are not allowed"));
        }
        let total = before.saturating_add(length);
        if inspect.max_frame.is_some_and(|max| length > max) {
            return Err((1009, "a frame is larger than allowed"));
        }
        if inspect.max_message.is_some_and(|max| total > max) {
            return Err((1009, "a message is larger than allowed"));
        }
        self.message = (!fin).then_some(total);
        Ok(())
    }
}
