//! What the host knows while a guest runs: whose callback it is, what is lent to it, what it asked for.
//!
//! ```text
//!   Vm ── lends Data, sets phase ──▶ State ◀── host calls read and write ── guest
//!   Vm ◀── effects, carried out after the callback (no re-entrancy) ──┘
//! ```

mod bounds;
mod names;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;
use wasmtime::{Memory, ResourceLimiter, TypedFunc};

use super::commons::Mailbox;
use super::deadline::Deadline;
use super::observe::{Level, Observer};
use super::plugin::Plugin;
use super::stream::{Data, Shared};
use crate::metrics::{CustomHandle, DeniedCapability, FilterPhase};
use bounds::Bucket;
pub use bounds::{ById, Limiter};
pub use names::Named;
use names::Names;

/// The root context of every VM.
pub const ROOT: u32 = 1;

/// Bytes of one log line; the rest is cut.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Host calls remembered for the report of a trap.
const RECENT: usize = 8;

/// A stream context of a VM.
pub struct StreamContext {
    /// The request.
    pub shared: Shared,
    /// The filter's place in the request's chain.
    pub index: usize,
}

/// What a guest asked for, to be carried out after its callback.
pub enum Effect {
    /// A call to an upstream.
    Call(Box<CallOut>),
    /// The timer of the root context; `None` stops it.
    Tick(Option<Duration>),
    /// Somebody who waits for the request of this context must look again.
    Wake(u32),
    /// `proxy_done`: the root context has finished.
    Done,
    /// Something came into one of its queues while it was being started.
    Registered(Vec<u8>),
}

/// A call to an upstream.
pub struct CallOut {
    /// Its id.
    pub id: u32,
    /// The context that made it.
    pub context: u32,
    /// The upstream's name.
    pub upstream: String,
    /// The method.
    pub method: http::Method,
    /// The target.
    pub path: http::uri::PathAndQuery,
    /// The value of `Host`.
    pub authority: http::HeaderValue,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When to give up.
    pub timeout: Duration,
}

/// What came back.
#[derive(Default)]
pub struct CallResponse {
    /// `:status`, absent when the call failed.
    pub status: Option<http::StatusCode>,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: HeaderMap,
}

/// The state of one VM.
pub struct State {
    /// The filter.
    pub plugin: Arc<Plugin>,
    /// Its memory, once it is instantiated.
    pub memory: Option<Memory>,
    /// How bytes are handed to it.
    pub allocator: Option<TypedFunc<u32, u32>>,
    /// The callback that runs.
    pub phase: Phase,
    /// How long it may.
    pub deadline: Deadline,
    /// The context that host calls act on.
    pub effective: u32,
    /// The request of that context, lent.
    pub lent: Option<Box<Data>>,
    /// The place of this filter in its chain.
    pub index: usize,
    /// All stream contexts.
    pub contexts: HashMap<u32, StreamContext, BuildHasherDefault<ById>>,
    /// What was asked for.
    pub effects: Vec<Effect>,
    /// The response of a call, while it is told.
    pub call: Option<Box<CallResponse>>,
    /// Arguments of a foreign function, never set: the host calls none.
    pub limiter: Limiter,
    /// Who watches.
    pub observer: Option<Arc<dyn Observer>>,
    /// What an observed host call is about.
    pub about: String,
    /// Bytes handed over by it.
    pub moved: usize,
    /// Metrics it has defined, by id.
    pub metrics: HashMap<u32, CustomHandle>,
    /// Host calls so far, for the warning about a wrong root id.
    pub host_calls: u64,
    /// Calls out under way.
    pub calls: usize,
    /// Where its queues tell it something; the worker that adopts it listens.
    pub mailbox: Mailbox,
    /// The queues it consumes.
    pub queues: Vec<Vec<u8>>,
    /// It lives on a worker.
    pub adopted: bool,
    /// `proxy_done` may come.
    pub ending: bool,
    names: Names,
    recent: [(&'static str, u32); RECENT],
    next_call: u32,
    lines: Bucket,
}

/// Which callback runs, and so what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `_initialize`, `_start`, `main`: there is no context; only logging works.
    Initialize,
    /// `proxy_on_context_create`.
    ContextCreate,
    /// `proxy_on_vm_start`.
    VmStart,
    /// `proxy_on_configure`.
    Configure,
    /// The phases of a request and the asynchronous ones.
    Running(FilterPhase),
    /// The allocator, inside a host call.
    Allocate,
}

impl State {
    /// The state of a VM about to be started, and the mailbox of its queues.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>, observer: Option<Arc<dyn Observer>>) -> (Self, mpsc::Receiver<u32>) {
        // Notes are only "look into queue n": a consumer looks until it is empty.
        let (mailbox, notes) = mpsc::channel(64);
        let memory_max = plugin.settings.limits.memory;
        let lines = Bucket::new(plugin.settings.limits.log_lines_per_second);
        let state = Self {
            plugin,
            memory: None,
            allocator: None,
            phase: Phase::Initialize,
            deadline: Deadline::default(),
            effective: 0,
            lent: None,
            index: 0,
            contexts: HashMap::default(),
            effects: Vec::new(),
            call: None,
            limiter: Limiter { memory_max, memory: 0, refused: false },
            observer,
            about: String::new(),
            moved: 0,
            metrics: HashMap::new(),
            host_calls: 0,
            calls: 0,
            mailbox,
            queues: Vec::new(),
            adopted: false,
            ending: false,
            names: Names::default(),
            recent: [("", 0); RECENT],
            next_call: 0,
            lines,
        };
        (state, notes)
    }

