//! A body that arrives in pieces of a chosen size, as it would from a network.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use crate::error::{Error, Result};
use crate::http::{Body, Frame, body};

/// How a body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunking {
    /// Not at all.
    All,
    /// Into pieces of so many bytes.
    Size(usize),
    /// Into pieces of one to so many bytes, by chance; the seed makes it repeatable.
    Random(usize, u64),
}

impl Chunking {
    /// Without a word about it: whole, byte by byte, an odd size, a large one, and by chance.
    pub(super) const DEFAULT: [Self; 5] =
        [Self::All, Self::Size(1), Self::Size(7), Self::Size(16_384), Self::Random(64, 1)];

    /// Reads `all`, a number, `random` or `random:MAX`.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is no chunking; write all, a number of bytes, random or random:MAX");
        let size = |text: &str| text.parse().ok().filter(|&size| size > 0).ok_or_else(wrong);
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            None if text == "random" => Ok(Self::Random(64, 1)),
            None => size(text).map(Self::Size),
            Some(("random", max)) => size(max).map(|max| Self::Random(max, 1)),
            Some(_) => Err(wrong()),
        }
    }

    fn cut(self, body: &Bytes) -> VecDeque<Bytes> {
        let mut chance = fastrand::Rng::with_seed(if let Self::Random(_, seed) = self { seed } else { 0 });
        let (mut rest, mut pieces) = (body.clone(), VecDeque::new());
        while !rest.is_empty() {
            let size = match self {
                Self::All => rest.len(),
                Self::Size(size) => size,
                Self::Random(max, _) => chance.usize(1..=max),
            };
            pieces.push_back(rest.split_to(size.min(rest.len())));
        }
        pieces
    }
}

impl fmt::Display for Chunking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Size(size) => write!(f, "{size}"),
            Self::Random(max, seed) => write!(f, "random:{max} (seed {seed})"),
        }
    }
}

/// The body of a message with these fields. Its length is known if they say one.
pub(super) fn arriving(headers: &HeaderMap, body: &Bytes, trailers: &HeaderMap, chunking: Chunking) -> Body {
    if body.is_empty() && trailers.is_empty() {
        return Body::Empty;
    }
    let left = headers.contains_key(CONTENT_LENGTH).then_some(body.len() as u64);
    let trailers = (!trailers.is_empty()).then(|| trailers.clone());
    Body::Boxed(Box::pin(Arriving { pieces: chunking.cut(body), trailers, left }))
}

struct Arriving {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    left: Option<u64>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
            return Poll::Ready(Some(Ok(body::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(body::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        // Without a length the end comes by itself, after the last piece, as in chunked coding.
        self.pieces.is_empty() && self.trailers.is_none() && self.left.is_some()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.left.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// Everything of a body, and its trailers.
pub(super) async fn whole(mut body: Body) -> Result<(Bytes, HeaderMap)> {
    let (mut bytes, mut trailers) = (bytes::BytesMut::new(), HeaderMap::new());
    while let Some(frame) = std::future::poll_fn(|cx| body.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((bytes.freeze(), trailers))
}
