//! What a relay stream says about its request beside the request: one field instead of many.
//!
//! ```text
//!   lockgate-envelope: revision TAB app TAB proto TAB host TAB via        (a slot may be empty)
//!                                       └─ x-forwarded-proto, x-forwarded-host, via of the backend's request
//!   etag:              the request id            traceparent: absent when the request id makes it
//! ```
//!
//! From one request to the next of an app and a client's version it is the same, so HPACK sends
//! it as one byte, and each end does the work of one field where there were eight. The request id
//! travels as `etag`: a name of HPACK's static table that is never indexed (RFC 7541, 6.2.2) and
//! means nothing in a request; where a client did send one, the id keeps its own name. What does
//! not fit a slot (two values, a TAB) stays a field of its own. Refuses to carry anything that
//! differs with each request.

use std::cell::RefCell;
use std::rc::Rc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::field;
use crate::http::vouched::{FixedFields, TRACEPARENT, Vouched, X_REQUEST_ID};
use crate::id::RequestId;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The request id under its name on the link.
const CARRIER: HeaderName = header::ETAG;

/// The fields with a slot, in the order of their slots.
const FOLDED: [HeaderName; 3] = [X_FORWARDED_PROTO, X_FORWARDED_HOST, header::VIA];

/// Envelopes a worker remembers: more than the apps × versions × schemes most workers see at a
/// time, at some 200 bytes each. One that was forgotten is written again.
const REMEMBERED: usize = 256;

/// Writes envelopes; the edge's half.
pub struct Writer {
    written: RefCell<Box<[Option<Written>]>>,
}

struct Written {
    parts: [Option<HeaderValue>; 3],
    app: HeaderValue,
    revision: HeaderValue,
    envelope: HeaderValue,
}

impl Default for Writer {
    fn default() -> Self {
        Self { written: RefCell::new((0..REMEMBERED).map(|_| None).collect()) }
    }
}

impl Writer {
    /// The fields of a relay stream for a request with `headers`, with room for three more.
    #[must_use]
    pub fn fold(&self, app: &HeaderValue, revision: &HeaderValue, headers: &HeaderMap) -> HeaderMap {
        let mut folded = HeaderMap::with_capacity(headers.len() + 4);
        let mut parts = [const { None::<HeaderValue> }; 3];
        let mut spilled = [false; 3];
        let mut id = None;
        let mut parent = None;
        let mut carrier = CARRIER;
        for (name, value) in headers {
            let slot = match name.as_str() {
                "x-forwarded-proto" => 0,
                "x-forwarded-host" => 1,
                "via" => 2,
                "x-request-id" if id.is_none() => {
                    id = Some(value);
                    continue;
                }
                "traceparent" if parent.is_none() => {
                    parent = Some(value);
                    continue;
                }
                known => {
                    if known == CARRIER.as_str() {
                        carrier = X_REQUEST_ID;
                    }
                    folded.append(name, value.clone());
                    continue;
                }
            };
            // A second value, or one that no slot can hold: all of them stay fields, in order.
            let fits = !value.is_empty() && memchr::memchr(b'\t', value.as_bytes()).is_none();
            if fits && parts[slot].is_none() && !spilled[slot] {
                parts[slot] = Some(value.clone());
            } else {
                spilled[slot] = true;
                if let Some(first) = parts[slot].take() {
                    folded.append(name, first);
                }
                folded.append(name, value.clone());
            }
        }
        fold_trace(&mut folded, carrier, id, parent);
        folded.insert(field::ENVELOPE, self.envelope(app, revision, parts));
        folded
    }

    fn envelope(&self, app: &HeaderValue, revision: &HeaderValue, parts: [Option<HeaderValue>; 3]) -> HeaderValue {
        let mut written = self.written.borrow_mut();
        let place = &mut written[place_of(revision, &parts)];
        if let Some(known) = place
            && known.revision == *revision
            && known.parts == parts
            && known.app == *app
        {
            return known.envelope.clone();
        }
        let mut text = Vec::with_capacity(128);
        text.extend_from_slice(revision.as_bytes());
        for part in std::iter::once(Some(app)).chain(parts.iter().map(Option::as_ref)) {
            text.push(b'\t');
            text.extend_from_slice(part.map(HeaderValue::as_bytes).unwrap_or_default());
        }
        // invariant: field values joined by a TAB are a field value
        let envelope = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        *place = Some(Written { parts, app: app.clone(), revision: revision.clone(), envelope: envelope.clone() });
        envelope
    }
}

/// Where an envelope is remembered. A poor spread costs writing one again, nothing else.
fn place_of(revision: &HeaderValue, parts: &[Option<HeaderValue>; 3]) -> usize {
    let of_parts = parts.iter().flatten().map(|part| {
        let bytes = part.as_bytes();
        bytes.len() * 7 + bytes.first().map_or(0, |&byte| usize::from(byte))
    });
    let of_revision = revision.as_bytes().iter().take(4).fold(0, |sum, &byte| sum * 31 + usize::from(byte));
    (of_revision + of_parts.sum::<usize>()) % REMEMBERED
}

