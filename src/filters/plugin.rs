//! One filter of the configuration, compiled and ready to be started: the module, its settings, its shared state.
//!
//! ```text
//!   Settings + Module ──link──▶ Plugin ──start (office)──▶ Vm ──▶ spares ──▶ workers
//! ```
//!
//! A plugin never changes: a reload makes another one with the next generation. It refuses to hold
//! anything of a request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderName;
use wasmtime::InstancePre;

use super::commons::Commons;
use super::concern::Concern;
use super::health::Health;
use super::module::Module;
use super::observe::{Level, Observer};
use super::protection::Protection;
use super::state::State;
use super::vm::Vm;
use crate::backend::{Target, TargetSpec};
use crate::metrics::{CustomMetrics, FilterMetrics};

/// Which bodies a filter wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BodyMode {
    /// No body callback; the bytes never meet the filter.
    #[default]
    Off,
    /// A callback for each chunk.
    Stream,
    /// One callback, with the whole body.
    Buffer,
    /// A callback for each chunk, without its content coding.
    Decoded,
}

/// How many requests share a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All of a worker.
    #[default]
    Worker,
    /// None: each has its own.
    Stream,
}

/// What a filter sees of field values that are not UTF-8 (ABI, 21 item 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HeaderBytes {
    /// U+FFFD in their place; the next hop gets the original.
    #[default]
    Lossy,
    /// The request is refused; of a response they are shown as with `Lossy`.
    Reject,
    /// As they are.
    Raw,
}

/// What the operator says about one filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its name in the configuration, in logs and metrics.
    pub name: String,
    /// Selects one of several filters in a module.
    pub root_id: String,
    /// What `proxy_on_configure` reads.
    pub configuration: Bytes,
    /// What `proxy_on_vm_start` reads.
    pub vm_configuration: Bytes,
    /// A failure lets requests pass without it.
    pub fail_open: bool,
    /// How many requests share a VM.
    pub isolation: Isolation,
    /// Which bodies it wants, by direction.
    pub bodies: [BodyMode; 2],
    /// Somebody said which, so that `none` is no oversight.
    pub bodies_chosen: bool,
    /// It changes lengths: `Content-Length` is dropped.
    pub rewrites_body: bool,
    /// A pause in the headers still lets body callbacks come, and holds the head only.
    pub holds_head: bool,
    /// What it sees of values that are not UTF-8.
    pub header_bytes: HeaderBytes,
    /// It is called only for messages with one of these fields, by direction; empty: always.
    pub fields: [Vec<HeaderName>; 2],
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// What it may call.
    pub upstreams: BTreeMap<String, TargetSpec>,
    /// Its own lines below this level are dropped.
    pub log_level: Level,
    /// What it may use.
    pub limits: FilterLimits,
    /// What it may do.
    pub grants: Grants,
}

/// What one filter may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterLimits {
    /// Bytes of memory of one instance.
    pub memory: usize,
    /// One callback about heads, trailers or the root context.
    pub header_deadline: Duration,
    /// One callback about a body chunk.
    pub body_deadline: Duration,
    /// Starting and configuring.
    pub start_deadline: Duration,
    /// Body bytes held for it, by direction.
    pub buffers: [usize; 2],
    /// Its log lines a second.
    pub log_lines_per_second: usize,
    /// Calls out at once for one request.
    pub http_calls_per_stream: usize,
    /// Calls out at once on one worker.
    pub http_calls: usize,
    /// Bytes of one call's response.
    pub http_call_response: usize,
    /// Ceiling of the timeout of a call out.
    pub http_call_timeout: Duration,
    /// Bytes of shared data.
    pub shared_data: usize,
    /// Keys of shared data.
    pub shared_data_keys: usize,
    /// Items of one queue.
    pub queue_items: usize,
    /// Metrics of its own.
    pub metrics: usize,
    /// Bytes of the fields of a local response.
    pub local_response_headers: usize,
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            header_deadline: Duration::from_millis(20),
            body_deadline: Duration::from_millis(50),
            start_deadline: Duration::from_secs(5),
            buffers: [1 << 20, 4 << 20],
            log_lines_per_second: 100,
            http_calls_per_stream: 16,
            http_calls: 256,
            http_call_response: 1 << 20,
            http_call_timeout: Duration::from_secs(30),
            shared_data: 1 << 20,
            shared_data_keys: 10_000,
            queue_items: 1000,
            metrics: 1000,
            local_response_headers: 64 << 10,
        }
    }
}

/// What one filter may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Shared data.
    pub shared_data: bool,
    /// Queues.
    pub queues: bool,
    /// Answering itself.
    pub local_response: bool,
    /// Credentials and vouched-for fields it may see and set.
    pub protected_headers: Vec<HeaderName>,
}

impl Default for Grants {
    fn default() -> Self {
        Self { shared_data: false, queues: false, local_response: true, protected_headers: Vec::new() }
    }
}

