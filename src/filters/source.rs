//! Where a direction's items come from: the head that is there already, then the frames of the body.
//!
//! ```text
//!   body ─frame─▶ (content coding taken off) ─▶ Data … Data, the last | Trailers
//! ```

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::codec::Decoder;
use super::flow::Item;
use super::stream::{Shared, Way};
use crate::error::{Error, Kind, Result};
use crate::http::Body;

/// The beginning of a direction.
pub(super) struct Source {
    body: Body,
    way: Way,
    state: State,
    decoding: Option<Decoding>,
    begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head has not been pulled; whether the message ends with it.
    Head(bool),
    /// The body is being pulled.
    Body,
    /// The body has ended; so will the decoder.
    Draining(End),
    /// Nothing is left.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Data,
    Trailers,
}

struct Decoding {
    decoder: Decoder,
    input: Bytes,
}

impl Source {
    /// A head whose body is `body`; `ended`: there is none.
    pub(super) fn new(body: Body, ended: bool, way: Way, decoder: Option<Decoder>) -> Self {
        let decoding = decoder.map(|decoder| Decoding { decoder, input: Bytes::new() });
        Self { body, way, state: State::Head(ended), decoding, begun: false }
    }

    /// The next item.
    pub(super) fn poll_item(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Result<Item>> {
        loop {
            if matches!(self.state, State::Body | State::Draining(_))
                && let Some(bytes) = self.decode()?
            {
                shared.with(|data| data.sizes[self.way as usize] += bytes.len() as u64);
                return Poll::Ready(Ok(Item::Data(bytes, false)));
            }
            match self.state {
                State::Head(ended) => {
                    self.state = if ended { State::Ended } else { State::Body };
                    return Poll::Ready(Ok(Item::Head(ended)));
                }
                State::Draining(end) => {
                    self.state = State::Ended;
                    if let Some(decoding) = &self.decoding {
                        decoding.decoder.finish().map_err(|error| self.undecodable(&error))?;
                    }
                    let last = if end == End::Data { Item::Data(Bytes::new(), true) } else { Item::Trailers };
                    return Poll::Ready(Ok(last));
                }
                State::Ended => return Poll::Ready(Ok(Item::Data(Bytes::new(), true))),
                State::Body => {
                    if let Some(item) = ready!(self.poll_frame(shared, cx))? {
                        return Poll::Ready(Ok(item));
                    }
                }
            }
        }
    }

    /// The next frame; `None` when it went into the decoder.
    fn poll_frame(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Result<Option<Item>>> {
        let frame = ready!(self.body.poll_frame(cx));
        self.begun = true;
        let Some(frame) = frame else {
            self.state = State::Draining(End::Data);
            return Poll::Ready(Ok(None));
        };
        match frame?.into_data() {
            Ok(bytes) => {
                if let Some(decoding) = &mut self.decoding {
                    decoding.input = bytes;
                    return Poll::Ready(Ok(None));
                }
                let ended = self.body.is_empty();
                if ended {
                    self.state = State::Ended;
                }
                shared.with(|data| data.sizes[self.way as usize] += bytes.len() as u64);
                Poll::Ready(Ok(Some(Item::Data(bytes, ended))))
            }
            Err(frame) => {
                self.state = State::Draining(End::Trailers);
                let trailers = frame.into_trailers().unwrap_or_default();
                shared.with(|data| data.trailers[self.way as usize] = Some(trailers));
                Poll::Ready(Ok(None))
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Bytes>> {
        let Some(decoding) = &mut self.decoding else { return Ok(None) };
        loop {
            match decoding.decoder.decode(&mut decoding.input) {
                // Much work, little to show for it: there may be more.
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(piece) => return Ok(piece),
                Err(error) => return Err(self.undecodable(&error)),
            }
        }
    }

    fn undecodable(&self, error: &super::codec::DecodeError) -> Error {
        match self.way {
            Way::Request => Error::bad_request(format!("Content-Encoding: {error}")),
            Way::Response => Error::new(Kind::BackendInvalid, format!("Content-Encoding: {error}")),
        }
    }

    /// The body's length, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.state {
            State::Head(true) | State::Ended => Some(0),
            _ if self.decoding.is_some() => None,
            State::Head(false) | State::Body | State::Draining(_) => self.body.length(),
        }
    }

    /// Whether some of the body has been read.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Leaves the content coding on after all; `false`: some of the body has been decoded.
    pub(super) fn leave_coded(&mut self) -> bool {
        if !self.begun {
            self.decoding = None;
        }
        !self.begun
    }

    /// The body, behind its head and before its first byte.
    pub(super) fn take_untouched(&mut self) -> Option<Body> {
        (self.state == State::Body && !self.begun && self.decoding.is_none())
            .then(|| std::mem::replace(&mut self.body, Body::Empty))
    }

    /// Another body in the place of this one, whose head has been passed on.
    pub(super) fn replace(&mut self, bytes: Bytes) {
        self.state = if bytes.is_empty() { State::Ended } else { State::Body };
        self.body = Body::Full(bytes);
        self.decoding = None;
        self.begun = false;
    }
}
