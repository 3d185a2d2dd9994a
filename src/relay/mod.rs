//! Room 5: where an admitted request goes, and what may be tried again.
//!
//! ```text
//!   Local ─▶ backend room
//!   Group ─▶ pick a link ─▶ send ─┬─ answered ─────────────────────────▶ response | fault
//!                ▲                ├─ certainly unprocessed, body whole ─┐
//!                └── another link ┴─ lost, method safe, body whole ─────┘   at most 3 links
//! ```
//!
//! It refuses to repeat what may have had an effect: that is `link-lost`.

mod head;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use crate::backend::{Backends, Target};
use crate::error::{Error, Kind, Result, Side};
use crate::http::h2::H2Body;
use crate::http::h2::client::Failure;
use crate::http::{Body, Outgoing, Response, fields};
use crate::io::clock::Watchdogs;
use crate::limits::Limits;
use crate::metrics::Shard;
use crate::tunnel::envelope::Writer;
use crate::tunnel::field;
use crate::tunnel::fleet::{Fleet, Pick};
use crate::tunnel::link::Link;

/// Links one request may be sent on: the second finds most connectors that are gone, a third
/// covers a group that is being restarted member by member.
const ATTEMPTS: usize = 3;

/// What the edge grants a connector beyond the backend's own timeout before it gives up on both.
const MARGIN: Duration = Duration::from_secs(5);

/// Where an app's requests go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To any connector of a group.
    Group {
        /// The group's name.
        group: String,
        /// The app's name, as pushed to the connectors.
        app: HeaderValue,
        /// Which state of its target is meant.
        revision: HeaderValue,
        /// The `Host` that the connector derives from the target: it need not travel.
        host: HeaderValue,
        /// How long the backend may take for its response head.
        timeout: Duration,
        /// The backend is reached with TLS; for the `:scheme` of the stream.
        tls: bool,
    },
    /// To the backend itself.
    Local(Arc<Target>),
}

/// A response and the connector it came through.
pub struct Relayed {
    /// The response.
    pub response: Response,
    /// The connector, unless the edge dialled itself.
    pub connector: Option<Rc<Link>>,
}

/// The relay room of one worker.
pub struct Relay {
    fleet: Rc<Fleet>,
    backends: Rc<Backends>,
    limits: Rc<Limits>,
    shard: Rc<Shard>,
    queued: Cell<usize>,
    watchdogs: Watchdogs,
    envelopes: Writer,
}

impl Relay {
    /// A relay over this worker's links and backends.
    #[must_use]
    pub fn new(fleet: Rc<Fleet>, backends: Rc<Backends>, limits: Rc<Limits>, shard: Rc<Shard>) -> Self {
        let (watchdogs, envelopes) = (Watchdogs::default(), Writer::default());
        Self { fleet, backends, limits, shard, queued: Cell::new(0), watchdogs, envelopes }
    }

    /// Sends an admitted request to its destination.
    ///
    /// # Errors
    /// `connector-unavailable`, `overloaded`, `link-lost`, `backend-timeout`, or what the connector
    /// or the backend room report.
    pub async fn send(
        &self,
        destination: &Destination,
        label: Option<&str>,
        outgoing: Box<Outgoing>,
    ) -> Result<Relayed> {
        match destination {
            Destination::Local(target) => {
                let response = self.backends.send(target, label, outgoing).await?;
                Ok(Relayed { response, connector: None })
            }
            Destination::Group { group, timeout, .. } => {
                let answered = self.send_by_link(destination, group, label, outgoing);
                match self.watchdogs.limit(*timeout + MARGIN, pin!(answered)).await {
                    Some(result) => result,
                    None => {
                        let detail = format!("no response head through group {group} in {:?}", *timeout + MARGIN);
                        Err(Error::new(Kind::BackendTimeout, detail))
                    }
                }
            }
        }
    }

