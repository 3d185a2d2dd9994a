//! The head of a relay stream: the request as the backend shall see it, and the link's own fields.
//!
//! Made anew for each attempt, since h2 keeps the head it is given. Refuses a destination that is
//! not behind a link.

use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri, header};

use super::Destination;
use crate::error::{Error, Kind, Result};
use crate::http::Outgoing;
use crate::tunnel::envelope::Writer;
use crate::tunnel::field;

/// The head of one attempt.
pub(super) fn stream_head(
    envelopes: &Writer,
    destination: &Destination,
    label: Option<&str>,
    outgoing: &Outgoing,
) -> Result<http::Request<()>> {
    let Destination::Group { app, revision, host, tls, .. } = destination else {
        return Err(Error::new(Kind::Internal, "a local destination has no relay stream"));
    };
    let invalid = |error: http::Error| Error::new(Kind::Internal, format!("a relay stream's head: {error}"));
    let mut head = http::Request::new(());
    let target = outgoing.target.clone();
    // Without an authority h2 writes no `:authority`, as for requests translated from HTTP/1.1
    // (RFC 9113, 8.3.1), which is what most of them are.
    *head.uri_mut() = if outgoing.host == *host && !outgoing.websocket {
        Uri::from(target)
    } else {
        with_authority(target, &outgoing.host, *tls).map_err(invalid)?
    };
    let mut headers = envelopes.fold(app, revision, &outgoing.headers);
    if let Some(label) = label.and_then(|label| HeaderValue::from_str(label).ok()) {
        headers.insert(field::LABEL, label);
    }
    if outgoing.expects_continue {
        headers.insert(field::EXPECT, HeaderValue::from_static("100-continue"));
    }
    if let Some(length) = outgoing.body.length().filter(|&length| length > 0) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    *head.headers_mut() = headers;
    if outgoing.websocket {
        *head.method_mut() = Method::CONNECT;
        head.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    } else {
        *head.method_mut() = outgoing.method.clone();
    }
    Ok(head)
}

fn with_authority(target: PathAndQuery, host: &HeaderValue, tls: bool) -> Result<Uri, http::Error> {
    let host = bytes::Bytes::copy_from_slice(host.as_bytes());
    let mut parts = Parts::default();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::from_maybe_shared(host)?);
    parts.path_and_query = Some(target);
    Ok(Uri::from_parts(parts)?)
}
