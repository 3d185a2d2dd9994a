//! An HTTP/1.1 connection: what was read and not yet understood, what waits to be written.
//!
//! ```text
//!   Inbound:  Idle ──head──▶ Length | Chunked | UntilClose ──▶ Done ──next head──▶ …
//!                       └──▶ Gated ──101──▶ Raw
//! ```
//!
//! Server and client halves share it with the body they hand out; all live on one task, so a
//! borrow never crosses a wait. It refuses to read ahead of its consumer by more than one buffer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::chunked::{Decoder, Step};
use super::lines::LineScanner;
use super::output::Output;
use super::{Framing, Reject, encode};
use crate::error::{Error, Kind, Side};
use crate::http::Frame;
use crate::http::body::{data, trailers};
use crate::http::fields::strip_forbidden_trailers;
use crate::io::memory;
use crate::limits::{OUTPUT_HIGH_WATER, OUTPUT_WHEN_SHORT};
use crate::tls::Stream;

/// A connection shared between its driver and the body it handed out.
pub type Shared = Rc<RefCell<Conn>>;

/// First read of a message: heads are rarely larger.
const HEAD_READ_BYTES: usize = 4 * 1024;
/// Reads of a body: what a socket buffer commonly holds.
const BODY_READ_BYTES: usize = 64 * 1024;
/// A piece of a body up to this size is cheaper to copy than a new read buffer is to allocate.
pub(super) const COPIED_BYTES: usize = 2 * 1024;

/// Where the reading side stands.
#[derive(Debug)]
pub enum Inbound {
    /// Between messages.
    Done,
    /// A body with this many bytes left.
    Length(u64),
    /// A chunked body.
    Chunked(Box<Decoder>),
    /// A body that ends with the connection.
    UntilClose,
    /// After a WebSocket handshake that has not been accepted yet: nothing may be read.
    Gated(Option<Waker>),
    /// After an accepted handshake: bytes.
    Raw,
    /// The body broke; the connection cannot be used again.
    Broken,
}

/// An HTTP/1.1 connection.
pub struct Conn {
    io: Stream,
    /// Bytes read and not yet parsed.
    pub input: BytesMut,
    /// Progress in a partial head.
    pub scanner: LineScanner,
    /// Where the reading side stands.
    pub inbound: Inbound,
    /// Whose bytes are read here, for errors.
    peer: Side,
    read_ended: bool,
    output: Output,
    /// `100 Continue` is owed before the body can arrive.
    pub owes_continue: bool,
    /// The body's reader waits for bytes of the peer.
    pub starving: bool,
    /// Interim responses may be written: an HTTP/1.1 client whose final response has not begun.
    pub takes_interim: bool,
    /// Bytes read off the socket, for idle rules and metrics.
    pub bytes_read: u64,
    /// Bytes written to the socket.
    pub bytes_written: u64,
}

impl Conn {
    /// A connection whose other end is `peer` ([`Side::Client`] or [`Side::Backend`]).
    #[must_use]
    pub fn new(io: Stream, peer: Side) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            scanner: LineScanner::default(),
            inbound: Inbound::Done,
            peer,
            read_ended: false,
            output: Output::default(),
            owes_continue: false,
            starving: false,
            takes_interim: false,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// The stream beneath.
    #[must_use]
    pub fn io(&self) -> &Stream {
        &self.io
    }

    /// The peer has sent its last byte.
    #[must_use]
    pub fn read_ended(&self) -> bool {
        self.read_ended
    }

    /// Sets up the reading side for a body of `framing`.
    pub fn expect_body(&mut self, framing: Framing) {
        self.inbound = match framing {
            Framing::None => Inbound::Done,
            Framing::Length(length) => Inbound::Length(length),
            Framing::Chunked => Inbound::Chunked(Box::default()),
            Framing::UntilClose => Inbound::UntilClose,
        };
    }

    /// The handshake was accepted: both directions are bytes from here.
    pub fn open_gate(&mut self) {
        if let Inbound::Gated(waker) = &mut self.inbound {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
            self.inbound = Inbound::Raw;
        }
    }

