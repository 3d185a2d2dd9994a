//! The settings of an edge, except those of its apps and filters.
//!
//! Refuses to hold a limit without its bounds: a limit that can be set to nonsense is none.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{HostPort, Socket};
use super::app::AppSettings;
use super::cidr::{Cidr, Ranges};
use super::duration::{DAY, HOUR, Time};
use super::filter::FilterSettings;
use super::kind::{Choice, Count, File, Switch, Text, Unless};
use super::schema::{Section, settings};
use super::size::Size;

/// Zero, for what may end at once, to a day.
pub(super) const GRACE_PERIOD: Time = Time { min: Duration::ZERO, max: DAY };
/// More threads than any machine of today has cores.
pub(super) const WORKERS: Count = Count { min: 0, max: 256 };

/// A first start compiles filters and takes some 90 MiB for that; the most is more than any machine has.
pub(super) const MEMORY: Unless<Size> = Unless("auto", Size { min: 128 << 20, max: 1 << 50 });

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

const LOG_FORMAT: Choice<LogFormat> =
    Choice(&[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)]);

/// What drives the sockets of clients and of apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoDriver {
    /// io_uring where it is permitted.
    Auto,
    /// Never io_uring.
    Epoll,
    /// io_uring or nothing.
    Uring,
}

pub(super) const IO_DRIVER: Choice<IoDriver> =
    Choice(&[("auto", IoDriver::Auto), ("epoll", IoDriver::Epoll), ("uring", IoDriver::Uring)]);

impl IoDriver {
    /// The driver a word of the setting names, on the command line too.
    ///
    /// # Errors
    /// The words there are.
    pub fn named(word: &str) -> Result<Self, String> {
        let known = IO_DRIVER.0.iter().find(|(name, _)| *name == word);
        known.map(|(_, driver)| *driver).ok_or_else(|| "it is auto, epoll or uring".to_owned())
    }
}

settings! {
    /// The edge: the public door of the apps it publishes.
    pub struct EdgeConfig {
        /// Directory of the edge's own state: its certificate authority and the connectors it knows.
        optional data_dir: PathBuf = PathBuf::from("lockgate-data"), File;
        /// The address that connectors dial, put into join tokens; "" means the listener's, 127.0.0.1 if that is every
        /// interface.
        optional public_address: Option<String> = None, Unless("", HostPort);
        /// How long open requests and WebSockets may go on when the edge stops.
        optional grace_period: Duration = Duration::from_secs(30), GRACE_PERIOD;
        /// Worker threads; 0 means one per core.
        optional workers: usize = 0, WORKERS;
        /// How the kernel is asked to read and write; "auto" is "uring" where the kernel or the container permits
        /// io_uring, else "epoll".
        optional io: IoDriver = IoDriver::Auto, IO_DRIVER;
        /// Proxies in front of the edge whose X-Forwarded-For, -Proto and -Host are believed.
        optional trusted_proxies: Vec<Cidr> = Vec::new(), Ranges;
    }
    tables {
        /// Where the edge listens.
        listen: Listen = Listen::template(), in "listen";
        /// What is logged, and how.
        log: Log = Log::template(), in "log";
        /// Limits of the data path; a limit reached is counted and named.
        limits: LimitSettings = LimitSettings::template(), in "limits";
        /// How hard bodies are compressed again that filters wanted decompressed; others pass as the backend sent them.
        compression: Compression = Compression::template(), in "compression";
    }
    lists {
        /// A certificate and its key; the names it is for are read from it.
        certificates: CertificateFiles, in "certificate";
        /// The published apps.
        apps: AppSettings, in "app";
    }
    maps {
        /// A filter, a sandboxed Proxy-Wasm module, under the name by which apps name it.
        filters: FilterSettings, in "filter";
    }
}

settings! {
    /// Levels of the content codings. A page is compressed once for one reader, chunk by chunk, so the defaults are the
    /// levels behind which time grows faster than size shrinks.
    pub struct Compression {
        /// gzip and deflate, 1 to 9.
        optional gzip: usize = 5, Count { min: 1, max: 9 };
        /// br, 0 to 11; from 5 on a page takes several times as long.
        optional brotli: usize = 4, Count { min: 0, max: 11 };
        /// zstd, 1 to 19.
        optional zstd: usize = 3, Count { min: 1, max: 19 };
    }
}

settings! {
    /// Addresses the edge listens on; no two may be the same.
    pub struct Listen {
        /// The public port: people over HTTPS, and connectors.
        optional https: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)), Socket;
        /// Plain HTTP, for apps whose external_url is http and for redirects to https; usually "0.0.0.0:80".
        optional http: Option<SocketAddr> = None, Unless("off", Socket);
        /// Metrics, health and administration; keep it private.
        optional admin: Option<SocketAddr> = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))), Unless("off", Socket);
    }
}

