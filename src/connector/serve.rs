//! One relay stream: from the link to the backend and back.
//!
//! It dials only what the pushed table names. A failure goes back as a fault the edge turns into
//! a page; the connector refuses to make pages itself.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::crew::{Crew, Next};
use super::table::{Opened, Table};
use crate::backend::Backends;
use crate::error::{Error, Kind, Result, Side};
use crate::http::h2::{H2Body, Responder, StreamGuard};
use crate::http::{Body, Interim, Outgoing, Response, fields};
use crate::id::RequestId;
use crate::io::memory;
use crate::limits::Limits;
use crate::metrics::Shard;
use crate::tunnel::field;

/// What one worker of a connector serves streams with.
pub(super) struct Server {
    backends: Rc<Backends>,
    shard: Rc<Shard>,
    crew: Crew<Job>,
}

/// One stream to serve; the guard counts it until it has ended.
pub(super) struct Job {
    pub(super) table: Rc<Table>,
    pub(super) request: http::Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) entered: StreamGuard,
}

impl Server {
    pub(super) fn new(backends: Rc<Backends>, shard: Rc<Shard>) -> Self {
        Self { backends, shard, crew: Crew::default() }
    }

    /// Serves a stream on a task of its own.
    pub(super) fn serve(self: &Rc<Self>, job: Job) {
        self.crew.give(job, |job, next| work(self.clone(), job, next));
    }
}

/// Serves streams, one after the other.
async fn work(server: Rc<Server>, mut job: Job, mut next: Next<Job>) {
    loop {
        serve_stream(&server, job).await;
        match next.wait(&server.crew).await {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// Serves one stream to its end, or until it is a WebSocket's.
async fn serve_stream(server: &Rc<Server>, job: Job) {
    let Job { table, request, respond, entered } = job;
    let responder = Responder::new(respond);
    let named = Cell::new(None);
    let relayed = {
        let mut relay = pin!(relay(server, &table, request, &responder, &named));
        std::future::poll_fn(|cx| match relay.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // The client is gone, so is the stream: whatever runs at the backend is cancelled.
            Poll::Pending => responder.poll_reset(cx).map(|()| None),
        })
        .await
    };
    let named = named.into_inner();
    let response = match relayed {
        None => return,
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            server.shard.error(&error);
            let (id, app) = words(&named);
            tracing::warn!(id, app, side = error.side.word(), reason = error.kind.cause(), detail = %error.detail, "a request failed");
            fault(&error)
        }
    };
    if response.websocket {
        // It may be open for days, and needs a third of what this task keeps for requests.
        let server = server.clone();
        tokio::task::spawn_local(async move {
            respond_with(&server, &responder, response, &named).await;
            drop(entered);
        });
        return;
    }
    respond_with(server, &responder, response, &named).await;
}

/// Sends a response to its end.
async fn respond_with(server: &Server, responder: &Responder, response: Response, named: &Option<Named>) {
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
            let (id, app) = words(named);
            tracing::warn!(id, app, reason = error.kind.cause(), detail = %error.detail, "a response broke off");
        }
    }
}

async fn relay(
    server: &Server,
    table: &Table,
    request: http::Request<RecvStream>,
    responder: &Responder,
    named: &Cell<Option<Named>>,
) -> Result<Response> {
    let (parts, stream) = request.into_parts();
    let mut headers = parts.headers;
    let envelope = headers.remove(field::ENVELOPE);
    let opened = table.open(envelope.as_ref().map(HeaderValue::as_bytes).unwrap_or_default()).await;
    let opened = opened.map_err(|app| {
        let detail = format!("the edge asked for the app {app:?}, which it has not pushed to this connector");
        Error::new(Kind::ConnectorUnavailable, detail)
    })?;
    if memory::is_short() {
        return Err(Error::new(Kind::Overloaded, "limits.memory of the connector is taken"));
    }
    let target = &opened.target;
    let label = headers.get(field::LABEL).and_then(|label| label.to_str().ok()).map(str::to_owned);
    let expects_continue = headers.contains_key(field::EXPECT);
    let websocket =
        parts.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    let host = match parts.uri.authority() {
        None => target.host.clone(),
        Some(authority) => HeaderValue::from_str(authority.as_str())
            .map_err(|_| Error::bad_request("a host that is no field value"))?,
    };
    let body = if stream.is_end_stream() && !websocket {
        Body::Empty
    } else {
        Body::H2(H2Body::new(stream, &headers, Side::Link))
    };
    fields::strip_own(&mut headers);
    fields::strip_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    let vouched = opened.envelope.unfold(&mut headers);
    named.set(Some(Named { id: vouched.id.map(|(id, _)| id), opened: opened.clone() }));
    let outgoing = Box::new(Outgoing {
        method: if websocket { Method::GET } else { parts.method },
        target: parts.uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")),
        host,
        headers,
        vouched: Some(vouched),
        websocket,
        expects_continue,
        body,
        interim: Interim::H2(responder.clone()),
    });
    let mut response = server.backends.send(target, label.as_deref(), outgoing).await?;
    // What a backend says in our own words is not ours.
    fields::strip_own(&mut response.headers);
    Ok(response)
}

/// What a stream is called in the log.
struct Named {
    /// `None` for an id that is not of our making: it is in the edge's log under its trace.
    id: Option<RequestId>,
    opened: Rc<Opened>,
}

/// The id and the app, as far as they are known.
fn words(named: &Option<Named>) -> (&str, &str) {
    let id = named.as_ref().and_then(|named| named.id.as_ref()).map(RequestId::as_str);
    let app = named.as_ref().map(|named| &*named.opened.envelope.app);
    (id.unwrap_or_default(), app.unwrap_or_default())
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
