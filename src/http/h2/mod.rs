//! HTTP/2 bodies and responders on the `h2` crate, used on all four ends: clients, link, backends.
//!
//! Credit goes back to the sender only when the next hop took the bytes, and no more is queued
//! for sending than the peer's window and [`H2_SEND_BUFFER`] allow. The room refuses to hide a
//! reset: a body cut by the peer ends in an error, never in a clean end.

pub mod client;
mod guard;
mod responder;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, header};

pub use guard::StreamGuard;
pub use responder::Responder;
pub use watch::{End, Watch, Watched};

use super::body::{Body, Frame, data, trailers};
use super::fields::strip_forbidden_trailers;
use super::patience::{Patience, Stall, Waits};
use crate::error::{Error, Kind, Side};
use crate::limits::{CRUMB_BYTES, GATHERED_BYTES, H2_SEND_BUFFER};

/// The body of an HTTP/2 message.
pub struct H2Body {
    stream: RecvStream,
    length: Option<u64>,
    peer: Side,
    /// Bytes handed out whose credit has not been returned: the next poll says they are gone.
    owed: usize,
    data_ended: bool,
    pace: Option<Box<Pace>>,
    _guard: Option<StreamGuard>,
}

/// How long the sender of a body is waited for.
struct Pace {
    patience: Patience,
    /// Knows whether the sender has its answer.
    responder: Responder,
    waits: Waits,
    received: u64,
}

impl Pace {
    /// Whether the sender is waited for in vain.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let patience = if self.responder.has_answered() { self.patience.at_any_rate() } else { self.patience };
        ready!(self.waits.poll_over(patience, self.received, cx));
        let detail = format!("the body stopped or trickled: {} bytes came", self.received);
        Poll::Ready(Error::new(Kind::RequestTimeout, detail))
    }
}

impl H2Body {
    /// A body sent by `peer`; `headers` are its message's.
    #[must_use]
    pub fn new(stream: RecvStream, headers: &HeaderMap, peer: Side) -> Self {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|digits| digits.parse().ok());
        Self { stream, length, peer, owed: 0, data_ended: false, pace: None, _guard: None }
    }

    /// The same body, holding `guard` while it lives.
    #[must_use]
    pub fn guarded(mut self, guard: StreamGuard) -> Self {
        self._guard = Some(guard);
        self
    }

    /// The same body, which breaks when its sender takes longer than `patience`, whose rate holds until
    /// `responder` has answered.
    #[must_use]
    pub fn patient_for(mut self, patience: Patience, responder: &Responder) -> Self {
        let responder = responder.clone();
        self.pace = Some(Box::new(Pace { patience, responder, waits: Waits::default(), received: 0 }));
        self
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn length(&self) -> Option<u64> {
        if self.stream.is_end_stream() { Some(0) } else { self.length }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if self.owed > 0 {
            let owed = std::mem::take(&mut self.owed);
            let _ = self.stream.flow_control().release_capacity(owed);
        }
        if !self.data_ended {
            let polled = self.stream.poll_data(cx);
            if let Some(pace) = &mut self.pace {
                if polled.is_pending() {
                    return pace.poll_late(cx).map(|late| Some(Err(late.on(self.peer))));
                }
                pace.waits.end();
            }
            match ready!(polled) {
                Some(Ok(bytes)) => {
                    let bytes = if bytes.len() < CRUMB_BYTES { self.gather(bytes, cx) } else { bytes };
                    self.owed = bytes.len();
                    if let Some(pace) = &mut self.pace {
                        pace.received += bytes.len() as u64;
                    }
                    return Poll::Ready(Some(Ok(data(bytes))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.cut(&error)))),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(mut fields)) => {
                strip_forbidden_trailers(&mut fields);
                Poll::Ready((!fields.is_empty()).then(|| Ok(trailers(fields))))
            }
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(self.cut(&error)))),
        }
    }

    /// A crumb and what is there behind it. Waits for nothing; an end or an error is the next poll's to tell.
    fn gather(&mut self, crumb: Bytes, cx: &mut Context<'_>) -> Bytes {
        let mut gathered = BytesMut::new();
        while gathered.len().max(crumb.len()) < GATHERED_BYTES && !self.stream.is_end_stream() {
            let Poll::Ready(Some(Ok(bytes))) = self.stream.poll_data(cx) else { break };
            if gathered.is_empty() {
                gathered.extend_from_slice(&crumb);
            }
            gathered.extend_from_slice(&bytes);
        }
        if gathered.is_empty() { crumb } else { gathered.freeze() }
    }

    fn cut(&self, error: &h2::Error) -> Error {
        Error::cut(self.peer, format!("HTTP/2 stream: {error}"))
    }
}

