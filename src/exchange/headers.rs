//! Fields that change on the way through: what ends here, what we vouch for, what marks our way.
//!
//! Client-sent fields that a proxy would vouch for are dropped unless the peer is a trusted proxy
//! (RFC 7239, 8.1); what `Connection` names is removed before ours are added, so that a client
//! cannot take them off again (CVE-2024-45410 of Traefik).

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::error::{Error, Kind, Result};
use crate::http::fields::{is_forwarding, strip_hop_by_hop};
use crate::http::{Authority, Peer, Version};
use crate::id::{RequestId, trace_id_of};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The request id, towards backend and client alike.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The pseudonym of this edge in `Via`, by which it recognises its own requests (RFC 9110, 7.6.3).
#[derive(Clone)]
pub struct Identity {
    pseudonym: String,
    via: [HeaderValue; 3],
}

impl Identity {
    /// A pseudonym, unique per edge.
    #[must_use]
    pub fn new(unique: &str) -> Self {
        let pseudonym = format!("lockgate-{unique}");
        let via = [Version::Http10, Version::Http11, Version::Http2].map(|version| {
            HeaderValue::from_str(&format!("{} {pseudonym}", version.via()))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 lockgate"))
        });
        Self { pseudonym, via }
    }

    fn via(&self, version: Version) -> HeaderValue {
        self.via[version as usize].clone()
    }
}

/// What the forwarding fields of one request say.
pub(super) struct Forwarding<'a> {
    pub(super) peer: &'a Peer,
    pub(super) trusted: bool,
    pub(super) id: RequestId,
    pub(super) authority: &'a Authority,
    pub(super) version: Version,
}

/// The id of a request: a trusted proxy's, or a new one.
pub(super) fn request_id(headers: &HeaderMap, trusted: bool) -> RequestId {
    let given = || {
        let id = headers.get(X_REQUEST_ID).and_then(|id| RequestId::parse(id.as_bytes()));
        id.or_else(|| headers.get(TRACEPARENT).and_then(|parent| trace_id_of(parent.as_bytes())))
    };
    if trusted { given() } else { None }.unwrap_or_else(RequestId::random)
}

/// Makes the fields the backend gets out of the ones the client sent.
///
/// # Errors
/// `loop-detected` when the request has been here before.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    forwarding: &Forwarding<'_>,
    identity: &Identity,
    forwarded_header: bool,
) -> Result<()> {
    if headers.contains_key(header::VIA) {
        refuse_loop(headers, identity)?;
    }
    strip_hop_by_hop(headers);
    // The framing of the next hop is its own business, by what the body says of itself.
    headers.remove(header::CONTENT_LENGTH);
    let before = forwarding.trusted.then(|| Believed::of(headers));
    if headers.keys().any(is_forwarding) {
        let vouched: Vec<HeaderName> = headers.keys().filter(|name| is_forwarding(name)).cloned().collect();
        for name in vouched {
            headers.remove(name);
        }
    }
    vouch(headers, forwarding, before, forwarded_header);
    headers.append(header::VIA, identity.via(forwarding.version));
    Ok(())
}

/// What a trusted proxy said before us.
#[derive(Default)]
struct Believed {
    chain: Option<HeaderValue>,
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    tracestate: Option<HeaderValue>,
}

impl Believed {
    fn of(headers: &HeaderMap) -> Self {
        let one = |name: &HeaderName| headers.get(name).cloned();
        Self {
            chain: joined(headers, &X_FORWARDED_FOR),
            proto: one(&X_FORWARDED_PROTO),
            host: one(&X_FORWARDED_HOST),
            forwarded: joined(headers, &header::FORWARDED),
            traceparent: one(&TRACEPARENT).filter(|parent| trace_id_of(parent.as_bytes()).is_some()),
            tracestate: joined(headers, &TRACESTATE),
        }
    }
}

fn vouch(headers: &mut HeaderMap, forwarding: &Forwarding<'_>, before: Option<Believed>, forwarded_header: bool) {
    let before = before.unwrap_or_default();
    let Forwarding { peer, id, authority, .. } = forwarding;
    let host = || authority.header_value();
    if forwarded_header && let Some(element) = forwarded_element(canonical(peer.addr.ip()), peer, authority) {
        headers.insert(header::FORWARDED, appended(before.forwarded, &element));
    }
    let client = match before.chain {
        Some(chain) => appended(Some(chain), &canonical(peer.addr.ip()).to_string()),
        None => peer.client.clone(),
    };
    headers.insert(X_FORWARDED_FOR, client);
    let proto = HeaderValue::from_static(peer.scheme.as_str());
    headers.insert(X_FORWARDED_PROTO, before.proto.unwrap_or(proto));
    if let Some(host) = before.host.or_else(host) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_REQUEST_ID, id.header_value());
    // A trace that a trusted proxy began goes on; otherwise the request id begins one.
    if let Some(parent) = before.traceparent {
        headers.insert(TRACEPARENT, parent);
        if let Some(state) = before.tracestate {
            headers.insert(TRACESTATE, state);
        }
    } else {
        headers.insert(TRACEPARENT, id.traceparent());
    }
}

