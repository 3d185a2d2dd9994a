//! The settings of a connector. There are few: everything about apps is pushed by the edge.
//!
//! Refuses the edge's address and any secret: those come with the join token and live in `data_dir`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::Socket;
use super::dial::DialSettings;
use super::duration::{DAY, HOUR, Time};
use super::edge::{GRACE_PERIOD, IO_DRIVER, IoDriver, Log, MEMORY, WORKERS};
use super::kind::{Count, File, Unless};
use super::schema::{Section, settings};

settings! {
    /// The connector: dials the edge from inside the private network and listens nowhere, unless admin is set.
    pub struct ConnectorConfig {
        /// Directory of the edge's address and the connector's certificate and key; nothing else is kept.
        optional data_dir: PathBuf = PathBuf::from("lockgate-connector"), File;
        /// Metrics and health; usually "127.0.0.1:9091".
        optional admin: Option<SocketAddr> = None, Unless("off", Socket);
        /// How long open requests and WebSockets may go on when the connector stops.
        optional grace_period: Duration = Duration::from_secs(30), GRACE_PERIOD;
        /// Worker threads; 0 means one per core.
        optional workers: usize = 0, WORKERS;
        /// How the kernel is asked to read and write; "auto" is "uring" where the kernel or the container permits
        /// io_uring, else "epoll".
        optional io: IoDriver = IoDriver::Auto, IO_DRIVER;
    }
    tables {
        /// What it dials, whatever the edge asks for.
        dial: DialSettings = DialSettings::template(), in "dial";
        /// What is logged, and how.
        log: Log = Log { access: false, ..Log::template() }, in "log";
        /// Limits of the connections to apps; a limit reached is counted and named.
        limits: ConnectorLimits = ConnectorLimits::template(), in "limits";
    }
}

settings! {
    /// Limits of the connector's data path.
    pub struct ConnectorLimits {
        /// What may be taken of memory before new connections and requests are refused with "overloaded": a size for
        /// this process, or "auto", 85 % of what its control group, else the machine, has.
        optional memory: Option<usize> = None, MEMORY;
        /// Connections to the servers of one app, per worker.
        optional backend_connections: usize = 1024, Count { min: 1, max: 65_536 };
        /// An idle connection to an app is closed after this.
        optional backend_idle_timeout: Duration = Duration::from_secs(30), Time::up_to(DAY);
        /// TCP and TLS to an app.
        optional backend_connect_timeout: Duration = Duration::from_secs(5), Time::up_to(HOUR);
    }
}

impl ConnectorConfig {
    /// Relative paths become relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        self.data_dir = directory.join(&self.data_dir);
    }
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self::template()
    }
}

impl Default for ConnectorLimits {
    fn default() -> Self {
        Self::template()
    }
}

#[cfg(test)]
mod tests {
    use super::super::edge::LimitSettings;
    use super::*;

    #[test]
    fn limits_of_both_roles_agree() {
        let edge = LimitSettings::template().shape();
        for ours in ConnectorLimits::template().shape().settings {
            let theirs = edge.settings.iter().find(|setting| setting.key == ours.key).unwrap();
            assert_eq!(ours.meaning, theirs.meaning);
            assert_eq!(ours.literal, theirs.literal);
            assert_eq!(ours.allowed, theirs.allowed);
        }
    }
}
