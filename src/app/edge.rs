//! The edge as a running thing: started from a configuration, reloaded, drained.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::report::EdgeReport;
use super::{StartError, cannot_listen, failed, open_admin, snapshot};
use crate::backend::{Backends, Resolver, dns};
use crate::config::{AppSettings, EdgeConfig, LOCAL_GROUP};
use crate::control::ca::Authority;
use crate::control::desk::{self, Clerk};
use crate::control::store::Store;
use crate::drain::{self, Drain, Ending, Local, Watch};
use crate::edge::{Door, PublicTls, listen};
use crate::exchange::{Corridor, Identity, Rooms};
use crate::http::Scheme;
use crate::io::socket;
use crate::io::worker::Workers;
use crate::limits::Limits;
use crate::metrics::{Metrics, Shard};
use crate::relay::Relay;
use crate::trace::{AccessLog, AccessSink};
use crate::tunnel::arrival::{self, Office};
use crate::tunnel::control::Pushes;
use crate::tunnel::fleet::{Fleet, LinkReport, Mail};
use crate::tunnel::tls::EdgeTls;
use crate::tunnel::token::JoinToken;

/// How long a question to a worker's fleet may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Addresses an edge listens on, with the ports the system chose.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// TLS: people and connectors.
    pub https: SocketAddr,
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// Admin.
    pub admin: Option<SocketAddr>,
}

/// A running edge.
pub struct Edge {
    addresses: Addresses,
    core: Arc<Core>,
    drain: Drain,
}

