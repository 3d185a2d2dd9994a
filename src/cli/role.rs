//! What every long-running role needs: logs, the office's runtime, workers, signals, an ending.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::config::{IoDriver, Log, LogFormat};
use crate::drain::Ending;
use crate::io::worker::{Driver, Joiner, Workers};
use crate::trace::{self, Format};

/// The form of log lines.
pub(super) fn format(log: &Log) -> Format {
    match log.format {
        LogFormat::Auto => Format::automatic(),
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    }
}

/// Sets the process up: logs, descriptors, the office.
pub(super) fn begin(log: &Log) -> Result<Runtime, Failure> {
    trace::start(format(log), &log.level);
    raise_descriptor_limit();
    // The office: admin, enrolment, names. Two threads, so that a slow disk holds up nobody.
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("office").enable_all().build()?)
}

/// Starts the workers: `count`, or one per core this process may use.
pub(super) fn workers(count: usize, io: IoDriver) -> Result<(Workers, Joiner), Failure> {
    let count = match count {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    };
    let driver = match io {
        IoDriver::Auto => Driver::Auto,
        IoDriver::Epoll => Driver::Reactor,
        IoDriver::Uring => Driver::Uring,
    };
    Ok(Workers::start("worker", count, driver)?)
}

/// Each connection is a descriptor: the soft limit (often 1024) is raised to the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The signals of a role.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Runs a drain; a second request to stop ends it at once. Logs which ending it was.
    pub(super) async fn drain(&mut self, role: &str, grace: Duration, drain: impl Future<Output = Ending>) {
        tracing::info!(
            role,
            ?grace,
            "draining: no new work, what is under way may finish; a second signal ends at once"
        );
        tokio::pin!(drain);
        loop {
            tokio::select! {
                ending = &mut drain => {
                    match ending {
                        Ending::Finished => tracing::info!(role, "drained: everything under way has finished"),
                        Ending::Abandoned(left) => tracing::warn!(role, left, "grace period over: open connections are cut"),
                    }
                    return;
                }
                asked = self.next() => {
                    if asked == Asked::Stop {
                        tracing::warn!(role, "second signal: ending at once");
                        return;
                    }
                }
            }
        }
    }
}

/// Prints the line that scripts wait for.
pub(super) fn say_ready(what: &str) {
    say!("ready: {what}");
}