/// An IPv4 client of a dual-stack listener is an IPv4 client.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `for=…;host=…;proto=…` (RFC 7239, 4).
fn forwarded_element(client: IpAddr, peer: &Peer, authority: &Authority) -> Option<String> {
    let node = match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    Some(format!("for={node};host=\"{authority}\";proto={}", peer.scheme.as_str()))
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut all = BytesMut::from(first.as_bytes());
    for value in values {
        all.put_slice(b", ");
        all.put_slice(value.as_bytes());
    }
    HeaderValue::from_maybe_shared(all.freeze()).ok()
}

fn appended(before: Option<HeaderValue>, element: &str) -> HeaderValue {
    let text = match &before {
        Some(before) => [before.as_bytes(), b", ", element.as_bytes()].concat(),
        None => element.as_bytes().to_vec(),
    };
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn refuse_loop(headers: &HeaderMap, identity: &Identity) -> Result<()> {
    let here = |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), identity.pseudonym.as_bytes()).is_some();
    if headers.get_all(header::VIA).iter().any(here) {
        return Err(Error::new(Kind::LoopDetected, "Via names this edge already (RFC 9110, 7.6.3)"));
    }
    Ok(())
}

/// Marks a response on its way out.
pub(super) fn mark_response(headers: &mut HeaderMap, id: RequestId, identity: &Identity) {
    headers.insert(X_REQUEST_ID, id.header_value());
    headers.append(header::VIA, identity.via(Version::Http11));
    // RFC 9110, 6.6.1: a recipient with a clock adds the Date that is missing.
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, date());
    }
}

/// The current `Date`, made once a second per thread.
fn date() -> HeaderValue {
    use std::cell::RefCell;
    use std::time::{SystemTime, UNIX_EPOCH};
    thread_local! {
        static NOW: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    NOW.with_borrow_mut(|(made, value)| {
        if *made != second {
            *made = second;
            *value =
                HeaderValue::from_str(&httpdate::fmt_http_date(now)).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
        value.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    fn prepared(fields: &[(&'static str, &'static str)], trusted: bool) -> Result<HeaderMap> {
        let mut headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let peer = Peer {
            addr: ([192, 0, 2, 1], 4000).into(),
            scheme: Scheme::Https,
            local: ([192, 0, 2, 9], 443).into(),
            connection: 1,
            tls_version: None,
            server_name: None,
            client: HeaderValue::from_static("192.0.2.1"),
        };
        let authority = Authority::parse(&bytes::Bytes::from_static(b"a.test")).expect("a host");
        let id = request_id(&headers, trusted);
        let forwarding = Forwarding { peer: &peer, trusted, id, authority: &authority, version: Version::Http2 };
        prepare_request(&mut headers, &forwarding, &Identity::new("x1"), true)?;
        Ok(headers)
    }

    #[test]
    fn what_a_stranger_vouches_for_is_dropped() {
        let headers = prepared(
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x_forwarded_for", "6.6.6.6"),
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
                ("x-request-id", "00000000000000000000000000000001"),
                ("connection", "x-forwarded-for, x-request-id"),
                ("lockgate-app", "other"),
            ],
            false,
        )
        .expect("no loop");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "a.test");
        assert_eq!(headers["forwarded"], "for=192.0.2.1;host=\"a.test\";proto=https");
        assert_eq!(headers["via"], "2.0 lockgate-x1");
        assert_ne!(headers["x-request-id"], "00000000000000000000000000000001");
        for gone in ["x_forwarded_for", "x-real-ip", "connection", "lockgate-app"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_appended_to() {
        let headers = prepared(
            &[
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "http"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("tracestate", "a=b"),
            ],
            true,
        )
        .expect("no loop");
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 192.0.2.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-request-id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(headers["tracestate"], "a=b");
    }

    #[test]
    fn rfc9110_7_6_3_a_loop_is_refused() {
        let error = prepared(&[("via", "1.1 other, 1.1 lockgate-x1")], false).expect_err("a loop");
        assert_eq!(error.kind, Kind::LoopDetected);
    }
}
