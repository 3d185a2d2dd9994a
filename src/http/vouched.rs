//! Fields of a request that a connector adds to it without putting them into a map first.
//!
//! ```text
//!   FixedFields  the same for many requests: made once, as fields and as HTTP/1 lines
//!   id           of this request: x-request-id, and the traceparent it makes
//! ```
//!
//! Refuses to be looked into: whoever decides by fields has them in the map.

use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::id::RequestId;

/// The request id, towards backend and client alike.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The trace's parent (W3C Trace Context, 3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Fields that many requests share.
#[derive(Debug)]
pub struct FixedFields {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// The same as HTTP/1 field lines (RFC 9112, 5).
    lines: Bytes,
}

impl FixedFields {
    /// Fields that are neither framing nor hop-by-hop.
    #[must_use]
    pub fn new(fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        let mut lines = BytesMut::new();
        for (name, value) in &fields {
            put_line(&mut lines, name, value.as_bytes());
        }
        Self { fields, lines: lines.freeze() }
    }
}

/// What one request has beside its map.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// Shared with other requests.
    pub fields: Rc<FixedFields>,
    /// Its id, unless the map has it, and whether the id makes its `traceparent`.
    pub id: Option<(RequestId, bool)>,
}

impl Vouched {
    /// Writes the fields as HTTP/1 lines.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(&self.fields.lines);
        if let Some((id, traced)) = &self.id {
            put_line(out, &X_REQUEST_ID, id.as_str().as_bytes());
            if *traced {
                put_line(out, &TRACEPARENT, &id.traceparent_text());
            }
        }
    }

    /// Puts the fields into a map after all.
    pub fn append_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields.fields {
            headers.append(name, value.clone());
        }
        if let Some((id, traced)) = &self.id {
            headers.append(X_REQUEST_ID, id.header_value());
            if *traced {
                headers.append(TRACEPARENT, id.traceparent());
            }
        }
    }
}

fn put_line(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
