//! One relay stream: from the link to the backend and back.
//!
//! It dials only what the pushed table names. A failure goes back as a fault the edge turns into
//! a page; the connector refuses to make pages itself.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::table::Table;
use crate::backend::Backends;
use crate::error::{Error, Kind, Result, Side};
use crate::http::h2::{H2Body, Responder};
use crate::http::{Body, Interim, Outgoing, Response, fields};
use crate::limits::Limits;
use crate::metrics::Shard;
use crate::tunnel::field;

/// The request id the edge gave, in both logs.
const X_REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// What one worker of a connector serves streams with.
pub(super) struct Server {
    backends: Rc<Backends>,
    shard: Rc<Shard>,
}

impl Server {
    pub(super) fn new(backends: Rc<Backends>, shard: Rc<Shard>) -> Self {
        Self { backends, shard }
    }
}

/// Serves one stream to its end.
pub(super) async fn serve_stream(
    server: &Server,
    table: &Table,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let responder = Responder::new(respond);
    let id = text(request.headers(), &X_REQUEST_ID).to_owned();
    let app = text(request.headers(), &field::APP).to_owned();
    let relayed = {
        let mut relay = pin!(relay(server, table, request, &responder));
        std::future::poll_fn(|cx| match relay.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // The client is gone, so is the stream: whatever runs at the backend is cancelled.
            Poll::Pending => responder.poll_reset(cx).map(|()| None),
        })
        .await
    };
    let response = match relayed {
        None => return,
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            server.shard.error(&error);
            tracing::warn!(id, app, side = error.side.word(), reason = error.kind.cause(), detail = %error.detail, "a request failed");
            fault(&error)
        }
    };
    let Response { status, mut headers, websocket, body, upload, .. } = response;
    let status = if websocket { StatusCode::OK } else { status };
    if websocket {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(field::ACCEPTED, HeaderValue::from_static("accepted"));
    }
    // The edge is patient for its clients; this end only for the edge's own clock.
    let patience = Limits::default().body_idle_timeout * 2;
    if let Err(error) = responder.respond((status, headers), body, upload, websocket, patience).await {
        responder.reset(Reason::INTERNAL_ERROR);
        if error.side == Side::Backend {
            server.shard.error(&error);
            tracing::warn!(id, app, reason = error.kind.cause(), detail = %error.detail, "a response broke off");
        }
    }
}

async fn relay(
    server: &Server,
    table: &Table,
    request: http::Request<RecvStream>,
    responder: &Responder,
) -> Result<Response> {
    let (parts, stream) = request.into_parts();
    let mut headers = parts.headers;
    let app = text(&headers, &field::APP);
    let target = table.find(app, text(&headers, &field::REVISION)).await;
    let Some(target) = target else {
        let detail = format!("the edge asked for the app {app:?}, which it has not pushed to this connector");
        return Err(Error::new(Kind::ConnectorUnavailable, detail));
    };
    let label = headers.get(field::LABEL).and_then(|label| label.to_str().ok()).map(str::to_owned);
    let expects_continue = headers.contains_key(field::EXPECT);
    let websocket =
        parts.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    let host = parts.uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|_| Error::bad_request("a host that is no field value"))?;
    let body = if stream.is_end_stream() && !websocket {
        Body::Empty
    } else {
        Body::H2(H2Body::new(stream, &headers, Side::Link))
    };
    take_own_fields_off(&mut headers);
    fields::strip_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    let outgoing = Outgoing {
        method: if websocket { Method::GET } else { parts.method },
        target: parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        host,
        headers,
        websocket,
        expects_continue,
        body,
        interim: Interim::H2(responder.clone()),
    };
    let mut response = server.backends.send(&target, label.as_deref(), outgoing).await?;
    // What a backend says in our own words is not ours.
    let forged: Vec<_> =
        response.headers.keys().filter(|name| name.as_str().starts_with("lockgate-")).cloned().collect();
    for name in forged {
        response.headers.remove(name);
    }
    Ok(response)
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn take_own_fields_off(headers: &mut HeaderMap) {
    for name in [field::APP, field::REVISION, field::LABEL, field::EXPECT, field::SERVICE] {
        headers.remove(name);
    }
}

/// A failure in the form the edge reads: the cause, and the detail for its log.
fn fault(error: &Error) -> Response {
    let mut headers = HeaderMap::new();
    let text: String = format!("{}; {}", error.kind.cause(), error.detail)
        .chars()
        .map(|character| if (' '..='~').contains(&character) { character } else { '?' })
        .take(1024)
        .collect();
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.insert(field::FAULT, text);
    }
    Response::new(error.kind.status(), headers, Body::Empty)
}