/// The request id under its carrier, and the `traceparent` if it says more than the id does.
fn fold_trace(folded: &mut HeaderMap, carrier: HeaderName, id: Option<&HeaderValue>, parent: Option<&HeaderValue>) {
    let parsed = id.and_then(|id| RequestId::parse(id.as_bytes()));
    if let Some(parent) = parent
        && parsed.is_none_or(|id| parent.as_bytes() != id.traceparent_text())
    {
        folded.append(TRACEPARENT, parent.clone());
    }
    if let Some(id) = id {
        folded.append(if parsed.is_some() { carrier } else { X_REQUEST_ID }, id.clone());
    }
}

/// An envelope as the connector reads it.
pub struct Envelope {
    /// Which app is meant.
    pub app: String,
    /// … in which state of its target.
    pub revision: String,
    /// The fields that were folded into it.
    pub fields: Rc<FixedFields>,
}

impl Envelope {
    /// Reads an envelope; slots that are not known, of a later edge, are passed over.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        let mut slots = value.split(|&byte| byte == b'\t');
        let mut text = || String::from_utf8_lossy(slots.next().unwrap_or_default()).into_owned();
        let (revision, app) = (text(), text());
        let fields = FOLDED.into_iter().zip(slots).filter(|(_, value)| !value.is_empty());
        let fields = fields.filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(value).ok()?)));
        Self { app, revision, fields: Rc::new(FixedFields::new(fields.collect())) }
    }

    /// What the backend's request has beside `headers`; the request id is taken out of them.
    #[must_use]
    pub fn unfold(&self, headers: &mut HeaderMap) -> Vouched {
        let carrier = if headers.contains_key(X_REQUEST_ID) { X_REQUEST_ID } else { CARRIER };
        let id = headers.get(&carrier).and_then(|id| RequestId::parse(id.as_bytes()));
        if id.is_some() {
            headers.remove(carrier);
        }
        // Without an id of ours there is no trace of ours to derive.
        let id = id.map(|id| (id, !headers.contains_key(TRACEPARENT)));
        Vouched { fields: self.fields.clone(), id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for &(name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    /// The headers on the link, and at its other end.
    fn passed(headers: &HeaderMap) -> (HeaderMap, HeaderMap) {
        let writer = Writer::default();
        let (app, revision) = (HeaderValue::from_static("shop"), HeaderValue::from_static("0123456789abcdef"));
        let fold = || writer.fold(&app, &revision, headers);
        let folded = fold();
        assert_eq!(folded, fold(), "remembered or not, it is the same");
        let mut unfolded = folded.clone();
        let value = unfolded.remove(field::ENVELOPE).expect("an envelope");
        let envelope = Envelope::read(value.as_bytes());
        assert_eq!((&*envelope.app, &*envelope.revision), ("shop", "0123456789abcdef"));
        let vouched = envelope.unfold(&mut unfolded);
        let mut lines = BytesMut::new();
        vouched.write(&mut lines);
        vouched.append_to(&mut unfolded);
        let all: String =
            unfolded.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().expect("text"))).collect();
        assert!(all.ends_with(std::str::from_utf8(&lines).expect("text")), "the lines are the same fields");
        (folded, unfolded)
    }

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const DERIVED: &str = "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-01";

    #[test]
    fn what_is_folded_arrives_as_it_was() {
        let plain = map(&[
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.test"),
            ("via", "1.1 lockgate-x"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-request-id", ID),
            ("traceparent", DERIVED),
        ]);
        let (folded, unfolded) = passed(&plain);
        assert_eq!(unfolded, plain);
        assert_eq!(folded.len(), 3, "{folded:?}");
    }

    #[test]
    fn what_does_not_fit_travels_as_it_is() {
        for fields in [
            &[("via", "1.0 a"), ("via", "1.1 lockgate-x"), ("x-request-id", ID), ("traceparent", DERIVED)][..],
            &[("x-forwarded-host", "a\tb"), ("x-request-id", ID), ("traceparent", DERIVED)],
            &[("x-forwarded-proto", ""), ("x-request-id", ID), ("traceparent", DERIVED)],
            &[("etag", "\"mine\""), ("x-request-id", ID), ("traceparent", DERIVED)],
            &[("etag", ID), ("x-request-id", ID), ("traceparent", DERIVED)],
            &[("x-request-id", "short"), ("traceparent", DERIVED)],
            &[
                ("x-request-id", ID),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("tracestate", "a=b"),
            ],
        ] {
            let headers = map(fields);
            assert_eq!(passed(&headers).1, headers, "{fields:?}");
        }
    }
}
