//! The world a test lives in: one edge, any number of connectors, apps, and a directory that goes
//! away with it. Everything is started through `lockgate::app`, as the binary does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockgate::app::connector::Connector;
use lockgate::app::edge::Edge;
use lockgate::config::{AppSettings, ConnectorConfig, DialSettings, EdgeConfig, PublishedUrl};
use lockgate::connector::Credentials;
use lockgate::io::worker::{Driver, Workers};
use lockgate::metrics::Metrics;
use lockgate::tunnel::fleet::LinkReport;
use tokio::runtime::Handle;

/// Nothing a test waits for on loopback takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `done` says so; a deadline, not a sleep.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: polls a condition under a deadline
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
}

/// Fails instead of hanging.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// A directory of its own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("lockgate-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a world will be.
pub struct Plan {
    pub config: EdgeConfig,
    dial: DialSettings,
    connectors: usize,
    edge_workers: usize,
}

/// A world that runs.
pub struct World {
    pub edge: Arc<Edge>,
    pub metrics: Arc<Metrics>,
    pub connectors: Vec<Member>,
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub config: EdgeConfig,
    dial: DialSettings,
    pub dir: Scratch,
    _workers: Workers,
}

/// A connector of the world, on workers of its own, so that it can be killed alone.
pub struct Member {
    pub connector: Connector,
    pub credentials: Credentials,
    pub metrics: Arc<Metrics>,
    pub data_dir: PathBuf,
    /// Dropping the only handle ends its workers and everything on them, as a kill would.
    workers: Option<Workers>,
}

impl Member {
    /// Ends the connector as `kill -9` would: its sockets close, nothing is said.
    pub fn kill(&mut self) {
        self.workers = None;
    }
}

/// An app published as `https://NAME.test/` in front of `internal`.
pub fn app(name: &str, internal: &str) -> AppSettings {
    let url = |text: &str| PublishedUrl::parse(text).unwrap();
    AppSettings::new(name, url(&format!("https://{name}.test/")), url(internal))
}

/// What a connector has to be told before it dials the backends of tests.
pub fn loopback() -> DialSettings {
    DialSettings { allow: vec!["localhost".parse().unwrap()], deny: Vec::new() }
}

/// A plan without apps and with one connector.
pub fn plan() -> Plan {
    let mut config = EdgeConfig::default();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.https = any;
    config.listen.http = Some(any);
    config.listen.admin = Some(any);
    config.log.access = false;
    Plan { config, dial: loopback(), connectors: 1, edge_workers: 1 }
}

impl Plan {
    /// Publishes `internal` as `https://NAME.test/` and `http://NAME.test/` through the group
    /// `default`.
    pub fn app(self, name: &str, internal: impl AsRef<str>) -> Self {
        self.app_with(name, internal, |_| {})
    }

    /// The same, with settings of its own.
    pub fn app_with(mut self, name: &str, internal: impl AsRef<str>, set: impl Fn(&mut AppSettings)) -> Self {
        let mut secure = app(name, internal.as_ref());
        set(&mut secure);
        let mut plain = AppSettings { name: format!("{name}-http"), ..secure.clone() };
        plain.external_url =
            PublishedUrl::parse(&secure.external_url.to_string().replacen("https", "http", 1)).unwrap();
        self.config.apps.extend([secure, plain]);
        self
    }

    /// How many connectors join the group `default`.
    pub fn connectors(mut self, count: usize) -> Self {
        self.connectors = count;
        self
    }

    /// How many workers the edge has.
    pub fn edge_workers(mut self, count: usize) -> Self {
        self.edge_workers = count;
        self
    }

    /// What the connectors dial, instead of loopback addresses.
    pub fn dial(mut self, dial: DialSettings) -> Self {
        self.dial = dial;
        self
    }

