//! Serves one HTTP/1.1 connection: heads in order, one exchange at a time, answers in order.
//!
//! ```text
//!   Idle ─▶ Head ─▶ Exchange ─▶ body rest drained ─▶ Idle …
//!     │       │         └─ WebSocket ─▶ bytes both ways ─▶ closed
//!     └ idle  └ refused, late ─▶ page, lingering close
//! ```
//!
//! Pipelined requests wait in the buffer; nothing behind a request that ends the connection is
//! ever looked at (RFC 9112, 9.6).

mod close;
mod write;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};

use super::Door;
use crate::drain::Seat;
use crate::error::{Error, Kind, Result, Side};
use crate::exchange::{Arrived, check_coalescing};
use crate::http::body::H1Body;
use crate::http::h1::lines::HeadLimits;
use crate::http::h1::request::{self, RequestHead, Target};
use crate::http::h1::writer::BodyWriter;
use crate::http::h1::{Conn, Framing, Inbound, Reject, Shared, encode};
use crate::http::patience::Patience;
use crate::http::upload::{Upload, write_beside};
use crate::http::{Body, Interim, Peer, Response, Version, websocket};
use crate::io::clock::Watchdog;
use crate::limits::DRAIN_BYTES;
use crate::tls::Stream;
use close::{drain_request, linger};
use write::{UploadWatch, poll_ahead, write_body};

/// Serves a connection until it ends, or is a WebSocket's. What is `held` counts it, and goes with it.
pub(super) async fn serve(door: &Rc<Door>, stream: Stream, peer: Rc<Peer>, held: impl Sized + 'static) {
    let held = (door.drain.guard(), held);
    let conn = Rc::new(RefCell::new(Conn::new(stream, Side::Client)));
    let seat = door.local_drain.seat();
    let mut session = Session { door, peer, conn, watchdog: Watchdog::default(), seat };
    match session.run().await {
        Ok(()) => {}
        Err(Ending::Linger) => linger(&session.conn).await,
        Err(Ending::Cut) => session.conn.borrow().io().tcp().reset_on_close(),
        // It may be open for days, and needs a tenth of what this task keeps for requests.
        Err(Ending::Switched(body, upload)) => {
            let idle = door.limits.body_idle_timeout;
            tokio::task::spawn_local(pass_on(session.conn.clone(), idle, body, upload, held));
        }
    }
}

/// Passes the bytes of an open WebSocket on, until both directions have ended.
async fn pass_on(conn: Shared, idle: Duration, body: Body, upload: Option<Upload>, held: impl Sized) {
    let write = write_body(conn.clone(), idle, body, BodyWriter::new(Framing::UntilClose), true);
    match write_beside(write, upload, true).await {
        Ok(()) => linger(&conn).await,
        Err(_) => conn.borrow().io().tcp().reset_on_close(),
    }
    drop(held);
}

/// How a connection ends other than quietly.
enum Ending {
    /// A page was queued; the client may still be sending.
    Linger,
    /// The client must notice that what it has is not all.
    Cut,
    /// To a WebSocket: what comes back from the application, and what goes there.
    Switched(Body, Option<Upload>),
}

struct Session<'a> {
    door: &'a Rc<Door>,
    peer: Rc<Peer>,
    conn: Shared,
    watchdog: Watchdog,
    seat: Seat,
}

