//! The connector as a running thing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::report::ConnectorReport;
use super::{StartError, failed, memory, open_admin};
use crate::backend::dns;
use crate::backend::policy::{Allow, At, Policy, Range};
use crate::config::{Cidr, ConnectorConfig, DialSettings, Whereabouts};
use crate::connector::{self, Credentials, Running, Setup, Status};
use crate::drain::{self, Drain, Ending};
use crate::io::worker::Workers;
use crate::limits::Limits;
use crate::metrics::Metrics;

/// A running connector.
pub struct Connector {
    running: Running,
    drain: Drain,
    admin: Option<SocketAddr>,
}

impl Connector {
    /// Starts a connector on `workers`; it dials in the background.
    ///
    /// # Errors
    /// What cannot be had and how to mend it.
    pub async fn start(
        office: &Handle,
        workers: &Workers,
        config: &ConnectorConfig,
        credentials: Credentials,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let resolver = dns::Office::start(office);
        Self::start_with(office, workers, config, credentials, metrics, resolver).await
    }

    /// The same with a resolver of one's own.
    ///
    /// # Errors
    /// As [`Connector::start`].
    pub async fn start_with(
        office: &Handle,
        workers: &Workers,
        config: &ConnectorConfig,
        credentials: Credentials,
        metrics: Arc<Metrics>,
        resolver: dns::Office,
    ) -> Result<Self, StartError> {
        let (drain, watch) = drain::channel();
        metrics.count_workers(workers.count(), workers.rings());
        memory::watch(office, config.limits.memory, metrics.clone());
        let limits = Limits {
            backend_connections: config.limits.backend_connections,
            backend_idle_timeout: config.limits.backend_idle_timeout,
            backend_connect_timeout: config.limits.backend_connect_timeout,
            ..Limits::default()
        };
        let setup = Setup {
            data_dir: config.data_dir.clone(),
            credentials: credentials.clone(),
            limits,
            policy: policy(&config.dial),
            resolver,
            metrics: metrics.clone(),
            drain: watch,
        };
        let running = connector::start(workers, setup).map_err(failed("the connector's credentials"))?;
        let report = Arc::new(ConnectorReport { status: running.status.clone(), credentials });
        let admin = open_admin(office, config.admin, metrics, report).await?;
        Ok(Self { running, drain, admin })
    }

    /// Where its admin port listens, if it has one.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// How its links stand.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.running.status
    }

    /// Completes when the edge has refused it for good, with the reason.
    pub async fn refused(&mut self) -> String {
        self.running.refused().await
    }

    /// Tells the edge, lets streams finish for `grace`, and says how it ended.
    pub async fn stop(&self, grace: Duration) -> Ending {
        self.drain.drain(grace).await
    }
}

fn policy(dial: &DialSettings) -> Policy {
    let range = |cidr: &Cidr| Range::new(cidr.network(), cidr.prefix());
    let allow = dial.allow.iter().map(|destination| {
        let at = match &destination.at {
            Whereabouts::Range(cidr) => At::Range(range(cidr)),
            Whereabouts::Name(name) => At::Name(name.clone()),
            Whereabouts::Below(parent) => At::Below(parent.clone()),
        };
        Allow { at, port: destination.port }
    });
    Policy::new(allow, dial.deny.iter().map(range))
}
