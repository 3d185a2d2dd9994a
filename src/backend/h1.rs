//! One request on an HTTP/1.1 connection to a backend.
//!
//! ```text
//!   head ─▶ body (unless it waits for 100) ─┐
//!        └▶ 1xx* ─▶ final head ─▶ response ─┴─▶ body read: connection idle, or closed
//! ```
//!
//! Request and response run side by side. The connection returns to its pool only when both
//! messages are complete; anything else closes it.

mod uploading;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};

use super::pool::Lease;
use crate::error::{Error, Kind, Result, Side};
use crate::http::body::H1Body;
use crate::http::h1::lines::HeadLimits;
use crate::http::h1::response::{self, ResponseHead};
use crate::http::h1::writer::BodyWriter;
use crate::http::h1::{Framing, Inbound, Shared, encode};
use crate::http::{Body, Outgoing, Response, Upload, fields, websocket};
use crate::io::clock::Watchdog;
use crate::limits::INTERIM_RESPONSES;
use uploading::{Gate, Uploading};

/// What an honest backend's head stays under; the client's own limits do not apply to it.
const HEAD_LIMITS: HeadLimits =
    HeadLimits { first_line_bytes_max: 8 * 1024, head_bytes_max: 128 * 1024, header_count_max: 512 };

/// A body that waits for `100 Continue` is sent after this without one (RFC 9110, 10.1.1 leaves
/// the time open; curl waits as long).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Takes a connection back after a complete exchange.
pub(super) type GiveBack = Box<dyn FnOnce(Shared, Lease)>;

/// Why there is no response.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The connection ended before a byte of the response: it may have been closed while idle.
    pub(super) stale: bool,
    /// The request, if its body was not touched.
    pub(super) request: Option<Box<Outgoing>>,
}

/// Sends `request` on `conn`; the connection is given back when the exchange is complete.
pub(super) async fn send(
    conn: Shared,
    lease: Lease,
    mut request: Box<Outgoing>,
    silence: Duration,
    give_back: GiveBack,
) -> Result<Response, Failed> {
    let key = request.websocket.then(websocket::new_key);
    let body = std::mem::replace(&mut request.body, Body::Empty);
    let framing = match (&body, body.length()) {
        _ if request.websocket => Framing::UntilClose,
        (body, _) if body.is_empty() => Framing::None,
        (_, Some(length)) => Framing::Length(length),
        (_, None) => Framing::Chunked,
    };
    queue_head(&conn, &request, framing, key.as_ref());
    let upload = Uploading {
        conn: conn.clone(),
        gate: if request.websocket {
            Gate::Upgrade
        } else if request.expects_continue {
            Gate::Continue
        } else {
            Gate::Open
        },
        writer: BodyWriter::new(framing),
        body,
        touched: false,
        ended: false,
        patience: Watchdog::default(),
        done: Rc::new(Cell::new(false)),
    };
    let mut exchange = Exchange { conn: &conn, request: &request, upload: Some(upload), interims: 0 };
    let head = match std::future::poll_fn(|cx| exchange.poll(cx)).await {
        Ok(head) => head,
        Err(error) => {
            let stale = error.kind == Kind::BackendClosed;
            let body = match exchange.upload.take() {
                _ if framing == Framing::None => Some(Body::Empty),
                Some(mut upload) if !upload.touched => Some(std::mem::replace(&mut upload.body, Body::Empty)),
                _ => None,
            };
            let request = body.map(|body| {
                request.body = body;
                request
            });
            return Err(Failed { error, stale, request });
        }
    };
    let upload = exchange.upload.take();
    match key {
        Some(key) if head.status == StatusCode::SWITCHING_PROTOCOLS => accepted(conn, lease, head, upload, &key),
        _ if head.status == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Error::new(Kind::BackendInvalid, "101 without an upgrade asked for (RFC 9110, 15.2.2)"))
        }
        _ => Ok(respond(conn, lease, head, upload, silence, give_back)),
    }
    .map_err(|error| Failed { error, stale: false, request: None })
}

