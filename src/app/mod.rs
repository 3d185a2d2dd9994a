//! Assembly: Config → rooms → workers → drain. The only room that knows every other.
//!
//! ```text
//!   EdgeConfig ─▶ snapshot ─▶ Edge::start ─▶ serving ─▶ reload* ─▶ stop ─▶ Ending
//!   ConnectorConfig, Credentials ─▶ Connector::start ─▶ serving ─▶ stop ─▶ Ending
//! ```
//!
//! `cli` and the tests start roles through here and nowhere else; it decides nothing about
//! requests.

pub mod connector;
mod core;
pub mod edge;
mod filter_report;
mod filter_settings;
pub mod filters;
mod memory;
pub mod reload;
mod report;
pub mod snapshot;
mod translation;

pub use filter_report::FilterReport;
pub use filter_settings::{manifest_file, manifest_of, together, upstream_spec};

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::control::admin::{self, Report};
use crate::metrics::Metrics;

/// Why a role could not start: what, and how to mend it. For people.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Says what was being done when it failed.
fn failed<E: std::fmt::Display>(doing: impl std::fmt::Display) -> impl FnOnce(E) -> StartError {
    move |error| StartError(format!("{doing}: {error}"))
}

/// Says how to mend a listener that cannot be bound.
fn cannot_listen(setting: &str, addr: SocketAddr) -> impl FnOnce(std::io::Error) -> StartError {
    move |error| {
        let mend = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "choose another address",
        };
        StartError(format!("cannot listen on {setting} {addr}: {error}; {mend}"))
    }
}

/// Binds the admin port and serves it on the office's runtime.
async fn open_admin(
    office: &Handle,
    addr: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    report: Arc<dyn Report>,
) -> Result<Option<SocketAddr>, StartError> {
    let Some(addr) = addr else { return Ok(None) };
    let listener = TcpListener::bind(addr).await.map_err(cannot_listen("admin", addr))?;
    let bound = listener.local_addr().map_err(failed("the admin port"))?;
    office.spawn(admin::serve(listener, metrics, report));
    Ok(Some(bound))
}