    /// Reads once into `input`; `Ok(0)` is the end of the peer's bytes.
    ///
    /// # Errors
    /// The socket's error; a TLS stream cut without `close_notify` is `UnexpectedEof`.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read_ended {
            return Poll::Ready(Ok(0));
        }
        let want = match self.inbound {
            Inbound::Done | Inbound::Gated(_) => HEAD_READ_BYTES,
            Inbound::Length(left) => {
                usize::try_from(left).unwrap_or(BODY_READ_BYTES).clamp(HEAD_READ_BYTES, BODY_READ_BYTES)
            }
            _ => BODY_READ_BYTES,
        };
        if self.io.poll_readable(cx).is_pending() {
            self.rest();
            return Poll::Pending;
        }
        if self.input.capacity() - self.input.len() < want.min(1024) {
            self.input.reserve(want);
        }
        let polled = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input);
        if polled.is_pending() {
            self.rest();
        }
        let read = ready!(polled)?;
        if read == 0 {
            self.read_ended = true;
            self.rest();
        }
        self.bytes_read += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Whoever waits for the peer's next byte pins no buffer: most connections wait most of the time.
    fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if matches!(self.inbound, Inbound::Raw) {
            self.output.rest();
        }
    }

    /// The next piece of the body; `None` at its end.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            match &mut self.inbound {
                Inbound::Done => return Poll::Ready(None),
                Inbound::Broken => return Poll::Ready(Some(Err(self.cut("the body broke off")))),
                Inbound::Gated(waker) => {
                    *waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Inbound::Chunked(decoder) => match decoder.step(&mut self.input) {
                    Ok(Step::Data(bytes)) => return Poll::Ready(Some(Ok(data(bytes)))),
                    Ok(Step::End(fields)) => {
                        self.inbound = Inbound::Done;
                        return Poll::Ready(self.checked_trailers(fields));
                    }
                    Ok(Step::Starved) => {}
                    Err(reject) => {
                        self.inbound = Inbound::Broken;
                        return Poll::Ready(Some(Err(self.blame(reject))));
                    }
                },
                Inbound::Length(left) => {
                    if !self.input.is_empty() {
                        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                        *left -= take as u64;
                        if *left == 0 {
                            self.inbound = Inbound::Done;
                        }
                        return Poll::Ready(Some(Ok(data(self.take_input(take)))));
                    }
                }
                Inbound::UntilClose | Inbound::Raw => {
                    if !self.input.is_empty() {
                        return Poll::Ready(Some(Ok(data(self.input.split().freeze()))));
                    }
                }
            }
            if self.owes_continue {
                self.queue_interim(StatusCode::CONTINUE, &HeaderMap::new());
                // The driver flushes when its poll returns; so that the client is not kept waiting
                // for that, flush what goes out without blocking.
                let _ = self.poll_flush(cx);
            }
            let filled = self.poll_fill(cx);
            self.starving = filled.is_pending();
            match ready!(filled) {
                Ok(0) if matches!(self.inbound, Inbound::UntilClose | Inbound::Raw) => {
                    self.inbound = Inbound::Done;
                    return Poll::Ready(None);
                }
                Ok(0) => {
                    self.inbound = Inbound::Broken;
                    return Poll::Ready(Some(Err(
                        self.cut("the connection closed in the middle of a body (RFC 9112, 8)")
                    )));
                }
                Ok(_) => {}
                Err(error) => {
                    self.inbound = Inbound::Broken;
                    return Poll::Ready(Some(Err(self.cut(format!("reading a body: {error}")))));
                }
            }
        }
    }

    /// Takes `count` bytes off the input: small ones are copied, so that the read buffer stays ours
    /// to use again; large ones are split off without a copy.
    fn take_input(&mut self, count: usize) -> Bytes {
        if count > COPIED_BYTES {
            return self.input.split_to(count).freeze();
        }
        let bytes = Bytes::copy_from_slice(&self.input[..count]);
        self.input.advance(count);
        bytes
    }

    fn checked_trailers(&self, mut fields: HeaderMap) -> Option<Result<Frame, Error>> {
        strip_forbidden_trailers(&mut fields);
        (!fields.is_empty()).then(|| Ok(trailers(fields)))
    }

    /// A body that ended early: a client that broke off its own gets told so, if it still listens.
    fn cut(&self, detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        match self.peer {
            Side::Client => Error::bad_request(detail),
            peer => Error::cut(peer, detail),
        }
    }

    fn blame(&self, reject: Reject) -> Error {
        match self.peer {
            Side::Backend => Error::new(Kind::BackendInvalid, reject.rule),
            _ => Error::from(reject),
        }
    }

    /// Bytes waiting to be written.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Room for another piece of a body.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.output.len() < if memory::is_short() { OUTPUT_WHEN_SHORT } else { OUTPUT_HIGH_WATER }
    }

    /// Queues bytes for writing.
    pub fn queue(&mut self, bytes: Bytes) {
        self.output.push(bytes);
    }

    /// The buffer that a head is written into.
    pub fn head_buffer(&mut self) -> &mut BytesMut {
        self.output.tail()
    }

    /// Queues an interim response, if the client may get one now.
    pub fn queue_interim(&mut self, status: StatusCode, headers: &HeaderMap) {
        // One 100 is enough, whoever sends it: the backend, or the body's first reader.
        let unwanted = status == StatusCode::CONTINUE && !std::mem::take(&mut self.owes_continue);
        if self.takes_interim && !unwanted {
            encode::interim_head(self.output.tail(), status, headers);
        }
    }

    /// Writes all that is queued.
    ///
    /// # Errors
    /// The socket's error.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.len() > 0 {
            self.bytes_written += ready!(self.output.poll_write(&mut self.io, cx))? as u64;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes all that is queued, then ends our direction of the connection.
    ///
    /// # Errors
    /// The socket's error.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