fn queue_head(conn: &Shared, request: &Outgoing, framing: Framing, key: Option<&HeaderValue>) {
    let mut extra = None;
    if key.is_some() || request.expects_continue {
        let mut headers = request.headers.clone();
        if let Some(key) = key {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
            headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
        } else {
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        extra = Some(headers);
    }
    let headers = extra.as_ref().unwrap_or(&request.headers);
    encode::request_head(
        conn.borrow_mut().head_buffer(),
        &request.method,
        request.target.as_str(),
        request.host.as_bytes(),
        headers,
        request.vouched.as_ref(),
        framing,
    );
}

/// The handshake succeeded: both directions are bytes (RFC 6455, 4.1).
fn accepted(
    conn: Shared,
    lease: Lease,
    mut head: ResponseHead,
    upload: Option<Uploading>,
    key: &HeaderValue,
) -> Result<Response> {
    let right = head.headers.get(header::SEC_WEBSOCKET_ACCEPT) == Some(&websocket::accept_for(key.as_bytes()))
        && fields::list_contains(&head.headers, &header::UPGRADE, b"websocket");
    if !right {
        return Err(Error::new(Kind::BackendInvalid, "a wrong Sec-WebSocket-Accept (RFC 6455, 4.1)"));
    }
    fields::strip_hop_by_hop(&mut head.headers);
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    conn.borrow_mut().inbound = Inbound::Raw;
    crate::io::socket::keep_alive(conn.borrow().io().tcp());
    let body = H1Body::new(conn, Framing::UntilClose).on_end(Box::new(move |_| drop(lease)));
    let upload = upload.map(|mut upload| {
        upload.gate = Gate::Open;
        Box::pin(upload) as Upload
    });
    Ok(Response {
        status: head.status,
        headers: head.headers,
        websocket: true,
        body: Body::H1(body),
        upload,
        last: false,
    })
}

fn respond(
    conn: Shared,
    lease: Lease,
    mut head: ResponseHead,
    upload: Option<Uploading>,
    silence: Duration,
    give_back: GiveBack,
) -> Response {
    fields::strip_hop_by_hop(&mut head.headers);
    let uploaded = upload.as_ref().map_or_else(|| Rc::new(Cell::new(true)), |upload| upload.done.clone());
    // An upload that still waits for its 100 will never get one now.
    let upload = upload.filter(|upload| matches!(upload.gate, Gate::Open)).map(|upload| Box::pin(upload) as Upload);
    conn.borrow_mut().expect_body(head.framing);
    let keep_alive = head.keep_alive;
    let on_end = move |conn: &Shared| {
        let reusable = {
            let conn = conn.borrow();
            keep_alive
                && uploaded.get()
                && conn.input.is_empty()
                && matches!(conn.inbound, Inbound::Done)
                && !conn.read_ended()
        };
        if reusable {
            give_back(conn.clone(), lease);
        }
    };
    if head.framing == Framing::None {
        on_end(&conn);
        return Response {
            status: head.status,
            headers: head.headers,
            websocket: false,
            body: Body::Empty,
            upload,
            last: false,
        };
    }
    let streams_events =
        head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    // What has arrived whole with its head cannot fall silent.
    let complete = matches!(head.framing, Framing::Length(length) if conn.borrow().input.len() as u64 >= length);
    let body = Body::H1(H1Body::new(conn, head.framing).on_end(Box::new(on_end)));
    let body = if streams_events || complete { body } else { super::silence::limit(body, silence) };
    Response { status: head.status, headers: head.headers, websocket: false, body, upload, last: false }
}

/// The exchange until the final response head.
struct Exchange<'a> {
    conn: &'a Shared,
    request: &'a Outgoing,
    upload: Option<Uploading>,
    interims: usize,
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead>> {
        if let Some(upload) = &mut self.upload {
            let waited = matches!(upload.gate, Gate::Continue);
            if waited {
                upload.patience.arm_once(CONTINUE_PATIENCE);
            }
            let polled = Pin::new(&mut *upload).poll(cx);
            if waited && matches!(upload.gate, Gate::Open) {
                // The backend says nothing; whoever holds the body back further up must let it go.
                self.request.interim.send(StatusCode::CONTINUE, &http::HeaderMap::new());
            }
            match polled {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.upload = None,
                Poll::Ready(Err(error)) if error.side == Side::Client => return Poll::Ready(Err(error)),
                // A backend may answer and close without reading: its answer is worth waiting for.
                Poll::Ready(Err(_)) => {}
            }
        }
        loop {
            let parsed = {
                let conn = &mut *self.conn.borrow_mut();
                response::parse(&mut conn.scanner, &mut conn.input, &HEAD_LIMITS, &self.request.method)
            };
            match parsed {
                Err(reject) => return Poll::Ready(Err(Error::new(Kind::BackendInvalid, reject.rule))),
                Ok(Some(head)) if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS => {
                    let goes_on = head.status == StatusCode::CONTINUE;
                    self.take_interim(head)?;
                    if goes_on {
                        // The body that waited for this word must be asked for now; bounded by INTERIM_RESPONSES.
                        return self.poll(cx);
                    }
                }
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {
                    let read = ready!(self.conn.borrow_mut().poll_fill(cx));
                    self.check_read(read)?;
                }
            }
        }
    }

    fn take_interim(&mut self, mut head: ResponseHead) -> Result<()> {
        self.interims += 1;
        if self.interims > INTERIM_RESPONSES {
            return Err(Error::new(Kind::BackendInvalid, format!("more than {INTERIM_RESPONSES} interim responses")));
        }
        if head.status == StatusCode::CONTINUE
            && let Some(upload) = &mut self.upload
        {
            upload.gate = Gate::Open;
        }
        fields::strip_hop_by_hop(&mut head.headers);
        self.request.interim.send(head.status, &head.headers);
        Ok(())
    }

    fn check_read(&self, read: std::io::Result<usize>) -> Result<()> {
        let begun = !self.conn.borrow().input.is_empty();
        match read {
            Ok(0) if begun => Err(Error::new(Kind::BackendInvalid, "the response head broke off")),
            Ok(0) => Err(Error::new(Kind::BackendClosed, "the connection closed before a response")),
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(Kind::BackendClosed, format!("waiting for a response: {error}"))),
        }
    }
}
