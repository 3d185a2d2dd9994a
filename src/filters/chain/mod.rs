//! The chain of an app, and one request on its way through it.
//!
//! ```text
//!   request:  filter 0 ─▶ 1 ─▶ … ─▶ n ─▶ relay
//!   response: filter 0 ◀─ 1 ◀─ … ◀─ n ◀──┘        the same contexts, the other way round
//! ```
//!
//! It refuses to know routing and relaying: the corridor hands it heads and bodies and takes them back.

mod member;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::codec::{Levels, limit_accept_encoding};
use super::flow::{Flow, Step};
use super::host::{Host, Running};
use super::plugin::{BodyMode, HeaderBytes, Plugin};
use super::stream::{Data, LocalReply, Shared, Waiting, Way};
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Response};
use crate::metrics::FilterFailure;
pub(super) use member::{FilteredBody, Member, is_grpc};
use member::{grpc_code, percent_encoded};

/// The filters of an app, in the order a request meets them.
#[derive(Default)]
pub struct Chain {
    filters: Vec<Arc<Plugin>>,
    levels: Levels,
}

impl Chain {
    /// A chain of `filters`.
    #[must_use]
    pub fn new(filters: Vec<Arc<Plugin>>) -> Self {
        Self { filters, levels: Levels::default() }
    }

    /// How hard bodies are compressed behind the filters.
    #[must_use]
    pub fn with_levels(self, levels: Levels) -> Self {
        Self { levels, ..self }
    }

    /// Whether requests pass untouched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The filters.
    #[must_use]
    pub fn filters(&self) -> &[Arc<Plugin>] {
        &self.filters
    }

    /// Whether a filter may hold a head until it has seen the body.
    #[must_use]
    pub fn holds_head(&self) -> bool {
        self.filters.iter().any(|plugin| plugin.settings.holds_head && plugin.settings.bodies[0] != BodyMode::Off)
    }

    /// Offers the backend only codings that can be undone on the way back, if a filter wants them undone.
    pub fn limit_codings(&self, headers: &mut HeaderMap) {
        if self.filters.iter().any(|plugin| plugin.settings.bodies[1] == BodyMode::Decoded) {
            limit_accept_encoding(headers);
        }
    }

    /// When the filters have to look at a request with these fields.
    #[must_use]
    pub fn concerned(&self, headers: &HeaderMap, has_body: bool) -> When {
        // The host shows filters the length of a body, though no message carries it here.
        let length = |plugin: &Plugin| has_body && plugin.concerns[0].names(&header::CONTENT_LENGTH);
        match &*self.filters {
            [] => When::Never,
            filters if filters.iter().any(|plugin| plugin.concerns[0].has(headers) || length(plugin)) => When::Now,
            _ => When::Later,
        }
    }

    /// Whether a filter has to look at a response with these fields.
    #[must_use]
    pub fn concerned_by_response(&self, headers: &HeaderMap) -> bool {
        self.filters.iter().any(|plugin| plugin.concerns[1].has(headers))
    }
}

/// When the filters of a chain have to look at an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// There are none.
    Never,
    /// Perhaps when there is a response; the request concerns none of them.
    Later,
    /// From its head on.
    Now,
}

/// One request and its filters. Dropping the last handle ends its contexts: log, done, delete.
pub struct Passage {
    pub(super) shared: Shared,
    /// Together with the state of each filter for this request.
    pub(super) filters: Vec<Member>,
    pub(super) levels: Levels,
}

/// How a request leaves its filters.
pub enum Passed {
    /// To the relay, with this body.
    On(Body),
    /// Back to the client.
    Reply(Box<Response>),
}

