//! HTTP/1.1 and WebSocket on one connection, as far as a load needs it: sends what it is given, reads
//! the answer to its end.
//!
//! It refuses any status but the expected one; a wrong answer must not look like a fast one.

use std::io::{Error, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tally::Tally;
use crate::backend::websocket;
use crate::backend::{field, head_end};

/// Pieces of an upload.
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// Plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection and what has been read of it beyond the last answer.
pub struct Client<S> {
    stream: S,
    input: Vec<u8>,
    at: usize,
    held: usize,
}

impl<S: Stream> Client<S> {
    /// `buffer` bytes are read at once.
    pub fn new(stream: S, buffer: usize) -> Self {
        Self { stream, input: vec![0; buffer], at: 0, held: 0 }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends a request with so many bytes of body and reads the answer.
    pub async fn ask(&mut self, head: &[u8], upload: u64, tally: &Tally) -> std::io::Result<()> {
        self.stream.write_all(head).await?;
        let mut left = upload;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE.len()).min(PIECE.len());
            let count = self.stream.write(&PIECE[..most]).await?;
            left -= count as u64;
            tally.body(count);
        }
        if upload > 0 {
            self.stream.flush().await?;
        }
        let (length, chunked) = self.head("HTTP/1.1 200 ").await?;
        let downloaded = upload == 0;
        if !chunked {
            return self.skip(length, downloaded.then_some(tally)).await;
        }
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
            let size = size.ok_or_else(|| bad(format!("chunk size {line:?}")))?;
            self.skip(size, downloaded.then_some(tally)).await?;
            self.line().await?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Makes a WebSocket of the connection.
    pub async fn upgrade(&mut self, host: &str, path: &str) -> std::io::Result<()> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.head("HTTP/1.1 101 ").await.map(drop)
    }

    /// Sends a whole frame and reads one of the same payload length.
    pub async fn echo(&mut self, frame: &[u8], payload: usize, tally: &Tally) -> std::io::Result<()> {
        self.stream.write_all(frame).await?;
        loop {
            if let Some(back) = websocket::frame(&self.input[self.at..self.held]) {
                if back.opcode != 2 || back.end - back.payload != payload {
                    return Err(bad(format!("another frame came back: {back:?}")));
                }
                self.at += back.payload;
                return self.skip(payload as u64, Some(tally)).await;
            }
            self.fill().await?;
        }
    }

    /// Reads a request's answer as far as its head, and no more of it. For the stalled reader.
    pub async fn begin(&mut self, head: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(head).await?;
        self.head("HTTP/1.1 200 ").await.map(drop)
    }

    /// The length of the body, and whether it comes in chunks.
    async fn head(&mut self, status: &str) -> std::io::Result<(u64, bool)> {
        loop {
            let held = &self.input[self.at..self.held];
            if let Some(end) = head_end(held) {
                let head = String::from_utf8_lossy(&held[..end]);
                if !head.starts_with(status) {
                    return Err(bad(format!("answered {}", head.lines().next().unwrap_or_default())));
                }
                let length = field(&head, "content-length").and_then(|length| length.parse().ok());
                let chunked = field(&head, "transfer-encoding").is_some();
                self.at += end;
                return Ok((length.unwrap_or(0), chunked));
            }
            self.fill().await?;
        }
    }

    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            let held = &self.input[self.at..self.held];
            if let Some(end) = held.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&held[..end]).into_owned();
                self.at += end + 2;
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// Reads over a part of a body.
    async fn skip(&mut self, length: u64, tally: Option<&Tally>) -> std::io::Result<()> {
        let mut left = length;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.held - self.at);
            self.at += here;
            left -= here as u64;
            if let Some(tally) = tally.filter(|_| here > 0) {
                tally.body(here);
            }
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        if self.at > 0 {
            self.input.copy_within(self.at..self.held, 0);
            (self.at, self.held) = (0, self.held - self.at);
        }
        if self.held == self.input.len() {
            return Err(bad("a head longer than the buffer".into()));
        }
        match self.stream.read(&mut self.input[self.held..]).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.held += count;
                Ok(())
            }
        }
    }
}

fn bad(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