enum Next {
    Head(Box<RequestHead>),
    Refused(Reject),
    Late,
    Closed,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), Ending> {
        loop {
            let head = match self.next().await {
                Next::Head(head) => head,
                Next::Refused(reject) => return self.refuse(Error::from(reject)).await,
                Next::Late => {
                    let late = Error::new(Kind::RequestTimeout, "the head was not complete within limits.head_timeout");
                    return self.refuse(late).await;
                }
                Next::Closed => {
                    let conn = self.conn.clone();
                    let _ = std::future::poll_fn(move |cx| conn.borrow_mut().poll_shutdown(cx)).await;
                    return Ok(());
                }
            };
            if !self.exchange(*head).await? {
                return Err(Ending::Linger);
            }
        }
    }

    /// The next request head, or why there is none.
    async fn next(&mut self) -> Next {
        let limits = &self.door.limits;
        let head_limits = HeadLimits {
            // Method, spaces and version beside the target.
            first_line_bytes_max: limits.uri_bytes_max + 64,
            head_bytes_max: limits.head_bytes_max,
            header_count_max: limits.header_count_max,
        };
        let (conn, watchdog, seat) = (&self.conn, &mut self.watchdog, &self.seat);
        watchdog.arm(limits.idle_timeout);
        let mut begun = false;
        std::future::poll_fn(|cx| {
            let conn = &mut *conn.borrow_mut();
            loop {
                match request::parse(&mut conn.scanner, &mut conn.input, &head_limits) {
                    Ok(Some(head)) => return Poll::Ready(Next::Head(Box::new(head))),
                    Ok(None) => {}
                    Err(reject) => return Poll::Ready(Next::Refused(reject)),
                }
                if !begun && !conn.input.is_empty() {
                    begun = true;
                    watchdog.arm(limits.head_timeout);
                }
                match conn.poll_fill(cx) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Next::Closed),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending if watchdog.poll_elapsed(cx).is_ready() => {
                        return Poll::Ready(if begun { Next::Late } else { Next::Closed });
                    }
                    Poll::Pending => return seat.poll_draining(cx).map(|()| Next::Closed),
                }
            }
        })
        .await
    }

    /// One exchange; whether the connection may go on.
    async fn exchange(&mut self, head: RequestHead) -> Result<bool, Ending> {
        let version = head.version;
        let mut keep_alive = head.keep_alive;
        let method = head.method.clone();
        let key = head.websocket_key.clone();
        let coalesced = check_coalescing(self.peer.server_name.as_deref(), head.authority.as_ref(), |one, other| {
            self.door.tls.load().certificates.same(one, other)
        });
        if let Err(error) = coalesced.and_then(|()| self.check_target(&head.target)) {
            return self.refuse(error).await.map(|()| false);
        }
        let arrived = self.arrive(head);
        let response = self.drive(arrived).await?;
        if let (Some(key), true) = (&key, response.websocket) {
            return Err(self.switch(response, key));
        }
        {
            let conn = self.conn.borrow();
            // A body nobody read is drained if it is short and surely comes; otherwise we close.
            let drainable = match &conn.inbound {
                Inbound::Done => true,
                Inbound::Length(left) => !conn.owes_continue && *left <= DRAIN_BYTES as u64,
                Inbound::Chunked(_) => !conn.owes_continue,
                _ => false,
            };
            keep_alive = keep_alive
                && key.is_none()
                && !response.last
                && (drainable || (response.upload.is_some() && response.status.is_success()))
                && !self.door.local_drain.is_draining();
        }
        keep_alive = self.respond(response, version, &method, keep_alive).await?;
        Ok(keep_alive && drain_request(&self.conn, self.door.limits.head_timeout).await)
    }

    /// What the scanner cannot see: the target alone, and the scheme it names.
    fn check_target(&self, target: &Target) -> Result<()> {
        let (path, scheme) = match target {
            Target::Origin(path) => (path, None),
            Target::Absolute(scheme, path) => (path, Some(*scheme)),
            Target::Asterisk => return Ok(()),
        };
        if path.len() > self.door.limits.uri_bytes_max {
            return Err(Error::new(Kind::UriTooLong, "the target is longer than limits.uri_bytes_max"));
        }
        if scheme.is_some_and(|scheme| scheme != self.peer.scheme) {
            return Err(Error::bad_request("the target's scheme is not that of the connection (RFC 9110, 7.4)"));
        }
        Ok(())
    }

    /// Sets the connection up for the body and makes the corridor's request.
    fn arrive(&self, head: RequestHead) -> Arrived {
        let mut conn = self.conn.borrow_mut();
        let websocket = head.websocket_key.is_some();
        conn.takes_interim = head.version == Version::Http11;
        conn.owes_continue = head.expects_continue;
        conn.expect_body(head.framing);
        if websocket {
            conn.inbound = Inbound::Gated(None);
        }
        let framing = if websocket { Framing::UntilClose } else { head.framing };
        let body = match framing {
            Framing::None => Body::Empty,
            framing => Body::H1(H1Body::new(self.conn.clone(), framing)),
        };
        let (target, asterisk) = match head.target {
            Target::Origin(target) | Target::Absolute(_, target) => (target, false),
            Target::Asterisk => (bytes::Bytes::from_static(b"/"), true),
        };
        Arrived {
            peer: self.peer.clone(),
            authority: head.authority,
            target,
            asterisk,
            method: head.method,
            version: head.version,
            headers: head.headers,
            websocket,
            expects_continue: head.expects_continue,
            body,
            interim: Interim::H1(self.conn.clone()),
        }
    }

    /// Runs the corridor while the connection is watched: interim responses go out, pipelined bytes
    /// come in, a client that is gone cancels everything.
    async fn drive(&mut self, arrived: Arrived) -> Result<Response, Ending> {
        let conn = &self.conn;
        let mut upload = UploadWatch::new(&conn.borrow(), Patience::with_clients(&self.door.limits));
        let mut walk = pin!(self.door.corridor.walk(arrived));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(response) = walk.as_mut().poll(cx) {
                return Poll::Ready(Ok(response));
            }
            let conn = &mut *conn.borrow_mut();
            if conn.output_bytes() > 0
                && let Poll::Ready(Err(_)) = conn.poll_flush(cx)
            {
                return Poll::Ready(Err(Ending::Cut));
            }
            if upload.poll_stalled(conn, cx).is_ready() {
                return Poll::Ready(Err(Ending::Cut));
            }
            poll_ahead(conn, cx).map(|()| Err(Ending::Cut))
        })
        .await
    }

    /// Writes a response. Whether the connection may go on.
    async fn respond(
        &mut self,
        response: Response,
        version: Version,
        method: &Method,
        keep_alive: bool,
    ) -> Result<bool, Ending> {
        let Response { status, headers, body, upload, .. } = response;
        let bodiless =
            *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let framing = match (bodiless, body.length(), version) {
            (true, ..) if status == StatusCode::NO_CONTENT => Framing::None,
            (true, ..) => announced.map_or(Framing::None, Framing::Length),
            (_, Some(length), _) => Framing::Length(length),
            (_, None, Version::Http10) => Framing::UntilClose,
            (_, None, _) => Framing::Chunked,
        };
        let keep_alive = keep_alive && framing != Framing::UntilClose;
        {
            let mut conn = self.conn.borrow_mut();
            conn.takes_interim = false;
            encode::response_head(conn.head_buffer(), version, status, &headers, framing, keep_alive);
        }
        let body = if bodiless { Body::Empty } else { body };
        let writer = BodyWriter::new(if bodiless { Framing::None } else { framing });
        let write = write_body(self.conn.clone(), self.door.limits.body_idle_timeout, body, writer, false);
        match write_beside(write, upload, false).await {
            Ok(()) => Ok(keep_alive),
            Err(_) => Err(Ending::Cut),
        }
    }

    /// Accepts a WebSocket and carries its bytes until both directions have ended.
    fn switch(&self, response: Response, key: &HeaderValue) -> Ending {
        let Response { mut headers, body, upload, .. } = response;
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, websocket::accept_for(key.as_bytes()));
        let status = StatusCode::SWITCHING_PROTOCOLS;
        {
            let mut conn = self.conn.borrow_mut();
            conn.takes_interim = false;
            encode::response_head(conn.head_buffer(), Version::Http11, status, &headers, Framing::None, true);
            conn.open_gate();
        }
        Ending::Switched(body, upload)
    }

    /// Answers what was refused; always the end of the connection.
    async fn refuse(&mut self, error: Error) -> Result<(), Ending> {
        let response = self.door.corridor.refuse(&error);
        self.conn.borrow_mut().inbound = Inbound::Done;
        self.respond(response, Version::Http11, &Method::GET, false).await?;
        Err(Ending::Linger)
    }
}