    /// The request of the effective context.
    #[must_use]
    pub fn stream(&self) -> Option<&Data> {
        self.lent.as_deref()
    }

    /// What a guest's `text` names; `None`: it is no token.
    pub fn name(&mut self, text: &[u8]) -> Option<Named> {
        self.names.read(text, &self.plugin.protection)
    }

    /// The request of the effective context, and the filter's place in its chain.
    pub fn stream_mut(&mut self) -> Option<(&mut Data, usize)> {
        let index = self.index;
        self.lent.as_deref_mut().map(|data| (data, index))
    }

    /// Lets host calls act on another context, until [`State::return_loan`]. `false`: there is none.
    pub fn act_on(&mut self, context: u32) -> bool {
        if context == self.effective {
            return true;
        }
        let is_stream = !matches!(context, 0 | ROOT);
        if is_stream && !self.contexts.contains_key(&context) {
            return false;
        }
        self.return_loan();
        if let Some(found) = self.contexts.get(&context).filter(|_| is_stream) {
            self.lent = found.shared.lend();
            self.index = found.index;
        }
        self.effective = context;
        true
    }

    /// Gives back what is lent; host calls act on the root context again.
    pub fn return_loan(&mut self) {
        if let Some(data) = self.lent.take()
            && let Some(context) = self.contexts.get(&self.effective)
        {
            context.shared.give_back(data);
        }
        self.effective = ROOT;
    }

    /// The id of the next call out: they never repeat while a VM lives (ABI, 11).
    pub fn next_call(&mut self) -> u32 {
        self.next_call = self.next_call.wrapping_add(1);
        // The low two bits tell HTTP (0) and gRPC apart in the reference host; ours are all HTTP.
        self.next_call << 2
    }

    /// Notes a host call.
    pub fn note(&mut self, name: &'static str, status: u32) {
        let at = usize::try_from(self.host_calls).unwrap_or(0) % RECENT;
        self.recent[at] = (name, status);
        self.host_calls += 1;
    }

    /// The last host calls, oldest first, for the report of a trap.
    #[must_use]
    pub fn recent(&self) -> String {
        let newest = usize::try_from(self.host_calls).unwrap_or(0);
        let calls: Vec<String> = (newest.saturating_sub(RECENT)..newest)
            .map(|at| self.recent[at % RECENT])
            .map(|(name, status)| format!("{name}={status}"))
            .collect();
        calls.join(" ")
    }

    /// A line of the filter: to its observer, or to the log within its rate.
    pub fn line(&mut self, level: Level, text: &[u8]) {
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE_BYTES_MAX)]);
        let text: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect::<String>();
        let text = text.trim_end();
        if let Some(observer) = &self.observer {
            observer.line(level, text);
            return;
        }
        if level < self.plugin.settings.log_level {
            return;
        }
        if !self.lines.take() {
            self.plugin.metrics.log_dropped.inc();
            return;
        }
        let (filter, generation) = (&*self.plugin.settings.name, self.plugin.generation);
        let id = self.stream().map_or("", |data| data.facts.id.as_str());
        match level {
            Level::Trace | Level::Debug => {
                tracing::debug!(target: "lockgate::filter", filter, generation, id, "{text}")
            }
            Level::Info => tracing::info!(target: "lockgate::filter", filter, generation, id, "{text}"),
            Level::Warn => tracing::warn!(target: "lockgate::filter", filter, generation, id, "{text}"),
            Level::Error | Level::Critical => {
                tracing::error!(target: "lockgate::filter", filter, generation, id, "{text}");
            }
        }
    }

    /// A line of the host about a mistake of the filter: through the same door, so that it is seen
    /// where the filter's own lines are, and no oftener.
    pub fn complain(&mut self, text: &str) {
        let text = format!("lockgate: {text}");
        self.line(Level::Warn, text.as_bytes());
    }

    /// Notes that a capability was not granted.
    pub fn denied(&mut self, capability: DeniedCapability, text: &str) {
        self.plugin.metrics.denied(capability);
        self.complain(text);
    }
}
