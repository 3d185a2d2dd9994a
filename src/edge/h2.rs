//! Serves one HTTP/2 connection: each stream is a task of this worker.
//!
//! `h2` holds the connection to RFC 9113; here are the rules it leaves to a proxy: one host, one
//! scheme, the limits of a head, and what CONNECT may mean.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Door;
use crate::error::{Error, Kind, Result, Side};
use crate::exchange::{Arrived, check_coalescing};
use crate::http::h2::{End, H2Body, Responder, StreamGuard, Watch, Watched};
use crate::http::patience::Patience;
use crate::http::{Authority, Body, Interim, Peer, Response, Version};
use crate::io::clock::Watchdog;
use crate::limits;
use crate::tls::Stream;

/// How long a client that is refused for its frames gets to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve(door: &Rc<Door>, stream: Stream, peer: Rc<Peer>) {
    let _guard = door.drain.guard();
    let shaken = tokio::time::timeout(door.limits.head_timeout, handshake(door, stream)).await;
    let Ok(Ok((mut connection, watch))) = shaken else { return };
    let mut drain = door.drain.clone();
    let mut draining = pin!(drain.draining());
    let mut drained = false;
    let mut idle = Watchdog::default();
    let mut told = false;
    let mut refused = false;
    let streams = StreamGuard::default();
    loop {
        let next = std::future::poll_fn(|cx| {
            if !drained && draining.as_mut().poll(cx).is_ready() {
                drained = true;
                connection.graceful_shutdown();
            }
            if let Poll::Ready(next) = connection.poll_accept(cx) {
                return Poll::Ready(next);
            }
            if let (Some(reason), false) = (watch.found(), refused) {
                refused = true;
                ended(door, &peer, reason);
                idle.arm(LINGER);
                connection.abrupt_shutdown(reason);
                if let Poll::Ready(next) = connection.poll_accept(cx) {
                    return Poll::Ready(next); // the GOAWAY has left
                }
            }
            if refused {
                // A client that reads nothing does not get to read why.
                return idle.poll_elapsed(cx).map(|()| None);
            }
            if streams.poll_none(cx).is_pending() {
                idle.disarm();
            } else {
                idle.arm_once(door.limits.idle_timeout);
                if idle.poll_elapsed(cx).is_ready() {
                    if told {
                        return Poll::Ready(None); // a client that does not answer GOAWAY is not waited for again
                    }
                    told = true;
                    idle.arm(door.limits.idle_timeout);
                    connection.graceful_shutdown();
                    cx.waker().wake_by_ref(); // the GOAWAY leaves with the next poll
                }
            }
            Poll::Pending
        });
        let (request, respond) = match next.await {
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => return ended(door, &peer, error.reason().unwrap_or(Reason::NO_ERROR)),
            None => return,
        };
        let (door, peer, guard) = (door.clone(), peer.clone(), streams.enter());
        // Boxed, since a task moves its future when it begins and when it ends.
        tokio::task::spawn_local(Box::pin(async move {
            serve_stream(&door, peer, request, respond).await;
            drop(guard);
        }));
    }
}

/// A client broke a rule: said quietly, and counted if the rule is one of ours.
fn ended(door: &Door, peer: &Peer, reason: Reason) {
    tracing::debug!(peer = %peer.addr, %reason, "a client's HTTP/2 connection is ended");
    if reason == Reason::ENHANCE_YOUR_CALM {
        door.shard.metrics().refused.with_label_values(&["frames"]).inc();
    }
}

async fn handshake(door: &Door, stream: Stream) -> Result<(Connection<Watched<Stream>, Bytes>, Watch), h2::Error> {
    let limits = &door.limits;
    let bounded = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let stream = Watched::new(stream, End::Server, limits::CLIENT_FRAMES.carrying(limits.streams_per_connection));
    let watch = stream.watch();
    let connection = h2::server::Builder::new()
        .initial_window_size(limits::PUBLIC_STREAM_WINDOW)
        .initial_connection_window_size(limits::PUBLIC_CONNECTION_WINDOW)
        .max_concurrent_streams(bounded(limits.streams_per_connection))
        .max_header_list_size(bounded(limits.head_bytes_max))
        .max_send_buffer_size(limits::H2_SEND_BUFFER)
        // One client's connection carries one client: the library's limits on resets stay.
        .enable_connect_protocol()
        .handshake(stream)
        .await?;
    Ok((connection, watch))
}

