//! One filter in a host of its own, and exchanges through it: the corridor's steps without a network.
//!
//! ```text
//!   RequestText ─▶ Passage::request ─▶ what the backend would get
//!   ResponseText ─▶ Passage::response ─▶ what the client would get
//! ```

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::HeaderMap;
use http::{Method, StatusCode};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::chunks::{Chunking, arriving, whole};
use super::message::{RequestText, ResponseText};
use super::scripted::Script;
use crate::error::Error;
use crate::exchange::{hide_framing, show_framing};
use crate::filters::{Chain, Data, Facts, Host, Library, Module, Observer, Passage, Passed, Plugin, Settings};
use crate::http::{Response, fields};
use crate::id::RequestId;
use crate::metrics::{Metrics, Shard};

/// How long an exchange may take: a filter that pauses and never goes on is told apart by this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs trials: one thread, as a worker of the proxy.
pub(super) struct Stage {
    runtime: Runtime,
    local: LocalSet,
}

impl Stage {
    pub(super) fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.map_err(|error| error.to_string())?, local: LocalSet::new() })
    }

    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, work)
    }
}

/// A filter, started.
pub(super) struct Trial {
    pub(super) plugin: Arc<Plugin>,
    pub(super) notes: Vec<String>,
    host: Rc<Host>,
    chain: Chain,
}

/// What goes in.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    pub(super) request: RequestText,
    pub(super) response: ResponseText,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What the backend would get; `None`: it is not asked.
    pub(super) request: Option<RequestText>,
    pub(super) end: End,
}

/// How an exchange ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the backend's response, as the filter left it.
    Response(ResponseText),
    /// With an answer of the filter's own, before the backend's was there.
    Reply(ResponseText),
    /// With an error of the proxy's: its code, the status a client would see, and why.
    Failed(&'static str, StatusCode, String),
}

impl Trial {
    /// Starts `module` with `settings`, and nothing left of an earlier trial. Inside [`Stage::run`] only.
    pub(super) fn start(
        module: &Arc<Module>,
        settings: Settings,
        (observer, script): (Option<Arc<dyn Observer>>, Script),
    ) -> Result<Self, String> {
        let metrics = Arc::new(Metrics::new().map_err(|error| error.to_string())?);
        let library = Library::open(1, None, metrics.clone(), observer)?;
        let loaded = library.ready(settings, module.clone()).map_err(|fault| fault.reason)?;
        let host = Host::start(tokio::runtime::Handle::current(), Box::new(script), Shard::start(&metrics));
        let chain = Chain::new(vec![loaded.plugin.clone()]);
        Ok(Self { plugin: loaded.plugin, notes: loaded.notes, host, chain })
    }

    /// Bytes of memory the filter's instance has.
    pub(super) fn memory(&self) -> i64 {
        self.plugin.metrics.memory.get()
    }

    /// Passes one exchange through the filter.
    pub(super) async fn exchange(&self, exchange: &Exchange, chunking: Chunking) -> Outcome {
        self.through(&self.chain, exchange, chunking).await
    }

    /// The same without the filter, for comparison.
    pub(super) async fn unfiltered(&self, exchange: &Exchange, chunking: Chunking) -> Outcome {
        self.through(&Chain::default(), exchange, chunking).await
    }

    async fn through(&self, chain: &Chain, exchange: &Exchange, chunking: Chunking) -> Outcome {
        let mut sent = None;
        let passing = self.pass(chain, exchange, chunking, &mut sent);
        let end = match tokio::time::timeout(PATIENCE, passing).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => End::Failed(error.kind.code(), error.kind.status(), error.to_string()),
            Err(_) => {
                let why = format!("it paused, and {} s later nothing had let it go on", PATIENCE.as_secs());
                End::Failed("stuck", StatusCode::GATEWAY_TIMEOUT, why)
            }
        };
        Outcome { request: sent, end }
    }

    async fn pass(
        &self,
        chain: &Chain,
        exchange: &Exchange,
        chunking: Chunking,
        sent: &mut Option<RequestText>,
    ) -> Result<End, Error> {
        let RequestText { method, path, authority, headers, body, trailers } = exchange.request.clone();
        let arrives = arriving(&headers, &body, &trailers, chunking);
        let mut data = Data::new(facts(), method.clone(), authority, path, headers);
        fields::strip_hop_by_hop(&mut data.headers[0]);
        chain.limit_codings(&mut data.headers[0]);
        show_framing(&mut data.headers[0], &arrives, false);
        let ended = arrives.is_empty();
        let passage = Passage::begin(&self.host, chain, data).await?;
        let body = match passage.request(arrives, ended).await? {
            Passed::On(body) => body,
            Passed::Reply(reply) => return replied(*reply).await,
        };
        let mut head = passage.take_head(|data| RequestText {
            method: data.method.clone(),
            path: data.path.clone(),
            authority: data.authority.clone(),
            headers: data.headers[0].clone(),
            body: bytes::Bytes::new(),
            trailers: HeaderMap::new(),
        })?;
        let length = body.length();
        hide_framing(&mut head.headers);
        match passage.beside(whole(body)).await? {
            Ok((body, trailers)) => (head.body, head.trailers) = (body, trailers),
            Err(reply) => return replied(*reply).await,
        }
        if let Some(length) = length.filter(|&length| length > 0) {
            // What the next hop will be told, from the body and not from the filter.
            head.headers.insert(http::header::CONTENT_LENGTH, length.into());
        }
        *sent = Some(head);
        let response = self.respond(&passage, &exchange.response, &method, chunking).await?;
        Ok(End::Response(read(response).await?))
    }

    async fn respond(
        &self,
        passage: &Rc<Passage>,
        from: &ResponseText,
        method: &Method,
        chunking: Chunking,
    ) -> Result<Response, Error> {
        let ResponseText { status, mut headers, body, trailers } = from.clone();
        let bodiless = method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        let body = if bodiless { crate::http::Body::Empty } else { arriving(&headers, &body, &trailers, chunking) };
        fields::strip_hop_by_hop(&mut headers);
        passage.response(Response::new(status, headers, body), bodiless).await
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.plugin.retire();
    }
}

async fn replied(reply: Response) -> Result<End, Error> {
    Ok(End::Reply(read(reply).await?))
}

async fn read(response: Response) -> Result<ResponseText, Error> {
    let Response { status, headers, body, .. } = response;
    let (body, trailers) = whole(body).await?;
    Ok(ResponseText { status, headers, body, trailers })
}

/// A client on this machine, speaking HTTP/1.1 to an app called `app`.
fn facts() -> Facts {
    Facts {
        app: "app".into(),
        id: RequestId::random(),
        protocol: "HTTP/1.1",
        scheme: "http",
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        connection: 1,
        tls_version: None,
        server_name: None,
        began: SystemTime::now(),
    }
}
