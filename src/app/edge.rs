//! The edge as a running thing: started from a configuration, reloaded, drained.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::core::Core;
use super::filter_report::FilterReport;
use super::filters::Filters;
use super::report::EdgeReport;
use super::{StartError, cannot_listen, failed, memory, open_admin, snapshot};
use crate::backend::{Backends, Policy, Resolver, dns};
use crate::config::{EdgeConfig, LOCAL_GROUP};
use crate::control::ca::Authority;
use crate::control::desk::{self, Clerk};
use crate::control::store::Store;
use crate::drain::{self, Drain, Ending, Local, Watch};
use crate::edge::{Door, listen};
use crate::exchange::{Corridor, Identity};
use crate::filters::Host;
use crate::http::Scheme;
use crate::io::socket;
use crate::io::worker::Workers;
use crate::limits::Limits;
use crate::metrics::{Metrics, Shard};
use crate::relay::Relay;
use crate::trace::{AccessLog, AccessSink};
use crate::tunnel::arrival::{self, Office};
use crate::tunnel::fleet::{Fleet, LinkReport, Mail};
use crate::tunnel::tls::EdgeTls;
use crate::tunnel::token::JoinToken;

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
        let count = workers.count();
        metrics.count_workers(count, workers.rings());
        let filters = Arc::new(Filters::open(&data_dir, count, metrics.clone()).map_err(StartError)?);
        let (loader, wanted) = (filters.clone(), config.clone());
        // Compiling takes as long as it takes; a runtime's own threads are not for that.
        let loaded = office.spawn_blocking(move || loader.load(&wanted)).await.map_err(failed("filters"))?;
        let loaded = loaded.map_err(|faults| StartError(faults.join("\n")))?;
        let built = snapshot::build(&config, &loaded, 1, &ticketer).map_err(|faults| StartError(faults.join("\n")))?;
        filters.publish(loaded);
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
            filters,
            tls: Arc::new(ArcSwap::from_pointee(built.tls)),
            pushes: watch::Sender::new(built.pushes),
            generation: AtomicU64::new(1),
            changing: Mutex::default(),
            ticketer,
        });
        metrics.generation.set(1);
        memory::watch(office, config.limits.memory, metrics.clone());
        let (door_office, office_desk) = arrival::office();
        let (drain, watch) = drain::channel();
        let report_watch = watch.clone();
        let parts = Parts {
            core: core.clone(),
            limits: snapshot::limits(&config.limits),
            link_tls,
            office: door_office,
            runtime: office.clone(),
            resolver: dns::Office::start(office),
            access: access.filter(|_| config.log.access),
            identity: Identity::new(&format!("{:08x}", fastrand::u32(..))),
            watch,
            open: Arc::default(),
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

    /// Puts another configuration in force; blocks for as long as its filters take to compile. Requests under way keep the old one; streams of apps
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

    /// The filters in force.
    #[must_use]
    pub fn filters(&self) -> Vec<FilterReport> {
        self.core.filter_reports()
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

/// What each worker builds its door from.
#[derive(Clone)]
struct Parts {
    core: Arc<Core>,
    limits: Limits,
    link_tls: EdgeTls,
    office: Office,
    runtime: Handle,
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
        let fleet =
            Fleet::start(metrics, limits.streams_per_link, self.core.pushes.subscribe(), self.office.clone(), mail);
        // All that this process dials itself, apps of the group local and the filters' services, stands in its own file.
        let backends = Backends::new(limits.clone(), Resolver::new(self.resolver), Policy::unchecked(), shard.clone());
        let filters = Host::start(self.runtime, Box::new(backends.clone()), shard.clone());
        let relay = Relay::new(fleet, backends, limits.clone(), shard.clone());
        let access = self.access.map(AccessLog::start);
        let corridor = Corridor::new(self.core.rooms.clone(), (filters, relay), shard.clone(), access, self.identity);
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