settings! {
    /// What is logged, and how.
    pub struct Log {
        /// "auto" is "human" on a terminal and "json" elsewhere.
        optional format: LogFormat = LogFormat::Auto, LOG_FORMAT;
        /// What is worth a line: "error", "warn", "info", "debug", "trace", or per target, "info,lockgate::relay=debug".
        optional level: String = "info".to_owned(), Text;
        /// Writes a line for every request.
        optional access: bool = true, Switch;
    }
}

settings! {
    /// Limits of the edge's data path.
    pub struct LimitSettings {
        /// What may be taken of memory before new connections and requests are refused with "overloaded": a size for
        /// this process, or "auto", 85 % of what its control group, else the machine, has.
        optional memory: Option<usize> = None, MEMORY;
        /// Open client connections, all workers together.
        optional connections: usize = 10_000, Count { min: 1, max: 1_000_000 };
        /// TLS handshakes under way, per worker.
        optional handshakes_in_flight: usize = 512, Count { min: 1, max: 65_536 };
        /// Bytes of one head: request line and fields.
        optional head_bytes_max: usize = 64 << 10, Size { min: 8 << 10, max: 1 << 20 };
        /// Fields of one head.
        optional header_count_max: usize = 128, Count { min: 16, max: 4096 };
        /// Bytes of the request target; at most head_bytes_max.
        optional uri_bytes_max: usize = 16 << 10, Size { min: 1 << 10, max: 63 << 10 };
        /// Concurrent HTTP/2 streams of one client connection.
        optional streams_per_connection: usize = 128, Count { min: 1, max: 65_536 };
        /// From the first byte of a head to its last.
        optional head_timeout: Duration = Duration::from_secs(10), Time::up_to(HOUR);
        /// A keep-alive connection without a request is closed after this.
        optional idle_timeout: Duration = Duration::from_secs(75), Time::up_to(DAY);
        /// No byte of a body in either direction; does not apply to WebSockets and event streams towards the client.
        optional body_idle_timeout: Duration = Duration::from_secs(60), Time::up_to(DAY);
        /// Bytes a second below which a request body is ended when body_idle_timeout has been waited for it in all, unless
        /// the response has begun; 0 lets it trickle.
        optional body_rate_min: usize = 500, Count { min: 0, max: 1 << 20 };
        /// How long a request waits for a link of its group to appear.
        optional queue_wait: Duration = Duration::from_secs(2), Time { min: Duration::ZERO, max: HOUR };
        /// Requests waiting so, per worker.
        optional queue_length: usize = 1024, Count { min: 0, max: 1_000_000 };
        /// Requests under way on one link.
        optional streams_per_link: usize = 4096, Count { min: 1, max: 65_536 };
        /// Connections to the servers of one app, per worker.
        optional backend_connections: usize = 1024, Count { min: 1, max: 65_536 };
        /// An idle connection to an app is closed after this.
        optional backend_idle_timeout: Duration = Duration::from_secs(30), Time::up_to(DAY);
        /// TCP and TLS to an app.
        optional backend_connect_timeout: Duration = Duration::from_secs(5), Time::up_to(HOUR);
        /// The TLS handshake of a client.
        optional tls_handshake_timeout: Duration = Duration::from_secs(10), Time::up_to(HOUR);
    }
}

settings! {
    /// Files of one certificate.
    pub struct CertificateFiles {
        /// PEM file: the certificate, followed by its chain.
        required cert: PathBuf = PathBuf::from("example.com.crt"), File;
        /// PEM file: the private key.
        required key: PathBuf = PathBuf::from("example.com.key"), File;
    }
}

impl EdgeConfig {
    /// The address connectors dial: `public_address`, or that of the HTTPS listener, with the
    /// loopback address where it listens on every interface.
    #[must_use]
    pub fn dialled_address(&self) -> String {
        let listener = self.listen.https;
        match &self.public_address {
            Some(address) => address.clone(),
            None if listener.ip().is_unspecified() => format!("127.0.0.1:{}", listener.port()),
            None => listener.to_string(),
        }
    }

    /// Relative paths become relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        self.data_dir = directory.join(&self.data_dir);
        for files in &mut self.certificates {
            files.cert = directory.join(&files.cert);
            files.key = directory.join(&files.key);
        }
        for app in &mut self.apps {
            app.resolve(directory);
        }
        for filter in self.filters.values_mut() {
            filter.resolve(directory);
        }
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self::template()
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::template()
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::template()
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self::template()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_dial_what_can_be_dialled() {
        let mut config = EdgeConfig::default();
        assert_eq!(config.dialled_address(), "127.0.0.1:443");
        config.listen.https = "192.0.2.1:8443".parse().unwrap();
        assert_eq!(config.dialled_address(), "192.0.2.1:8443");
        config.public_address = Some("edge.example.com:443".to_owned());
        assert_eq!(config.dialled_address(), "edge.example.com:443");
    }
}