    async fn send_by_link(
        &self,
        destination: &Destination,
        group: &str,
        label: Option<&str>,
        mut outgoing: Box<Outgoing>,
    ) -> Result<Relayed> {
        let mut tried: Vec<Rc<Link>> = Vec::new();
        let mut last = None;
        loop {
            let link = match self.pick(group, &tried).await {
                Ok(link) => link,
                Err(error) => return Err(last.unwrap_or(error)),
            };
            let head = head::stream_head(&self.envelopes, destination, label, &outgoing)?;
            let body = std::mem::replace(&mut outgoing.body, Body::Empty);
            match link.send(head, body, outgoing.expects_continue, &outgoing.interim).await {
                Ok(((response, upload), guard)) => {
                    let (parts, stream) = response.into_parts();
                    let body = H2Body::new(stream, &parts.headers, Side::Link).guarded(guard);
                    let response = Response {
                        status: parts.status,
                        headers: parts.headers,
                        websocket: false,
                        body: Body::H2(body),
                        upload,
                        last: false,
                    };
                    return read_answer(response, &outgoing)
                        .map(|response| Relayed { response, connector: Some(link) });
                }
                Err(failure) => {
                    let (body, error) = self.may_repeat(&link, &outgoing.method, *failure, tried.len() + 1)?;
                    outgoing.body = body;
                    last = Some(error);
                    tried.push(link);
                }
            }
        }
    }

    /// The body to send again, and the error if there is nobody to send it to; or the error that
    /// ends the request.
    fn may_repeat(&self, link: &Link, method: &Method, failure: Failure, attempts: usize) -> Result<(Body, Error)> {
        let Failure { detail, unprocessed, body, reset, own } = failure;
        if let Some(error) = own {
            return Err(error);
        }
        let detail = format!("link to {} ({}): {detail}", link.name, link.connector);
        if reset && !unprocessed {
            // The link lives: the connector's answer broke off before its head was out.
            return Err(Error::new(Kind::BackendClosed, detail));
        }
        match body {
            Some(body) if attempts < ATTEMPTS && (unprocessed || method.is_safe()) => {
                self.shard.retried(if unprocessed { "unprocessed" } else { "safe-method" });
                tracing::debug!(detail, unprocessed, "a request goes to another link");
                Ok((body, Error::new(Kind::LinkLost, detail)))
            }
            _ => Err(Error::new(Kind::LinkLost, detail)),
        }
    }

    /// A usable link; waits for one when the group lost its last a moment ago.
    async fn pick(&self, group: &str, tried: &[Rc<Link>]) -> Result<Rc<Link>> {
        match self.pick_now(group, tried)? {
            Some(link) => Ok(link),
            None => Box::pin(self.wait_for_link(group, tried)).await,
        }
    }

    fn pick_now(&self, group: &str, tried: &[Rc<Link>]) -> Result<Option<Rc<Link>>> {
        match self.fleet.pick(group, tried, self.limits.streams_per_link) {
            Pick::Link(link) => Ok(Some(link)),
            Pick::Nobody => Ok(None),
            Pick::Full => {
                let detail = format!("every link of group {group} has limits.streams_per_link requests under way");
                Err(Error::new(Kind::Overloaded, detail))
            }
        }
    }

    async fn wait_for_link(&self, group: &str, tried: &[Rc<Link>]) -> Result<Rc<Link>> {
        let deadline = Instant::now() + self.limits.queue_wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fleet.lately(group) {
                let detail = format!("group {group} has no usable link on this worker");
                return Err(Error::new(Kind::ConnectorUnavailable, detail));
            }
            if self.queued.get() >= self.limits.queue_length {
                return Err(Error::new(Kind::Overloaded, "limits.queue_length requests wait for a link"));
            }
            let queued = Queued::enter(self);
            self.fleet.wait(left).await;
            drop(queued);
            if let Some(link) = self.pick_now(group, tried)? {
                return Ok(link);
            }
        }
    }
}

/// A request that waits for a link.
struct Queued<'a>(&'a Relay);

impl<'a> Queued<'a> {
    fn enter(relay: &'a Relay) -> Self {
        relay.queued.set(relay.queued.get() + 1);
        relay.shard.metrics().queued.inc();
        Self(relay)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.set(self.0.queued.get() - 1);
        self.0.shard.metrics().queued.dec();
    }
}

/// Reads what the connector says about the response, and takes its fields off.
fn read_answer(mut response: Response, outgoing: &Outgoing) -> Result<Response> {
    if let Some(fault) = response.headers.get(field::FAULT) {
        let text = String::from_utf8_lossy(fault.as_bytes());
        let (cause, detail) = text.split_once("; ").unwrap_or((&text, ""));
        let kind = Kind::from_cause(cause).unwrap_or(Kind::BackendInvalid);
        return Err(Error::new(kind, detail.to_owned()));
    }
    let accepted = response.headers.remove(field::ACCEPTED).is_some();
    response.websocket = outgoing.websocket && accepted;
    // What looks like the link's own is not for clients, whoever sent it.
    fields::strip_own(&mut response.headers);
    if outgoing.websocket && !accepted && response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(Kind::BackendInvalid, "101 that the connector did not confirm"));
    }
    Ok(response)
}