impl Passage {
    /// Takes a request to its filters: each gets the VM that serves it until the end.
    ///
    /// # Errors
    /// `filter-failed`: a filter that does not fail open has no VM.
    pub async fn begin(host: &Rc<Host>, chain: &Chain, data: Data) -> Result<Rc<Self>> {
        let mut filters = Vec::with_capacity(chain.filters.len());
        for plugin in &chain.filters {
            let running = match host.ready(plugin) {
                Some(running) => Ok(running),
                None => Box::pin(host.running(plugin)).await,
            };
            let running = match running {
                Ok(running) => Some(running),
                Err(_) if plugin.settings.fail_open => None,
                Err(error) => return Err(error),
            };
            let skipped = std::cell::Cell::new(running.is_none());
            filters.push(Member { plugin: plugin.clone(), running, skipped, paused: std::cell::Cell::new(false) });
        }
        let mut data = data;
        data.slots.resize_with(filters.len(), Default::default);
        Ok(Rc::new(Self { shared: Shared::new(data), filters, levels: chain.levels }))
    }

    /// Passes the request's head, and as much of its body as the filters want to see first.
    ///
    /// # Errors
    /// A filter failed, closed the stream, or the body did.
    pub async fn request(self: &Rc<Self>, body: Body, ended: bool) -> Result<Passed> {
        self.refuse_bytes()?;
        let mut flow = Flow::new(self.clone(), Way::Request, body, ended);
        match std::future::poll_fn(|cx| flow.poll_head(cx)).await? {
            Step::Head => Ok(Passed::On(flow.into_body())),
            Step::Reply => Box::pin(self.reply()).await.map(|response| Passed::Reply(Box::new(response))),
        }
    }

