//! One worker's counters: plain cells, flushed into the registry when it is scraped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use tokio::sync::mpsc;

use super::Metrics;
use super::filter::FilterShard;
use crate::error::{Error, Kind, Side};

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    H1,
    /// HTTP/2.
    H2,
    /// A WebSocket, over either.
    WebSocket,
}

/// The `protocol` label, in the order of [`Protocol`].
const PROTOCOLS: [&str; 3] = ["h1", "h2", "websocket"];
/// The `class` label.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The index in [`CLASSES`] of a status.
pub(super) fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

/// One worker's counters.
pub struct Shard {
    metrics: Arc<Metrics>,
    apps: RefCell<HashMap<Box<str>, Rc<AppShard>>>,
    filters: RefCell<HashMap<Box<str>, Rc<FilterShard>>>,
    errors: RefCell<HashMap<(Side, Kind), LocalIntCounter>>,
    listeners: [(LocalIntCounter, LocalGauge); 2],
    backend_opened: LocalIntCounter,
    backend_reused: LocalIntCounter,
}

/// One worker's counters of one app.
pub struct AppShard {
    requests: RefCell<[[Option<LocalIntCounter>; 3]; 5]>,
    duration: LocalHistogram,
    bytes_in: LocalIntCounter,
    bytes_out: LocalIntCounter,
    open_requests: LocalGauge,
    open_websockets: LocalGauge,
    name: Box<str>,
}

/// A gauge that is moved locally and added to the shared one when flushed.
pub(super) struct LocalGauge {
    value: Cell<i64>,
    flushed: Cell<i64>,
    shared: IntGauge,
}

impl LocalGauge {
    pub(super) fn new(shared: IntGauge) -> Self {
        Self { value: Cell::new(0), flushed: Cell::new(0), shared }
    }

    pub(super) fn add(&self, by: i64) {
        self.value.set(self.value.get() + by);
    }

    pub(super) fn flush(&self) {
        let value = self.value.get();
        self.shared.add(value - self.flushed.replace(value));
    }
}

impl Shard {
    /// A new shard, flushed by a task of this worker whenever the registry is scraped.
    #[must_use]
    pub fn start(metrics: &Arc<Metrics>) -> Rc<Self> {
        let listener = |name: &str| {
            let accepted = metrics.accepted.with_label_values(&[name]).local();
            (accepted, LocalGauge::new(metrics.client_connections.with_label_values(&[name])))
        };
        let shard = Rc::new(Self {
            metrics: metrics.clone(),
            apps: RefCell::default(),
            filters: RefCell::default(),
            errors: RefCell::default(),
            listeners: [listener("http"), listener("https")],
            backend_opened: metrics.backend_connections.with_label_values(&["opened", ""]).local(),
            backend_reused: metrics.backend_connections.with_label_values(&["reused", ""]).local(),
        });
        // A scrape waits for its turn: more than a few at once are refused by the full queue.
        let (sender, mut asked) = mpsc::channel::<tokio::sync::oneshot::Sender<()>>(8);
        if let Ok(mut shards) = metrics.shards.lock() {
            shards.retain(|shard| !shard.is_closed());
            shards.push(sender);
        }
        let weak = Rc::downgrade(&shard);
        tokio::task::spawn_local(async move {
            while let Some(done) = asked.recv().await {
                let Some(shard) = weak.upgrade() else { return };
                shard.flush();
                let _ = done.send(());
            }
        });
        shard
    }

    /// The registry, for rare events.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The counters of the app `name`, which must come from the configuration.
    #[must_use]
    pub fn app(&self, name: &str) -> Rc<AppShard> {
        if let Some(app) = self.apps.borrow().get(name) {
            return app.clone();
        }
        let app = Rc::new(AppShard::new(&self.metrics, name));
        self.apps.borrow_mut().insert(name.into(), app.clone());
        app
    }

    /// The counters of the filter `name`, which must come from the configuration.
    #[must_use]
    pub fn filter(&self, name: &str) -> Rc<FilterShard> {
        if let Some(filter) = self.filters.borrow().get(name) {
            return filter.clone();
        }
        let filter = Rc::new(FilterShard::new(&self.metrics, name));
        self.filters.borrow_mut().insert(name.into(), filter.clone());
        filter
    }

