//! Requests on one HTTP/2 connection to a backend, by ALPN or prior knowledge.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tokio::time::Instant;

use crate::error::{Error, Kind, Side};
use crate::http::h2::{H2Body, client};
use crate::http::{Body, Outgoing, Response, fields};
use crate::limits::{H2_SEND_BUFFER, PUBLIC_CONNECTION_WINDOW, PUBLIC_STREAM_WINDOW};
use crate::tls::Stream;

/// A connection; clones share it.
#[derive(Clone)]
pub(super) struct Client {
    send: SendRequest<Bytes>,
    closed: Rc<Cell<bool>>,
    used: Rc<Cell<Instant>>,
    tls: bool,
}

/// Why there is no response.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The request, if it may be sent again.
    pub(super) retry: Option<Box<Outgoing>>,
}

impl Client {
    /// Starts HTTP/2 on an open connection; its driver is a task of this worker.
    pub(super) async fn start(stream: Stream) -> Result<Self, Error> {
        let tls = stream.tls().is_some();
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(PUBLIC_STREAM_WINDOW * 4)
            .initial_connection_window_size(PUBLIC_CONNECTION_WINDOW * 4)
            .max_send_buffer_size(H2_SEND_BUFFER)
            .max_header_list_size(128 * 1024)
            .handshake(stream)
            .await
            .map_err(|error| Error::new(Kind::BackendInvalid, format!("HTTP/2 handshake: {error}")))?;
        let closed = Rc::new(Cell::new(false));
        let ended = closed.clone();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            ended.set(true);
        });
        Ok(Self { send, closed, used: Rc::new(Cell::new(Instant::now())), tls })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How long no request has been begun on it. Letting go of the last handle ends the connection
    /// only after its streams have ended.
    pub(super) fn idle_for(&self) -> Duration {
        self.used.get().elapsed()
    }

    pub(super) async fn send(&self, mut request: Box<Outgoing>, silence: Duration) -> Result<Response, Failed> {
        self.used.set(Instant::now());
        let failed = |error| Failed { error, retry: None };
        let mut send = match self.send.clone().ready().await {
            Ok(send) => send,
            Err(error) => {
                self.closed.set(true);
                let error = Error::new(Kind::BackendClosed, format!("HTTP/2: {error}"));
                return Err(Failed { error, retry: Some(request) });
            }
        };
        if request.websocket && !send.is_extended_connect_protocol_enabled() {
            let detail = "the server's HTTP/2 has no extended CONNECT (RFC 8441); set backend_protocol = \"http1\"";
            return Err(failed(Error::new(Kind::BackendInvalid, detail)));
        }
        let head = self.head(&request).map_err(failed)?;
        if request.expects_continue {
            // HTTP/2 has its own way to hold a body back: the window. Nobody is asked twice.
            request.interim.send(StatusCode::CONTINUE, &HeaderMap::new());
        }
        let body = std::mem::replace(&mut request.body, Body::Empty);
        let answered = match client::send(&mut send, head, body, false, &request.interim) {
            Ok(exchange) => exchange.await,
            Err(failure) => Err(failure),
        };
        match answered {
            Ok((response, upload)) => {
                let (parts, stream) = response.into_parts();
                let mut headers: HeaderMap = parts.headers;
                let body = Body::H2(H2Body::new(stream, &headers, Side::Backend));
                fields::strip_hop_by_hop(&mut headers);
                let websocket = request.websocket && parts.status.is_success();
                let events = headers
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
                let body = if websocket || events { body } else { super::silence::limit(body, silence) };
                Ok(Response { status: parts.status, headers, websocket, body, upload, last: false })
            }
            Err(failure) => {
                let client::Failure { detail, unprocessed, body, own, .. } = *failure;
                if let Some(error) = own {
                    return Err(failed(error));
                }
                let error = Error::new(Kind::BackendClosed, format!("HTTP/2: {detail}"));
                let retry = body.filter(|_| unprocessed).map(|body| {
                    request.body = body;
                    request
                });
                Err(Failed { error, retry })
            }
        }
    }

    fn head(&self, request: &Outgoing) -> Result<http::Request<()>, Error> {
        let invalid = |error: http::Error| Error::new(Kind::Internal, format!("an HTTP/2 head: {error}"));
        let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(request.host.as_bytes()))
            .map_err(|error| invalid(error.into()))?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query = Some(request.target.clone());
        let mut head = http::Request::new(());
        *head.uri_mut() = Uri::from_parts(parts).map_err(|error| invalid(error.into()))?;
        let mut headers = request.headers.clone();
        if let Some(vouched) = &request.vouched {
            vouched.append_to(&mut headers);
        }
        *head.headers_mut() = headers;
        if request.websocket {
            *head.method_mut() = Method::CONNECT;
            head.extensions_mut().insert(Protocol::from_static("websocket"));
        } else {
            *head.method_mut() = request.method.clone();
        }
        Ok(head)
    }
}