    /// Runs `relaying` unless a filter answers or closes meanwhile.
    ///
    /// # Errors
    /// What relaying fails with, or the filter that closed the stream.
    pub async fn beside<T>(
        self: &Rc<Self>,
        relaying: impl Future<Output = Result<T>>,
    ) -> Result<std::result::Result<T, Box<Response>>> {
        let mut relaying = std::pin::pin!(relaying);
        let relayed = std::future::poll_fn(|cx| {
            // Looked at before and after: the request's body runs through its filters in between.
            if self.interrupted(cx) {
                return Poll::Ready(None);
            }
            match relaying.as_mut().poll(cx) {
                Poll::Ready(_) if self.interrupted(cx) => Poll::Ready(None),
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if self.interrupted(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match relayed {
            Some(result) => result.map(Ok),
            None => {
                if let Some(fault) = self.shared.with(|data| data.fault.take()).flatten() {
                    return Err(fault);
                }
                self.closed()?;
                Box::pin(self.reply()).await.map(|response| Err(Box::new(response)))
            }
        }
    }

    fn interrupted(&self, cx: &Context<'_>) -> bool {
        let look = |data: &mut Data| {
            data.wait(Waiting::Corridor, cx);
            data.reply.is_some() || data.closed.is_some() || data.fault.is_some()
        };
        self.shared.with(look).unwrap_or(false)
    }

    /// Passes a response back through the filters.
    ///
    /// # Errors
    /// A filter failed or closed the stream, or the body did while its head was held.
    pub async fn response(self: &Rc<Self>, mut response: Response, head_only: bool) -> Result<Response> {
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let ended = head_only || (body.is_empty() && !response.websocket);
        let from = self.filters.len();
        let (status, headers) = (response.status, std::mem::take(&mut response.headers));
        let (status, headers, body) = self.respond(status, headers, body, ended, from).await?;
        (response.status, response.headers, response.body) = (status, headers, body);
        Ok(response)
    }

    /// The answer of the filter that asked for one, passed through the filters before it and itself
    /// (ABI, 10).
    async fn reply(self: &Rc<Self>) -> Result<Response> {
        let taken = self.shared.with(|data| data.reply.take()).flatten();
        let Some((index, reply)) = taken else {
            return Err(Error::new(Kind::Internal, "a filter's reply that was not there"));
        };
        let look = |data: &mut Data| (is_grpc(&data.headers[0]), data.method == http::Method::HEAD);
        let (grpc, head_only) = self.shared.with(look).unwrap_or_default();
        let (status, headers, body) = self.answer(index, reply, grpc);
        let ended = body.is_empty() || head_only;
        let (status, headers, body) = self.respond(status, headers, body, ended, index + 1).await?;
        Ok(Response::new(status, headers, body))
    }

    /// What a local reply is as a response.
    pub(super) fn answer(&self, index: usize, reply: LocalReply, grpc: bool) -> (StatusCode, HeaderMap, Body) {
        let LocalReply { status, mut headers, body, details, grpc_status } = reply;
        self.filters[index].shard(|shard| shard.local_reply(status.as_u16()));
        self.shared.with(|data| data.details = details);
        if grpc {
            // A trailers-only answer: a gRPC client reads nothing else.
            let code = if grpc_status >= 0 { grpc_status } else { grpc_code(status) };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(code));
            if let Ok(message) = HeaderValue::from_str(&percent_encoded(&body)) {
                headers.insert(HeaderName::from_static("grpc-message"), message);
            }
            return (StatusCode::OK, headers, Body::Empty);
        }
        if body.is_empty() {
            return (status, headers, Body::Empty);
        }
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        (status, headers, Body::Full(body))
    }

    async fn respond(
        self: &Rc<Self>,
        status: StatusCode,
        headers: HeaderMap,
        body: Body,
        ended: bool,
        from: usize,
    ) -> Result<(StatusCode, HeaderMap, Body)> {
        self.shared.with(|data| {
            data.status = Some(status);
            data.headers[1] = headers;
        });
        let mut flow = Flow::response(self.clone(), body, ended, from);
        std::future::poll_fn(|cx| flow.poll_head(cx)).await?;
        // Body callbacks and `proxy_on_log` may look at the head once more.
        let looks = |member: &Member| {
            member.plugin.settings.bodies[1] != BodyMode::Off || member.running.as_ref().is_some_and(|it| it.logs())
        };
        let is_kept = self.filters.iter().any(looks);
        let head = self.shared.with(|data| {
            data.committed = true;
            let fields = &mut data.headers[1];
            let headers = if is_kept { fields.clone() } else { std::mem::take(fields) };
            (data.status.unwrap_or(status), headers)
        });
        let (status, headers) = head.ok_or_else(|| Error::new(Kind::Internal, "a response's head is lent"))?;
        Ok((status, headers, flow.into_body()))
    }

    /// What the filters made of the request's head.
    pub fn take_head<R>(&self, take: impl FnOnce(&mut Data) -> R) -> Result<R> {
        self.shared.with(take).ok_or_else(|| Error::new(Kind::Internal, "a request's head is lent"))
    }

    /// The error of a stream that a filter closed.
    pub(super) fn closed(&self) -> Result<()> {
        match self.shared.with(|data| data.closed).flatten() {
            None => Ok(()),
            Some(index) => {
                let name = &self.filters[index].plugin.settings.name;
                Err(Error::new(Kind::FilterClosed, format!("filter={name} closed the stream")))
            }
        }
    }

    /// `header_bytes = "reject"` (ABI, 21 item 11).
    fn refuse_bytes(&self) -> Result<()> {
        let strict = |member: &Member| member.plugin.settings.header_bytes == HeaderBytes::Reject;
        if !self.filters.iter().any(strict) {
            return Ok(());
        }
        let odd = |data: &mut Data| {
            let odd = |value: &HeaderValue| std::str::from_utf8(value.as_bytes()).is_err();
            data.headers[0].iter().find(|(_, value)| odd(value)).map(|(name, _)| name.clone())
        };
        match self.shared.with(odd).flatten() {
            Some(name) => Err(Error::bad_request(format!("the value of {name} is not UTF-8"))),
            None => Ok(()),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for (index, member) in self.filters.iter().enumerate() {
            member.set_paused(false);
            let context = self.shared.with(|data| data.slots.get(index).map_or(0, |slot| slot.context)).unwrap_or(0);
            if let Some(running) = &member.running
                && context != 0
            {
                running.end(context);
            }
        }
    }
}

/// Keeps a passage alive for as long as the request has not ended.
pub type Guard = Rc<Passage>;