    /// Changes anything else.
    pub fn set(mut self, change: impl FnOnce(&mut EdgeConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts everything and waits until every link is up and configured.
    pub async fn start(self) -> World {
        let dir = Scratch::new();
        let mut config = self.config;
        config.data_dir = dir.path().join("edge");
        let (workers, _) = Workers::start("test-edge", self.edge_workers, driver()).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let edge = Edge::start(&Handle::current(), &workers, config.clone(), metrics.clone(), None).await.unwrap();
        let addresses = edge.addresses().clone();
        let mut world = World {
            edge: Arc::new(edge),
            metrics,
            connectors: Vec::new(),
            https: addresses.https,
            http: addresses.http.unwrap(),
            admin: addresses.admin.unwrap(),
            config,
            dial: self.dial,
            dir,
            _workers: workers,
        };
        for _ in 0..self.connectors {
            world.join("default").await;
        }
        world
    }
}

impl World {
    /// Adds a connector to `group`; returns its index when its links are up.
    pub async fn join(&mut self, group: &str) -> usize {
        let (credentials, data_dir) = self.enrol(group).await;
        self.restart(credentials, data_dir).await
    }

    /// Enrols a connector in `group` without starting it.
    pub async fn enrol(&self, group: &str) -> (Credentials, PathBuf) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("member-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let data_dir = self.dir.path().join(&name);
        let token = self.edge.create_token(group, Duration::from_secs(60)).await.unwrap();
        let credentials = lockgate::connector::join::join(&token, Some(name), &data_dir).await.unwrap();
        (credentials, data_dir)
    }

    /// Starts a connector with credentials it has already; returns its index when its links are up.
    pub async fn restart(&mut self, credentials: Credentials, data_dir: PathBuf) -> usize {
        let id = credentials.connector.clone();
        let index = self.launch(credentials, data_dir).await;
        self.linked(&id).await;
        index
    }

    /// Starts a connector and does not wait for its links.
    pub async fn launch(&mut self, credentials: Credentials, data_dir: PathBuf) -> usize {
        let (workers, _) = Workers::start("test-connector", 1, driver()).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let config = ConnectorConfig {
            data_dir: data_dir.clone(),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            dial: self.dial.clone(),
            ..ConnectorConfig::default()
        };
        let connector = Connector::start(&Handle::current(), &workers, &config, credentials.clone(), metrics.clone())
            .await
            .unwrap();
        self.connectors.push(Member { connector, credentials, metrics, data_dir, workers: Some(workers) });
        self.connectors.len() - 1
    }

    /// Waits until the connector has a configured link on every worker of the edge.
    pub async fn linked(&self, connector: &str) {
        let workers = self.edge_workers();
        until("all links of a connector are up", async || {
            let links = self.edge.links().await;
            links.iter().filter(|link| link.connector == connector && link.state == "up" && link.generation > 0).count()
                >= workers
        })
        .await;
    }

    fn edge_workers(&self) -> usize {
        self._workers.count()
    }

    /// The links of one connector as the edge sees them.
    pub async fn links_of(&self, connector: &str) -> Vec<LinkReport> {
        let mut links = self.edge.links().await;
        links.retain(|link| link.connector == connector);
        links
    }

    /// Waits until some link of the connector is in `state`.
    pub async fn has_link(&self, connector: &str, state: &str) {
        until(&format!("a link that is {state}"), async || {
            self.links_of(connector).await.iter().any(|link| link.state == state)
        })
        .await;
    }

    /// The configuration in force, with `name` published in front of `internal` as well.
    pub fn with_app(&self, name: &str, internal: &str) -> EdgeConfig {
        let Plan { config, .. } =
            Plan { config: self.config.clone(), dial: loopback(), connectors: 0, edge_workers: 0 }.app(name, internal);
        config
    }

    /// One metric's value, by its full series name with labels; 0 when it is not there.
    pub async fn metric(&self, series: &str) -> f64 {
        read_metric(&self.metrics.render().await, series)
    }
}

/// One series out of an exposition.
pub fn read_metric(text: &str, series: &str) -> f64 {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok()).unwrap_or_default()
}

/// What drives sockets in this run: the variable of `--io`, so that the whole suite can be run on either.
pub fn driver() -> Driver {
    match std::env::var("LOCKGATE_IO").as_deref() {
        Ok("epoll") => Driver::Reactor,
        Ok("uring") => Driver::Uring,
        _ => Driver::Auto,
    }
}