async fn serve_stream(door: &Door, peer: Rc<Peer>, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
    let responder = Responder::new(respond);
    let head_only = request.method() == Method::HEAD;
    let response = match arrive(door, peer, request, &responder) {
        Ok(arrived) => {
            let mut walk = pin!(door.corridor.walk(arrived));
            let walked = std::future::poll_fn(|cx| match walk.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                // A client that resets the stream cancels everything behind it.
                Poll::Pending => responder.poll_reset(cx).map(|()| None),
            });
            let Some(response) = walked.await else { return };
            response
        }
        Err(error) => door.corridor.refuse(&error),
    };
    let Response { status, mut headers, websocket, body, upload, .. } = response;
    let status = if websocket { StatusCode::OK } else { status };
    if websocket {
        headers.remove(header::CONTENT_LENGTH);
    }
    let bodiless = head_only || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let body = if bodiless && !websocket { Body::Empty } else { body };
    let patience = door.limits.body_idle_timeout;
    if responder.respond((status, headers), body, upload, websocket, patience).await.is_err() {
        responder.reset(Reason::INTERNAL_ERROR);
    }
}

/// Holds a request to the rules a proxy adds to RFC 9113.
fn arrive(door: &Door, peer: Rc<Peer>, request: http::Request<RecvStream>, responder: &Responder) -> Result<Arrived> {
    let (parts, stream) = request.into_parts();
    let mut headers = parts.headers;
    let websocket = match (parts.extensions.get::<Protocol>(), &parts.method) {
        (Some(protocol), _) if protocol.as_str() == "websocket" => true,
        (Some(_), _) => return Err(Error::new(Kind::NotImplemented, "a :protocol other than websocket (RFC 8441, 4)")),
        (None, &Method::CONNECT | &Method::TRACE) => {
            return Err(Error::new(Kind::MethodNotAllowed, "CONNECT and TRACE are never forwarded (RFC 9110, 9.3)"));
        }
        (None, _) => false,
    };
    if headers.len() > door.limits.header_count_max {
        return Err(Error::new(Kind::HeaderTooLarge, "the head has more fields than limits.header_count_max"));
    }
    let padded = |value: &HeaderValue| matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if headers.values().any(padded) {
        return Err(Error::bad_request("a field value begins or ends with a space (RFC 9113, 8.2.1)"));
    }
    let authority = one_authority(&parts.uri, &headers)?;
    if parts.uri.scheme_str().is_some_and(|scheme| scheme != peer.scheme.as_str()) {
        return Err(Error::bad_request("the scheme is not that of the connection (RFC 9110, 7.4)"));
    }
    check_coalescing(peer.server_name.as_deref(), Some(&authority), |one, other| {
        door.tls.load().certificates.same(one, other)
    })?;
    let target =
        parts.uri.path_and_query().map_or_else(Bytes::new, |target| Bytes::copy_from_slice(target.as_str().as_bytes()));
    if target.len() > door.limits.uri_bytes_max {
        return Err(Error::new(Kind::UriTooLong, "the target is longer than limits.uri_bytes_max"));
    }
    let asterisk = &target[..] == b"*";
    if asterisk && parts.method != Method::OPTIONS {
        return Err(Error::bad_request("the target `*` is for OPTIONS only (RFC 9112, 3.2.4)"));
    }
    headers.remove(header::HOST);
    let expects_continue = expectation(&mut headers)? && !stream.is_end_stream();
    join_cookies(&mut headers);
    let body = match (stream.is_end_stream(), websocket) {
        (true, _) => Body::Empty,
        (false, true) => Body::H2(H2Body::new(stream, &headers, Side::Client)),
        (false, false) => Body::H2(
            H2Body::new(stream, &headers, Side::Client).patient_for(Patience::with_clients(&door.limits), responder),
        ),
    };
    Ok(Arrived {
        peer,
        authority: Some(authority),
        target,
        asterisk,
        method: if websocket { Method::GET } else { parts.method },
        version: Version::Http2,
        headers,
        websocket,
        expects_continue,
        body,
        interim: Interim::H2(responder.clone()),
    })
}

/// `:authority` and `Host` must agree; one of them must be there (RFC 9113, 8.3.1).
fn one_authority(uri: &http::Uri, headers: &HeaderMap) -> Result<Authority> {
    let parse = |text: &[u8]| Authority::parse(&Bytes::copy_from_slice(text)).map_err(Error::bad_request);
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| parse(host.as_bytes())).transpose()?;
    if hosts.next().is_some() {
        return Err(Error::bad_request("Host twice (RFC 9110, 7.2)"));
    }
    let authority = uri.authority().map(|authority| parse(authority.as_str().as_bytes())).transpose()?;
    match (authority, host) {
        (Some(authority), Some(host)) if authority != host => {
            Err(Error::bad_request(":authority and Host disagree (RFC 9113, 8.3.1)"))
        }
        (Some(authority), _) => Ok(authority),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Error::bad_request("neither :authority nor Host (RFC 9113, 8.3.1)")),
    }
}

fn expectation(headers: &mut HeaderMap) -> Result<bool> {
    match headers.remove(header::EXPECT) {
        None => Ok(false),
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Some(_) => Err(Error::new(Kind::ExpectationFailed, "Expect is not `100-continue` (RFC 9110, 10.1.1)")),
    }
}

/// HTTP/2 may split `Cookie`; whoever passes it on joins it again (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::COOKIE).iter();
    if values.next().is_none() || values.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}