impl Settings {
    /// The defaults for a filter called `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            root_id: String::new(),
            configuration: Bytes::new(),
            vm_configuration: Bytes::new(),
            fail_open: false,
            isolation: Isolation::default(),
            bodies: [BodyMode::Off; 2],
            bodies_chosen: false,
            rewrites_body: false,
            holds_head: false,
            header_bytes: HeaderBytes::default(),
            fields: [Vec::new(), Vec::new()],
            environment: Vec::new(),
            upstreams: BTreeMap::new(),
            log_level: Level::Info,
            limits: FilterLimits::default(),
            grants: Grants::default(),
        }
    }
}

/// A filter ready to be started.
pub struct Plugin {
    /// What the operator says.
    pub settings: Settings,
    /// The module.
    pub module: Arc<Module>,
    /// Grows with every change of this filter.
    pub generation: u64,
    /// Its counters.
    pub metrics: FilterMetrics,
    /// The metrics that filters define.
    pub custom: CustomMetrics,
    /// Its shared data and queues; outlives a reload.
    pub commons: Arc<Commons>,
    /// What it may call.
    pub upstreams: BTreeMap<String, Arc<Target>>,
    /// Which messages concern it, by direction.
    pub concerns: [Concern; 2],
    /// What its grants leave protected from it.
    pub protection: Protection,
    /// How it fares.
    pub health: Health,
    /// Who watches it: a canary, a tool.
    pub observer: Option<Arc<dyn Observer>>,
    pub(super) instance: InstancePre<State>,
    spares: Mutex<VecDeque<Vm>>,
    /// One for each worker.
    spares_wanted: i64,
    retired: AtomicBool,
    wrong_root_warned: AtomicBool,
}

impl Plugin {
    /// A plugin of `module`, with its imports resolved already.
    #[must_use]
    pub fn new(
        settings: Settings,
        (module, instance): (Arc<Module>, InstancePre<State>),
        generation: u64,
        (metrics, custom): (FilterMetrics, CustomMetrics),
        commons: Arc<Commons>,
        (workers, observer): (usize, Option<Arc<dyn Observer>>),
    ) -> Self {
        let upstreams =
            settings.upstreams.iter().map(|(name, spec)| (name.clone(), Arc::new(Target::new(spec.clone())))).collect();
        let protection = Protection::without(&settings.grants.protected_headers);
        let concerns = [Concern::new(&settings.fields[0]), Concern::new(&settings.fields[1])];
        Self {
            settings,
            module,
            generation,
            metrics,
            custom,
            commons,
            upstreams,
            concerns,
            protection,
            health: Health::default(),
            observer,
            instance,
            spares: Mutex::default(),
            spares_wanted: i64::try_from(workers).unwrap_or(1),
            retired: AtomicBool::new(false),
            wrong_root_warned: AtomicBool::new(false),
        }
    }

    /// A VM that was started in advance.
    #[must_use]
    pub fn take_spare(&self) -> Option<Vm> {
        let vm = self.spares.lock().ok()?.pop_front()?;
        self.metrics.spares.dec();
        Some(vm)
    }

    /// Starts a VM if fewer are spare than there are workers, and says how long that took. Blocks:
    /// office only.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn stock_one(self: &Arc<Self>) -> Result<Option<Duration>, String> {
        if self.is_stocked() {
            return Ok(None);
        }
        let began = Instant::now();
        self.put_spare(Vm::start(self, self.observer.clone())?);
        self.health.started();
        Ok(Some(began.elapsed()))
    }

    /// Whether no more spares are wanted.
    #[must_use]
    pub fn is_stocked(&self) -> bool {
        self.retired() || self.spare_count() >= self.spares_wanted
    }

    /// Adds a started VM to the spares; a plugin that has been replaced meanwhile needs none, and a
    /// spare would keep it alive for ever.
    pub fn put_spare(&self, vm: Vm) {
        if let Ok(mut spares) = self.spares.lock()
            && !self.retired()
        {
            spares.push_back(vm);
            self.metrics.spares.inc();
        }
    }

    /// Whether the plugin has been replaced.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Drops the VMs nobody took: the plugin has been replaced.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        if let Ok(mut spares) = self.spares.lock() {
            // The gauge is the filter's: spares of its next generation are in it already.
            self.metrics.spares.sub(i64::try_from(spares.len()).unwrap_or(0));
            spares.clear();
        }
    }

    /// Whether a wrong `root_id` is still to be warned about.
    pub(super) fn warn_of_root_once(&self) -> bool {
        !self.wrong_root_warned.swap(true, Ordering::Relaxed)
    }

    /// VMs that are started and wait.
    #[must_use]
    pub fn spare_count(&self) -> i64 {
        self.spares.lock().map_or(0, |spares| i64::try_from(spares.len()).unwrap_or(i64::MAX))
    }
}
