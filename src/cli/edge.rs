//! `lockgate edge`: the public edge from a configuration file.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Failure;
use super::role::{self, Asked, Signals, say_ready};
use crate::app::edge::Edge;
use crate::app::reload;
use crate::config::IoDriver;
use crate::metrics::Metrics;
use crate::trace::AccessSink;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; `lockgate config example` prints one. It is read again on SIGHUP and
    /// when it changes.
    #[arg(long, value_name = "FILE", default_value = "lockgate.toml")]
    config: PathBuf,
    /// How the kernel is asked to read and write: auto, epoll or uring; overrides the file's io.
    #[arg(long, value_name = "DRIVER", env = "LOCKGATE_IO", value_parser = IoDriver::named)]
    io: Option<IoDriver>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = reload::read(&arguments.config).map_err(Failure::Refused)?;
    let office = role::begin(&config.log)?;
    let (workers, joiner) = role::workers(config.workers, arguments.io.unwrap_or(config.io))?;
    let metrics = Arc::new(Metrics::new()?);
    let access = AccessSink::start(role::format(&config.log), metrics.log_dropped.clone())?;
    let outcome = office.block_on(async {
        let edge = Edge::start(office.handle(), &workers, config, metrics, Some(access)).await?;
        let edge = Arc::new(edge);
        let addresses = edge.addresses().clone();
        let mut signals = Signals::listen()?;
        let (hangup, hangups) = mpsc::channel(1);
        let following = tokio::spawn(reload::follow(edge.clone(), arguments.config.clone(), hangups));
        let http = addresses.http.map(|http| format!(", http {http}")).unwrap_or_default();
        let admin = addresses.admin.map(|admin| format!(", admin http://{admin}/")).unwrap_or_default();
        say_ready(&format!("edge on https {}{http}{admin}", addresses.https));
        while signals.next().await == Asked::Reload {
            let _ = hangup.try_send(());
        }
        following.abort();
        let grace = edge.grace_period();
        signals.drain("edge", grace, edge.stop(grace)).await;
        Ok(())
    });
    drop(workers);
    joiner.join();
    outcome
}
