//! The content coding of a body: taken off for filters that want it decoded, put on again behind them.

use bytes::BytesMut;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use super::{Flow, Item};
use crate::error::{Error, Kind, Result};
use crate::filters::chain::Passage;
use crate::filters::codec::{Coding, EncodeError, Encoder, Levels};
use crate::filters::plugin::BodyMode;
use crate::filters::stream::{Data, Way};

/// A body whose content coding was taken off for the filters and is put on again behind them.
pub(super) struct Coded {
    /// The value of `Content-Encoding`.
    names: Vec<HeaderValue>,
    encoder: Encoder,
}

impl Flow {
    /// Behind the filters the head says again how the body is coded, and no more than is true.
    pub(super) fn put_coding_back(&mut self, rewrites: bool) {
        let way = self.way as usize;
        if self.done {
            // A filter has made the body away, or its reply has none.
            self.coded = None;
        }
        let coded = self.coded.as_ref();
        self.passage.shared.with(|data| {
            let headers = &mut data.headers[way];
            for name in coded.iter().flat_map(|coded| &coded.names) {
                headers.append(header::CONTENT_ENCODING, name.clone());
            }
            if self.way == Way::Response && (coded.is_some() || rewrites) {
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
                coded.encoder.write(&bytes, &mut out).map_err(failed)?;
                coded.encoder.flush(&mut out).map_err(failed)?;
                self.coded = Some(coded);
                Item::Data(out.freeze(), false)
            }
            Item::Data(bytes, true) => {
                coded.encoder.write(&bytes, &mut out).map_err(failed)?;
                coded.encoder.finish(&mut out).map_err(failed)?;
                Item::Data(out.freeze(), true)
            }
            Item::Trailers => {
                coded.encoder.finish(&mut out).map_err(failed)?;
                self.last = Some(Item::Trailers);
                Item::Data(out.freeze(), false)
            }
            Item::Head(end) => Item::Head(end),
        })
    }
}

/// The codings to take off for filters that want a body decoded, and whether that can be done.
pub(super) fn codings(passage: &Passage, way: Way, bodiless: bool, order: &[usize]) -> (Vec<Coding>, bool) {
    let decodes = |&filter: &usize| {
        let plugin = &passage.filters[filter].plugin;
        plugin.settings.bodies[way as usize] == BodyMode::Decoded
    };
    if bodiless || !order.iter().any(decodes) {
        return (Vec::new(), true);
    }
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
    let encoder = Encoder::new(codings, Levels::default()).ok()?;
    let names = passage.shared.with(|data| {
        let headers = &mut data.headers[way as usize];
        let names: Vec<HeaderValue> = headers.get_all(header::CONTENT_ENCODING).iter().cloned().collect();
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        names
    })?;
    Some(Coded { names, encoder })
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