impl Drop for H2Body {
    fn drop(&mut self) {
        if self.owed > 0 {
            let _ = self.stream.flow_control().release_capacity(self.owed);
        }
    }
}

/// A first piece up to this size is handed to the connection without asking for credit: one frame
/// of the smallest size HTTP/2 allows.
const UNASKED_BYTES: usize = 16 * 1024;

/// Sends a body on a stream, as fast as the peer takes it. Completes when the last frame was
/// handed to the connection.
pub struct SendBody {
    stream: SendStream<Bytes>,
    body: Body,
    pending: Bytes,
    finished: bool,
    touched: bool,
    /// Who is at the other end of the stream.
    peer: Side,
    /// How long the peer may leave us without credit, and since when it has.
    patience: Option<Duration>,
    stalled: Stall,
    /// Bytes handed to the connection.
    pub sent: u64,
}

impl SendBody {
    /// Sends `body` on `stream`, whose head has been sent without END_STREAM.
    #[must_use]
    pub fn new(stream: SendStream<Bytes>, body: Body, peer: Side) -> Self {
        Self {
            stream,
            body,
            pending: Bytes::new(),
            finished: false,
            touched: false,
            peer,
            patience: None,
            stalled: Stall::default(),
            sent: 0,
        }
    }

    /// The same, but a peer that gives no credit for `patience` has its stream reset.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The body, if no byte of it was taken; the stream is reset.
    #[must_use]
    pub fn into_untouched(mut self) -> Option<Body> {
        (!self.touched).then(|| std::mem::replace(&mut self.body, Body::Empty))
    }

    fn reset_by_peer(&self, error: &h2::Error) -> Error {
        Error::cut(self.peer, format!("HTTP/2 stream: {error}"))
    }

    /// Resets the stream so that the peer cannot take what it got for all there is.
    fn abort(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
        self.finished = true;
    }

    /// How much may be sent now. A small first piece need not ask: the connection holds it back if
    /// it must, and most bodies are one.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        if self.sent == 0 && self.pending.len() <= UNASKED_BYTES {
            return Poll::Ready(Ok(self.pending.len()));
        }
        self.stream.reserve_capacity(self.pending.len().min(H2_SEND_BUFFER));
        let polled = self.stream.poll_capacity(cx);
        if let (Poll::Pending, Some(patience)) = (&polled, self.patience) {
            ready!(self.stalled.poll_over(patience, cx));
            return Poll::Ready(Err(Error::cut(self.peer, format!("no credit for {patience:?}"))));
        }
        self.stalled.end();
        Poll::Ready(match ready!(polled) {
            Some(Ok(capacity)) => Ok(capacity),
            Some(Err(error)) => Err(self.reset_by_peer(&error)),
            None => Err(Error::cut(self.peer, "the stream is closed")),
        })
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if !self.pending.is_empty() {
            let capacity = ready!(self.poll_capacity(cx))?;
            let piece = self.pending.split_to(capacity.min(self.pending.len()));
            self.sent += piece.len() as u64;
            // The last piece says that it is the last, instead of an empty frame after it.
            let ends = self.pending.is_empty() && self.body.is_empty();
            self.stream.send_data(piece, ends).map_err(|error| self.reset_by_peer(&error))?;
            return Poll::Ready(Ok(ends));
        }
        match self.body.poll_frame(cx) {
            Poll::Pending => {
                // A peer that resets the stream must not wait for the next byte to be noticed.
                let reason = ready!(self.stream.poll_reset(cx)).map_err(|error| self.reset_by_peer(&error))?;
                Poll::Ready(Err(Error::cut(self.peer, format!("the stream was reset: {reason}"))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.touched = true;
                match frame.into_data() {
                    Ok(bytes) => {
                        self.pending = bytes;
                        Poll::Ready(Ok(false))
                    }
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            self.stream.send_trailers(fields).map_err(|error| self.reset_by_peer(&error))?;
                        }
                        Poll::Ready(Ok(true))
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.abort(Reason::INTERNAL_ERROR);
                Poll::Ready(Err(error))
            }
            Poll::Ready(None) => {
                self.stream.send_data(Bytes::new(), true).map_err(|error| self.reset_by_peer(&error))?;
                Poll::Ready(Ok(true))
            }
        }
    }
}

impl Future for SendBody {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if ready!(self.poll_step(cx))? {
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Drop for SendBody {
    fn drop(&mut self) {
        if !self.finished {
            self.abort(Reason::CANCEL);
        }
    }
}