/// What reload, report and drain share.
pub(super) struct Core {
    pub(super) rooms: Arc<ArcSwap<Rooms>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Store,
    pub(super) fleets: Vec<mpsc::Sender<Mail>>,
    pub(super) config: Mutex<EdgeConfig>,
    pub(super) last_reload_error: Mutex<Option<String>>,
    authority: Arc<Authority>,
    tls: Arc<ArcSwap<PublicTls>>,
    pushes: watch::Sender<Pushes>,
    generation: AtomicU64,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Edge {
    /// Starts an edge on `workers`; returns when it listens. `office` runs everything off the
    /// request path.
    ///
    /// # Errors
    /// What cannot be had and how to mend it.
    pub async fn start(
        office: &Handle,
        workers: &Workers,
        config: EdgeConfig,
        metrics: Arc<Metrics>,
        access: Option<AccessSink>,
    ) -> Result<Self, StartError> {
        let data_dir = config.data_dir.clone();
        let in_data = |error: &dyn std::fmt::Display| StartError(format!("data_dir {}: {error}", data_dir.display()));
        crate::tunnel::durable::private_directory(&data_dir).map_err(|error| in_data(&error))?;
        let authority = Arc::new(Authority::open_or_create(&data_dir).map_err(|error| in_data(&error))?);
        let store = Store::open(&data_dir).await.map_err(|error| in_data(&error))?;
        let (chain, key) = authority.issue_edge().map_err(failed("the edge's own certificate"))?;
        let link_tls =
            EdgeTls::new(authority.certificate_der(), &chain, &key).map_err(failed("the edge's own certificate"))?;
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(failed("TLS tickets"))?;
        let built = snapshot::build(&config, 1, &ticketer).map_err(|faults| StartError(faults.join("\n")))?;
        let count = workers.count();
        let (https, https_sockets) =
            socket::bind_shared(config.listen.https, count).map_err(cannot_listen("https", config.listen.https))?;
        let (http, http_sockets) = match config.listen.http {
            None => (None, Vec::new()),
            Some(addr) => {
                let (addr, sockets) = socket::bind_shared(addr, count).map_err(cannot_listen("http", addr))?;
                (Some(addr), sockets)
            }
        };
        let (mailboxes, mail): (Vec<_>, Vec<_>) = (0..count).map(|_| Fleet::mailbox()).unzip();
        let core = Arc::new(Core {
            rooms: Arc::new(ArcSwap::from_pointee(built.rooms)),
            metrics: metrics.clone(),
            store: store.clone(),
            fleets: mailboxes.clone(),
            config: Mutex::new(config.clone()),
            last_reload_error: Mutex::default(),
            authority: authority.clone(),
            tls: Arc::new(ArcSwap::from_pointee(built.tls)),
            pushes: watch::Sender::new(built.pushes),
            generation: AtomicU64::new(1),
            ticketer,
        });
        metrics.generation.set(1);
        let (door_office, office_desk) = arrival::office();
        let (drain, watch) = drain::channel();
        let report_watch = watch.clone();
        let open = Arc::new(AtomicUsize::new(0));
        let parts = Parts {
            core: core.clone(),
            limits: snapshot::limits(&config.limits),
            link_tls,
            office: door_office,
            resolver: dns::Office::start(office),
            access: access.filter(|_| config.log.access),
            identity: Identity::new(&format!("{:08x}", fastrand::u32(..))),
            watch,
            open,
        };
        let mut http_sockets = http_sockets.into_iter();
        for ((index, https), mail) in https_sockets.into_iter().enumerate().zip(mail) {
            let (parts, http) = (parts.clone(), http_sockets.next());
            workers
                .run(index, move || parts.open_door(mail, https, http))
                .map_err(|_| StartError("a worker did not start".into()))?;
        }
        let clerk = Arc::new(Clerk { store, authority, fleets: mailboxes });
        office.spawn(desk::work(clerk, office_desk));
        let report = Arc::new(EdgeReport { core: core.clone(), drain: report_watch });
        let admin = open_admin(office, config.listen.admin, metrics, report).await?;
        Ok(Self { addresses: Addresses { https, http, admin }, core, drain })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Puts another configuration in force. Requests under way keep the old one; streams of apps
    /// that did not change are not touched.
    ///
    /// # Errors
    /// Everything that is wrong with it; the old one stays in force.
    pub fn reload(&self, config: EdgeConfig) -> Result<u64, Vec<String>> {
        self.core.reload(config)
    }

    /// Notes a configuration file that could not even be read.
    pub fn refuse_reload(&self, faults: &[String]) {
        self.core.refuse_reload(faults);
    }

    /// A join token for `group`, good once and for `validity`.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn create_token(&self, group: &str, validity: Duration) -> Result<JoinToken, StartError> {
        let config = self.core.config.lock().map(|config| config.clone()).unwrap_or_default();
        let mut config = config;
        config.listen.https = self.addresses.https;
        token(&self.core.store, &self.core.authority, &config, group, None, validity).await
    }

    /// The links of all workers.
    pub async fn links(&self) -> Vec<LinkReport> {
        self.core.links().await
    }

    /// The store, for the tests and the CLI.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// The grace period in force.
    #[must_use]
    pub fn grace_period(&self) -> Duration {
        self.core.config.lock().map(|config| config.grace_period).unwrap_or_default()
    }

    /// Stops accepting, lets requests and WebSockets finish for `grace`, and says how it ended.
    pub async fn stop(&self, grace: Duration) -> Ending {
        self.drain.drain(grace).await
    }
}

/// Makes a join token in `store`; used by a running edge and by the CLI beside one.
///
/// # Errors
/// A group that cannot be joined, or the store's failure.
pub async fn token(
    store: &Store,
    authority: &Authority,
    config: &EdgeConfig,
    group: &str,
    name: Option<&str>,
    validity: Duration,
) -> Result<JoinToken, StartError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if group == LOCAL_GROUP || group.is_empty() || group.len() > 63 || !group.bytes().all(legal) {
        let rule = "a group is 1 to 63 of a-z, 0-9 and -, and not \"local\", which needs no connector";
        return Err(StartError(format!("no connector can join {group:?}: {rule}")));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let (id, secret) = store.create_token(group, name, validity, now).await.map_err(failed("the store"))?;
    Ok(JoinToken { edge: config.dialled_address(), ca_fingerprint: authority.fingerprint(), id, secret })
}

impl Core {
    fn reload(&self, config: EdgeConfig) -> Result<u64, Vec<String>> {
        let generation = self.generation.load(Ordering::Acquire) + 1;
        let built = snapshot::build(&config, generation, &self.ticketer).inspect_err(|faults| {
            self.refuse_reload(faults);
        })?;
        if let Ok(mut current) = self.config.lock() {
            warn_of_restart(&current, &config);
            self.rooms.store(Arc::new(built.rooms));
            self.tls.store(Arc::new(built.tls));
            self.pushes.send_replace(built.pushes);
            self.generation.store(generation, Ordering::Release);
            *current = config;
        }
        self.metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.metrics.reloads.with_label_values(&["ok"]).inc();
        if let Ok(mut last) = self.last_reload_error.lock() {
            *last = None;
        }
        tracing::info!(generation, "configuration reloaded");
        Ok(generation)
    }