    /// Counts a failed request.
    pub fn error(&self, error: &Error) {
        self.errors
            .borrow_mut()
            .entry((error.side, error.kind))
            .or_insert_with(|| self.metrics.errors.with_label_values(&[error.side.word(), error.kind.cause()]).local())
            .inc();
    }

    /// Counts an accepted client connection; dropping the guard counts its end.
    #[must_use]
    pub fn connection(self: &Rc<Self>, tls: bool) -> ConnectionGuard {
        let (accepted, open) = &self.listeners[usize::from(tls)];
        accepted.inc();
        open.add(1);
        ConnectionGuard { shard: self.clone(), tls }
    }

    /// Counts a backend connection that was opened.
    pub fn backend_opened(&self) {
        self.backend_opened.inc();
    }

    /// Counts a request that found an open backend connection.
    pub fn backend_reused(&self) {
        self.backend_reused.inc();
    }

    /// Counts a backend that could not be reached.
    pub fn backend_failed(&self, kind: Kind) {
        self.metrics.backend_connections.with_label_values(&["failed", kind.cause()]).inc();
    }

    /// Counts a request that was sent once more.
    pub fn retried(&self, reason: &'static str) {
        self.metrics.retries.with_label_values(&[reason]).inc();
    }

    fn flush(&self) {
        for app in self.apps.borrow().values() {
            app.flush();
        }
        for filter in self.filters.borrow().values() {
            filter.flush();
        }
        for error in self.errors.borrow().values() {
            error.flush();
        }
        for (accepted, open) in &self.listeners {
            accepted.flush();
            open.flush();
        }
        self.backend_opened.flush();
        self.backend_reused.flush();
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// An open client connection.
pub struct ConnectionGuard {
    shard: Rc<Shard>,
    tls: bool,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.shard.listeners[usize::from(self.tls)].1.add(-1);
    }
}

impl AppShard {
    fn new(metrics: &Metrics, name: &str) -> Self {
        Self {
            requests: RefCell::default(),
            duration: metrics.durations.with_label_values(&[name]).local(),
            bytes_in: metrics.bytes.with_label_values(&[name, "in"]).local(),
            bytes_out: metrics.bytes.with_label_values(&[name, "out"]).local(),
            open_requests: LocalGauge::new(metrics.open_streams.with_label_values(&[name, "request"])),
            open_websockets: LocalGauge::new(metrics.open_streams.with_label_values(&[name, "websocket"])),
            name: name.into(),
        }
    }

    /// Counts the beginning of a request.
    pub fn begin(&self) {
        self.open_requests.add(1);
    }

    /// A request under way has become a WebSocket.
    pub fn upgrade(&self) {
        self.open_requests.add(-1);
        self.open_websockets.add(1);
    }

    /// Counts the end of a request or WebSocket.
    pub fn end(&self, metrics: &Metrics, status: u16, protocol: Protocol, took: Duration, bytes: (u64, u64)) {
        if protocol == Protocol::WebSocket { &self.open_websockets } else { &self.open_requests }.add(-1);
        let class = class_of(status);
        self.requests.borrow_mut()[class][protocol as usize]
            .get_or_insert_with(|| {
                let labels = [&*self.name, CLASSES[class], PROTOCOLS[protocol as usize]];
                metrics.requests.with_label_values(&labels).local()
            })
            .inc();
        // How long a WebSocket lived says nothing about the app's speed.
        if protocol != Protocol::WebSocket {
            self.duration.observe(took.as_secs_f64());
        }
        self.bytes_in.inc_by(bytes.0);
        self.bytes_out.inc_by(bytes.1);
    }

    fn flush(&self) {
        for counter in self.requests.borrow().iter().flatten().flatten() {
            counter.flush();
        }
        self.duration.flush();
        self.bytes_in.flush();
        self.bytes_out.flush();
        self.open_requests.flush();
        self.open_websockets.flush();
    }
}
