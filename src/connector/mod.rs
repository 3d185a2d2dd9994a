//! The far side: keeps links up and serves the relay streams that come over them.
//!
//! ```text
//!   slot 0 ─▶ dial ─▶ welcome: the edge has K workers ─▶ slots 1…K-1 on the workers in turn
//!      ▲                │
//!      └─ back-off ◀────┴─ link ended
//! ```
//!
//! A connector only dials out: no socket of it listens, but for the admin port if one is
//! configured. It keeps nothing but its credentials; what it serves is pushed to it.

mod crew;
pub mod join;
mod links;
mod serve;
mod table;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::ClientConfig;
use serde::Serialize;
use tokio::sync::watch;

use crate::backend::{Policy, dns};
use crate::drain::Watch;
use crate::io::worker::Workers;
use crate::limits::Limits;
use crate::metrics::Metrics;
pub use crate::tunnel::credentials::Credentials;
use crate::tunnel::tls::link_client;

/// What a connector runs with.
#[derive(Clone)]
pub struct Setup {
    /// Where the credentials are.
    pub data_dir: PathBuf,
    /// Who it is.
    pub credentials: Credentials,
    /// Limits towards backends.
    pub limits: Limits,
    /// What it dials, whatever the edge pushes.
    pub policy: Policy,
    /// The resolver.
    pub resolver: dns::Office,
    /// The registry.
    pub metrics: Arc<Metrics>,
    /// The drain of the process.
    pub drain: Watch,
}

/// What all links of a connector share.
struct Shared {
    setup: Setup,
    instance: String,
    host: String,
    /// The client configuration; exchanged when the certificate is renewed.
    tls: watch::Sender<Arc<ClientConfig>>,
    /// How many links the edge wants, as of its last welcome.
    wanted: watch::Sender<u16>,
    /// Ends the connector for good: the edge refused it in a way that trying again cannot mend.
    refused: watch::Sender<Option<String>>,
    status: Arc<Status>,
}

/// How a connector stands, for `/status`, `/readyz` and the terminal.
#[derive(Default)]
pub struct Status {
    links: Mutex<Vec<LinkStatus>>,
}

/// One link, seen from the connector.
#[derive(Clone, Debug, Serialize)]
pub struct LinkStatus {
    /// Which of its links.
    pub slot: u16,
    /// `dialling`, `up`, `draining`, `waiting`.
    pub state: &'static str,
    /// Why it is not up, if it is not.
    pub last_error: Option<String>,
    /// The group the edge says it serves.
    pub group: Option<String>,
    /// Configuration generation in force on it.
    pub generation: u64,
    /// When the edge's last probe was answered.
    #[serde(skip)]
    pub proven: Option<Instant>,
}

impl Status {
    /// All links.
    #[must_use]
    pub fn links(&self) -> Vec<LinkStatus> {
        self.links.lock().map(|links| links.clone()).unwrap_or_default()
    }

    /// At least one link is up and the edge's last probe came through it lately: the data path
    /// works.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.links().iter().any(|link| {
            link.state == "up" && link.proven.is_some_and(|at| at.elapsed() < crate::tunnel::PROBES_MISSED_AFTER)
        })
    }

    fn set(&self, slot: u16, change: impl FnOnce(&mut LinkStatus)) {
        let Ok(mut links) = self.links.lock() else { return };
        let at = links.iter().position(|link| link.slot == slot).unwrap_or_else(|| {
            let fresh =
                LinkStatus { slot, state: "dialling", last_error: None, group: None, generation: 0, proven: None };
            links.push(fresh);
            links.len() - 1
        });
        change(&mut links[at]);
    }

    fn forget(&self, slot: u16) {
        if let Ok(mut links) = self.links.lock() {
            links.retain(|link| link.slot != slot);
        }
    }
}

/// A running connector.
pub struct Running {
    /// How it stands.
    pub status: Arc<Status>,
    refused: watch::Receiver<Option<String>>,
}

impl Running {
    /// Completes when the edge has refused the connector for good, with the reason.
    pub async fn refused(&mut self) -> String {
        match self.refused.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Starts a connector on `workers`.
///
/// # Errors
/// Damaged credentials, with what to do about them.
pub fn start(workers: &Workers, setup: Setup) -> std::io::Result<Running> {
    let (certificate, authority, key) = setup.credentials.decode()?;
    let config = link_client(&authority, certificate, key).map_err(std::io::Error::other)?;
    let status = Arc::<Status>::default();
    let (refused, refusal) = watch::channel(None);
    let shared = Arc::new(Shared {
        instance: format!("{:016x}", fastrand::u64(..)),
        host: host_name(),
        tls: watch::Sender::new(config),
        wanted: watch::Sender::new(1),
        refused,
        status: status.clone(),
        setup,
    });
    let count = workers.count();
    for index in 0..count {
        let shared = shared.clone();
        let _ = workers.run(index, move || links::keep(shared, index, count));
    }
    Ok(Running { status, refused: refusal })
}

/// This machine's name, for people.
#[must_use]
pub fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "unknown".into() } else { name }
}