    fn refuse_reload(&self, faults: &[String]) {
        self.metrics.reloads.with_label_values(&["refused"]).inc();
        for fault in faults {
            tracing::error!(fault, "configuration refused; the old one stays in force");
        }
        if let Ok(mut last) = self.last_reload_error.lock() {
            *last = Some(faults.join("\n"));
        }
    }

    pub(super) async fn links(&self) -> Vec<LinkReport> {
        let mut links = Vec::new();
        for fleet in &self.fleets {
            let (answer, answered) = tokio::sync::oneshot::channel();
            if fleet.try_send(Mail::Report(answer)).is_ok()
                && let Ok(Ok(report)) = tokio::time::timeout(REPORT_PATIENCE, answered).await
            {
                links.extend(report);
            }
        }
        links
    }
}

/// What a reload cannot change is said, not silently ignored.
fn warn_of_restart(old: &EdgeConfig, new: &EdgeConfig) {
    let fixed = |config: &EdgeConfig| EdgeConfig {
        apps: Vec::<AppSettings>::new(),
        certificates: Vec::new(),
        trusted_proxies: Vec::new(),
        public_address: None,
        grace_period: Duration::ZERO,
        ..config.clone()
    };
    if fixed(old) != fixed(new) {
        tracing::warn!("data_dir, workers, listen, log and limits change only at a restart; the rest is in force now");
    }
}

/// What each worker builds its door from.
#[derive(Clone)]
struct Parts {
    core: Arc<Core>,
    limits: Limits,
    link_tls: EdgeTls,
    office: Office,
    resolver: dns::Office,
    access: Option<AccessSink>,
    identity: Identity,
    watch: Watch,
    open: Arc<AtomicUsize>,
}

impl Parts {
    /// Runs on the worker.
    fn open_door(self, mail: mpsc::Receiver<Mail>, https: std::net::TcpListener, http: Option<std::net::TcpListener>) {
        let metrics = self.core.metrics.clone();
        let shard = Shard::start(&metrics);
        let limits = Rc::new(self.limits);
        let fleet = Fleet::start(metrics, self.core.pushes.subscribe(), self.office.clone(), mail);
        let backends = Backends::new(limits.clone(), Resolver::new(self.resolver), shard.clone());
        let relay = Relay::new(fleet, backends, limits.clone(), shard.clone());
        let access = self.access.map(AccessLog::start);
        let corridor = Corridor::new(self.core.rooms.clone(), relay, shard.clone(), access, self.identity);
        let door = Rc::new(Door {
            corridor,
            limits,
            shard,
            tls: self.core.tls.clone(),
            link_tls: self.link_tls,
            office: self.office,
            local_drain: Local::start(self.watch.clone()),
            drain: self.watch,
            open: self.open,
            handshakes: Cell::new(0),
        });
        for (socket, scheme) in [(Some(https), Scheme::Https), (http, Scheme::Http)] {
            let Some(listener) = socket else { continue };
            match socket::listen(listener) {
                Ok(listener) => drop(tokio::task::spawn_local(listen(door.clone(), listener, scheme))),
                Err(error) => tracing::error!(%error, "a listener could not be registered"),
            }
        }
    }
}
