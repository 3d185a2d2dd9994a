//! The record of one request: counted once, logged once, when its last byte is gone.
//!
//! ```text
//!   begin ─▶ found (app) ─▶ via (connector) | fail ─▶ finish ──body ends or is dropped──▶ written
//! ```

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::headers::{Identity, mark_response};
use super::{App, Arrived};
use crate::error::Error;
use crate::filters::Guard;
use crate::http::{Body, Frame, Response, Version};
use crate::id::RequestId;
use crate::metrics::{AppShard, Protocol, Shard};
use crate::trace::{AccessLog, Line};

/// What is known of a request so far.
pub(super) struct Record {
    shard: Rc<Shard>,
    access: Option<Rc<AccessLog>>,
    app: Option<(Rc<AppShard>, std::sync::Arc<App>)>,
    id: RequestId,
    began: Instant,
    first_byte: Option<Instant>,
    /// Copied only when a line will be written.
    line: Option<Described>,
    version: Version,
    connector: String,
    status: u16,
    websocket: bool,
    bytes_in: Rc<Cell<u64>>,
    bytes_out: u64,
    fault: Option<Error>,
    /// Its filters learn of the end when the record is gone.
    filters: Option<Guard>,
}

/// The parts of a request that a line names.
struct Described {
    client: std::net::IpAddr,
    method: http::Method,
    host: String,
    target: Bytes,
}

impl Record {
    pub(super) fn begin(
        shard: &Rc<Shard>,
        access: Option<Rc<AccessLog>>,
        id: RequestId,
        arrived: &Arrived,
    ) -> Box<Self> {
        let line = access.is_some().then(|| Described {
            client: arrived.peer.addr.ip(),
            method: arrived.method.clone(),
            host: arrived.authority.as_ref().map(ToString::to_string).unwrap_or_default(),
            target: arrived.target.clone(),
        });
        Box::new(Self {
            shard: shard.clone(),
            access,
            app: None,
            id,
            began: Instant::now(),
            first_byte: None,
            line,
            version: arrived.version,
            connector: String::new(),
            status: 0,
            websocket: false,
            bytes_in: Rc::default(),
            bytes_out: 0,
            fault: None,
            filters: None,
        })
    }

    /// The app is known.
    pub(super) fn found(&mut self, shard: &Shard, app: &std::sync::Arc<App>) {
        let counters = shard.app(&app.name);
        counters.begin();
        if !app.access_log {
            self.line = None;
        }
        self.app = Some((counters, app.clone()));
    }

    /// The connector is known.
    pub(super) fn via(&mut self, connector: String) {
        self.connector = connector;
    }

    /// The request has met filters.
    pub(super) fn keep(&mut self, passage: Guard) {
        self.filters = Some(passage);
    }

    /// The request failed.
    pub(super) fn fail(&mut self, error: Error) {
        self.fault = Some(error);
    }

    /// Counts a request body's bytes as they pass.
    pub(super) fn watch_request(&self, body: Body) -> Body {
        if matches!(body, Body::Empty) || body.is_empty() {
            return body;
        }
        Body::Boxed(Box::pin(Counted { body, bytes: self.bytes_in.clone() }))
    }

    /// Marks the response and attaches the record to its body; without a body it is written now.
    pub(super) fn finish(mut self: Box<Self>, mut response: Response, id: RequestId, identity: &Identity) -> Response {
        mark_response(&mut response.headers, id, identity);
        self.first_byte = Some(Instant::now());
        self.status = response.status.as_u16();
        self.websocket = response.websocket;
        if self.websocket {
            self.status = 101;
            if let Some((app, _)) = &self.app {
                app.upgrade();
            }
        }
        if response.body.is_empty() && !response.websocket && response.upload.is_none() {
            return response;
        }
        let body = std::mem::replace(&mut response.body, Body::Empty);
        response.body = Body::Boxed(Box::pin(Watched { body, record: self }));
        response
    }

    fn write(&mut self) {
        let took = self.began.elapsed();
        if let Some((app, _)) = &self.app {
            let protocol = match (self.websocket, self.version) {
                (true, _) => Protocol::WebSocket,
                (_, Version::Http2) => Protocol::H2,
                _ => Protocol::H1,
            };
            app.end(self.shard.metrics(), self.status, protocol, took, (self.bytes_in.get(), self.bytes_out));
        }
        let (Some(access), Some(line)) = (&self.access, &self.line) else { return };
        let first_byte = self.first_byte.map_or(took, |at| at - self.began);
        access.write(&Line {
            app: self.app.as_ref().map_or("", |(_, app)| &app.name),
            client: line.client,
            method: line.method.as_str(),
            host: &line.host,
            target: &String::from_utf8_lossy(&line.target),
            version: self.version.as_str(),
            status: self.status,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out,
            first_byte: first_byte.as_secs_f64(),
            total: took.as_secs_f64(),
            connector: &self.connector,
            id: self.id.as_str(),
            fault: self.fault.as_ref().map(|error| (error.side.word(), error.kind.cause(), &*error.detail)),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.status == 0 {
            // The client left before there was a response; nginx's 499 by another name.
            self.status = 499;
        }
        self.write();
    }
}

/// A request body whose bytes are counted.
struct Counted {
    body: Body,
    bytes: Rc<Cell<u64>>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let polled = self.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            self.bytes.set(self.bytes.get() + bytes.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

/// A response body that carries its request's record.
struct Watched {
    body: Body,
    record: Box<Record>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let polled = self.body.poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    self.record.bytes_out += bytes.len() as u64;
                }
            }
            Poll::Ready(Some(Err(error))) if self.record.fault.is_none() => {
                self.record.shard.error(error);
                self.record.fault = Some(error.clone());
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
