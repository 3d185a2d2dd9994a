//! The connections of one worker to one place: idle HTTP/1.1 ones, and one HTTP/2 connection.
//!
//! ```text
//!   HTTP/1.1: idle (last in, first out) ──check──▶ in use ──body read──▶ idle | closed
//!   HTTP/2:   one connection shared by all requests of the worker, replaced when it goes away
//! ```
//!
//! A connection on which anything arrived while it was idle is closed, never attached to a
//! request (RFC 9112, 9.2). It refuses to queue: a full pool is `overloaded`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::Method;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::dial::dial;
use super::dns::Resolver;
use super::policy::Policy;
use super::target::Place;
use super::{h1, h2};
use crate::error::{Error, Kind, Result, Side};
use crate::http::h1::{Conn, Shared};
use crate::http::{Outgoing, Response};
use crate::limits::Limits;
use crate::metrics::Shard;

pub(super) struct Pool {
    place: Place,
    tls: Option<Arc<ClientConfig>>,
    limits: Rc<Limits>,
    resolver: Resolver,
    policy: Rc<Policy>,
    shard: Rc<Shard>,
    idle: RefCell<Vec<Idle>>,
    /// HTTP/1.1 connections, idle and in use.
    open: Cell<usize>,
    http2: RefCell<Option<h2::Client>>,
}

struct Idle {
    conn: Shared,
    since: Instant,
}

/// Counts an HTTP/1.1 connection while it exists.
pub(super) struct Lease {
    pool: Rc<Pool>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.open.set(self.pool.open.get() - 1);
    }
}

impl Pool {
    pub(super) fn new(
        place: Place,
        tls: Option<Arc<ClientConfig>>,
        limits: Rc<Limits>,
        resolver: Resolver,
        policy: Rc<Policy>,
        shard: Rc<Shard>,
    ) -> Rc<Self> {
        Rc::new(Self {
            place,
            tls,
            limits,
            resolver,
            policy,
            shard,
            idle: RefCell::default(),
            open: Cell::new(0),
            http2: RefCell::default(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.get() == 0 && self.http2.borrow().is_none()
    }

    /// Closes what has been idle for too long or was closed by the server.
    pub(super) fn close_idle(&self) {
        let timeout = self.limits.backend_idle_timeout;
        let before = self.idle.borrow().len();
        self.idle.borrow_mut().retain(|idle| idle.since.elapsed() < timeout && is_quiet(&idle.conn));
        let closed = before - self.idle.borrow().len();
        self.open.set(self.open.get() - closed);
        let mut http2 = self.http2.borrow_mut();
        if http2.as_ref().is_some_and(|client| client.is_closed() || client.idle_for() > timeout) {
            *http2 = None;
        }
    }

    /// Sends one request; `silence` is how long the body of the response may be silent.
    pub(super) async fn send(self: &Rc<Self>, mut request: Box<Outgoing>, silence: Duration) -> Result<Response> {
        let existing = self.http2.borrow().as_ref().filter(|client| !client.is_closed()).cloned();
        if let Some(client) = existing {
            self.shard.backend_reused();
            match client.send(request, silence).await {
                Ok(response) => return Ok(response),
                // The server went away before it took this request: once more, on a new one.
                Err(h2::Failed { retry: Some(again), .. }) => request = again,
                Err(h2::Failed { error, .. }) => return Err(error),
            }
        } else if let Some(conn) = self.take_idle() {
            self.shard.backend_reused();
            let safe = request.method.is_idempotent() || request.method == Method::TRACE;
            let lease = Lease { pool: self.clone() };
            match h1::send(conn, lease, request, silence, self.on_idle()).await {
                Ok(response) => return Ok(response),
                Err(h1::Failed { stale: true, request: Some(again), .. }) if safe => request = again,
                Err(h1::Failed { error, .. }) => return Err(error),
            }
        }
        // Dialling is rare and its future large: it has no place in the one every request pays for.
        Box::pin(self.send_anew(request, silence)).await
    }

    async fn send_anew(self: &Rc<Self>, request: Box<Outgoing>, silence: Duration) -> Result<Response> {
        if self.open.get() >= self.limits.backend_connections {
            let detail = format!("{} has limits.backend_connections = {} open", self.place, self.open.get());
            return Err(Error::new(Kind::Overloaded, detail));
        }
        self.open.set(self.open.get() + 1);
        let lease = Lease { pool: self.clone() };
        let timeout = self.limits.backend_connect_timeout;
        let dialled = dial(&self.place, self.tls.as_ref(), &self.resolver, &self.policy, timeout).await;
        let dialled = dialled.inspect_err(|error| self.shard.backend_failed(error.kind))?;
        self.shard.backend_opened();
        if dialled.http2 {
            drop(lease);
            let client = h2::Client::start(dialled.stream).await?;
            *self.http2.borrow_mut() = Some(client.clone());
            return client.send(request, silence).await.map_err(|failed| failed.error);
        }
        let conn = Rc::new(RefCell::new(Conn::new(dialled.stream, Side::Backend)));
        h1::send(conn, lease, request, silence, self.on_idle()).await.map_err(|failed| failed.error)
    }

    /// The most recently used connection that is still quiet; its lease is the caller's to make.
    fn take_idle(&self) -> Option<Shared> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            if is_quiet(&idle.conn) {
                return Some(idle.conn);
            }
            self.open.set(self.open.get() - 1);
        }
    }

    /// Puts a connection back whose exchange is complete.
    fn on_idle(self: &Rc<Self>) -> h1::GiveBack {
        Box::new(|conn, lease| {
            let pool = lease.pool.clone();
            pool.open.set(pool.open.get() + 1); // the idle connection is counted, the lease is not
            drop(lease);
            pool.idle.borrow_mut().push(Idle { conn, since: Instant::now() });
        })
    }
}

/// Whether nothing at all has arrived on an idle connection: no byte and no end.
fn is_quiet(conn: &Shared) -> bool {
    let mut conn = conn.borrow_mut();
    conn.input.is_empty() && conn.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
}
