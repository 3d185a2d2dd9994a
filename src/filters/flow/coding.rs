//! The content coding of a body: taken off for filters that want it decoded, put on again behind them.

use bytes::BytesMut;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::{Flow, Item};
use crate::error::{Error, Kind, Result};
use crate::filters::chain::Passage;
use crate::filters::codec::{Coding, EncodeError, Encoder, Levels};
use crate::filters::stream::{Data, Way};

/// A body whose content coding was taken off for the filters and is put on again behind them.
pub(super) struct Coded {
    /// The value of `Content-Encoding`.
    names: Vec<HeaderValue>,
    /// The length before it was taken off.
    length: Option<HeaderValue>,
    codings: Vec<Coding>,
    levels: Levels,
    /// Made at the first byte: most bodies whose coding is taken off turn out to concern no filter.
    encoder: Option<Encoder>,
}

impl Coded {
    fn encoder(&mut self) -> std::result::Result<&mut Encoder, EncodeError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => Encoder::new(&self.codings, self.levels)?,
        };
        Ok(self.encoder.insert(encoder))
    }

    fn finish(mut self, bytes: &[u8], out: &mut BytesMut) -> std::result::Result<(), EncodeError> {
        self.encoder()?.write(bytes, out)?;
        self.encoder.map_or(Ok(()), |encoder| encoder.finish(out))
    }
}

impl Flow {
    /// No filter wants the body after all: it passes as it came.
    pub(super) fn leave_coded(&mut self) {
        if self.coded.is_none() || !self.source.leave_coded() {
            return;
        }
        let Some(Coded { names, length, .. }) = self.coded.take() else { return };
        self.passage.shared.with(|data| {
            let headers = &mut data.headers[self.way as usize];
            for name in names {
                headers.append(header::CONTENT_ENCODING, name);
            }
            if let Some(length) = length {
                headers.insert(header::CONTENT_LENGTH, length);
            }
        });
    }

    /// Behind the filters the head says again how the body is coded, and no more than is true.
    pub(super) fn put_coding_back(&mut self, rewrites: bool) {
        let way = self.way as usize;
        if self.done {
            // A filter has made the body away, or its reply has none.
            self.coded = None;
        }
        let coded = self.coded.as_ref();
        if coded.is_none() && !rewrites {
            return;
        }
        self.passage.shared.with(|data| {
            let headers = &mut data.headers[way];
            for name in coded.iter().flat_map(|coded| &coded.names) {
                headers.append(header::CONTENT_ENCODING, name.clone());
            }
            if self.way == Way::Response {
                forget_the_bytes(headers);
            }
        });
    }

    /// Puts the content coding on again; flushed at each chunk, so that nothing waits for the next.
    pub(super) fn encode(&mut self, item: Item) -> Result<Item> {
        let Some(mut coded) = self.coded.take() else { return Ok(item) };
        let mut out = BytesMut::new();
        let failed = |error: EncodeError| Error::new(Kind::Internal, format!("encoding a body: {error}"));
        Ok(match item {
            Item::Data(bytes, false) => {
                let encoder = coded.encoder().map_err(failed)?;
                encoder.write(&bytes, &mut out).map_err(failed)?;
                encoder.flush(&mut out).map_err(failed)?;
                self.coded = Some(coded);
                Item::Data(out.freeze(), false)
            }
            Item::Data(bytes, true) => {
                coded.finish(&bytes, &mut out).map_err(failed)?;
                Item::Data(out.freeze(), true)
            }
            Item::Trailers => {
                coded.finish(&[], &mut out).map_err(failed)?;
                self.last = Some(Item::Trailers);
                Item::Data(out.freeze(), false)
            }
            Item::Head(end) => Item::Head(end),
        })
    }
}

/// The codings to take off for filters that want a body decoded, and whether that can be done.
pub(super) fn codings(passage: &Passage, way: Way) -> (Vec<Coding>, bool) {
    let look = |data: &mut Data| {
        // A part of a coded body cannot be decoded (RFC 9110, 15.3.7).
        let partial = way == Way::Response && data.status == Some(StatusCode::PARTIAL_CONTENT);
        if partial { None } else { Some(Coding::list(&data.headers[way as usize])) }
    };
    match passage.shared.with(look).flatten() {
        Some(Ok(codings)) => (codings, true),
        Some(Err(unknown)) => {
            tracing::debug!(%unknown, "a body passes its filters by");
            (Vec::new(), false)
        }
        None => (Vec::new(), false),
    }
}

pub(super) fn take_coding(passage: &Passage, way: Way, codings: &[Coding]) -> Option<Coded> {
    if codings.is_empty() {
        return None;
    }
    let (names, length) = passage.shared.with(|data| {
        let headers = &mut data.headers[way as usize];
        let names: Vec<HeaderValue> = headers.get_all(header::CONTENT_ENCODING).iter().cloned().collect();
        headers.remove(header::CONTENT_ENCODING);
        (names, headers.remove(header::CONTENT_LENGTH))
    })?;
    Some(Coded { names, length, codings: codings.to_vec(), levels: passage.levels, encoder: None })
}

/// A response whose bytes are not the backend's any more does not say what theirs were (RFC 9110, 8.8.1).
pub(super) fn forget_the_bytes(headers: &mut HeaderMap) {
    for name in ["content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
        headers.remove(name);
    }
    let weak = headers
        .get(header::ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
        .map(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()));
    if let Some(Ok(weak)) = weak {
        headers.insert(header::ETAG, weak);
    }
}
