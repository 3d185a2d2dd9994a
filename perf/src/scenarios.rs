//! The scenarios of `compare`: what is loaded, how, who takes part. Data only; it refuses to list what
//! is not built.

use crate::generator::Kind;
use crate::options::Backend;
use crate::peers::Who::{
    Envoy, Haproxy, Local, LocalPlain, Nginx, NginxAgain, NginxPlain, Rathole, Tunnel, TunnelPlain,
};
use crate::peers::{APPS, Door, Feature, Setup, Who};

/// What CPU time and rates are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Request,
    Handshake,
    Message,
    Mebibyte,
    Stream,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Handshake => "connection",
            Self::Message => "message",
            Self::Mebibyte => "MiB",
            Self::Stream => "stream",
        }
    }
}

/// What loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// wrk: GETs over HTTP/1.1 on connections that are kept; with `hosts`, to so many in turn.
    Wrk { path: &'static str, hosts: usize },
    /// h2load: GETs over HTTP/2, all connections' worth of streams on one connection.
    H2load,
    /// Our generator.
    Own { kind: Kind, path: &'static str, upload: u64, message: usize, resumed: bool, stalled: Option<&'static str> },
}

/// A row of the list.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    pub unit: Unit,
    pub load: Load,
    /// Connections; streams of HTTP/2; WebSockets.
    pub connections: usize,
    pub setup: Setup,
    pub who: &'static [Who],
    /// Whether latency is also measured at a rate that all can hold.
    pub paced: bool,
    /// Which backend serves it; the own one can do all, nginx what is static.
    pub backend: Backend,
    /// Whether `--quick` runs it, too.
    pub quick: bool,
}

const PLAIN: Setup = Setup { door: Door::Plain, feature: Feature::None };
const TLS: Setup = Setup { door: Door::Tls, feature: Feature::None };

const fn with(feature: Feature) -> Setup {
    Setup { door: Door::Plain, feature }
}

const SIX: &[Who] = &[Local, Tunnel, Nginx, NginxAgain, Haproxy, Envoy, Rathole];
/// Those that read what they pass.
const READERS: &[Who] = &[Local, Tunnel, Nginx, NginxAgain, Haproxy, Envoy];

const fn small(name: &'static str, what: &'static str, connections: usize, quick: bool) -> Scenario {
    Scenario {
        name,
        what,
        unit: Unit::Request,
        load: Load::Wrk { path: "/", hosts: 0 },
        connections,
        setup: PLAIN,
        who: SIX,
        paced: true,
        backend: Backend::Nginx,
        quick,
    }
}

const fn own(kind: Kind, path: &'static str) -> Load {
    Load::Own { kind, path, upload: 0, message: 20, resumed: false, stalled: None }
}

const fn upload(bytes: u64) -> Load {
    Load::Own { kind: Kind::Http, path: "/sink", upload: bytes, message: 20, resumed: false, stalled: None }
}

/// All of them, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    small("small-1", "GET, 66 bytes, keep-alive, one connection", 1, false),
    small("small-16", "GET, 66 bytes, keep-alive, 16 connections", 16, false),
    small("small-64", "GET, 66 bytes, keep-alive, 64 connections", 64, true),
    small("small-512", "GET, 66 bytes, keep-alive, 512 connections", 512, false),
    small("small-2048", "GET, 66 bytes, keep-alive, 2,048 connections", 2048, false),
    Scenario {
        load: Load::Wrk { path: "/bytes/10240", hosts: 0 },
        ..small("down-10k", "GET, 10 KiB, 64 connections", 64, false)
    },
    Scenario {
        unit: Unit::Mebibyte,
        load: own(Kind::Http, "/bytes/1048576"),
        ..small("down-1m", "GET, 1 MiB, 16 connections", 16, true)
    },
    Scenario {
        unit: Unit::Mebibyte,
        load: own(Kind::Http, "/bytes/1073741824"),
        paced: false,
        ..small("down-1g", "GET, 1 GiB, one connection", 1, false)
    },
    Scenario {
        load: upload(10 << 10),
        backend: Backend::Own,
        ..small("up-10k", "POST of 10 KiB, 64 connections", 64, false)
    },
    Scenario {
        unit: Unit::Mebibyte,
        load: upload(1 << 20),
        backend: Backend::Own,
        ..small("up-1m", "POST of 1 MiB, 16 connections", 16, true)
    },
    Scenario {
        unit: Unit::Mebibyte,
        load: upload(1 << 30),
        backend: Backend::Own,
        paced: false,
        ..small("up-1g", "POST of 1 GiB, one connection", 1, false)
    },
    Scenario {
        unit: Unit::Handshake,
        load: own(Kind::Handshake, "/"),
        setup: TLS,
        who: READERS,
        ..small("tls-new", "TLS 1.3 in: a new session for each request, 16 at a time", 16, false)
    },
    Scenario {
        unit: Unit::Handshake,
        load: Load::Own { kind: Kind::Handshake, path: "/", upload: 0, message: 20, resumed: true, stalled: None },
        setup: TLS,
        who: READERS,
        ..small("tls-resumed", "TLS 1.3 in: a resumed session for each request, 16 at a time", 16, true)
    },
    Scenario {
        load: Load::H2load,
        setup: TLS,
        who: READERS,
        paced: false,
        ..small("h2-100", "HTTP/2 over TLS in: GET, 66 bytes, one connection, 100 streams", 100, true)
    },
    Scenario {
        setup: with(Feature::HeaderFilter),
        who: &[Local, LocalPlain, Nginx, NginxAgain, Haproxy, Envoy],
        ..small("header-filter", "GET, 66 bytes, one field set and one removed both ways, 64 connections", 64, true)
    },
    Scenario {
        load: own(Kind::Http, "/page"),
        setup: with(Feature::Translation),
        who: &[Local, LocalPlain, Nginx, NginxAgain, NginxPlain],
        ..small("translation", "GET, 100 KiB of HTML whose links are translated, 8 connections", 8, true)
    },
    Scenario {
        unit: Unit::Message,
        load: own(Kind::Echo, "/echo"),
        backend: Backend::Own,
        ..small("ws-1000", "1,000 WebSockets, messages of 20 bytes and their echo", 1000, true)
    },
    Scenario {
        unit: Unit::Message,
        load: own(Kind::Echo, "/echo"),
        backend: Backend::Own,
        ..small("ws-5000", "5,000 WebSockets, messages of 20 bytes and their echo", 5000, false)
    },
    Scenario {
        unit: Unit::Mebibyte,
        load: Load::Own { kind: Kind::Echo, path: "/echo", upload: 0, message: 65_536, resumed: false, stalled: None },
        paced: false,
        backend: Backend::Own,
        ..small("ws-bulk", "8 WebSockets, messages of 64 KiB and their echo; a MiB counts once", 8, false)
    },
    Scenario {
        unit: Unit::Stream,
        load: own(Kind::Idle, "/echo"),
        who: &[Local, Tunnel, Nginx, NginxAgain, Haproxy, Envoy, Rathole],
        paced: false,
        backend: Backend::Own,
        ..small("ws-idle-5000", "5,000 WebSockets that are open and idle: memory", 5000, false)
    },
    Scenario {
        unit: Unit::Stream,
        load: own(Kind::Idle, "/echo"),
        // One hop would need two descriptors a stream in one process, and so does rathole's server.
        who: &[Tunnel],
        paced: false,
        backend: Backend::Own,
        ..small("ws-idle-15000", "15,000 WebSockets that are open and idle: memory", 15_000, false)
    },
    Scenario {
        load: Load::Own {
            kind: Kind::Http,
            path: "/bytes/10240",
            upload: 0,
            message: 20,
            resumed: false,
            stalled: Some("/bytes/1073741824"),
        },
        ..small(
            "stalled-reader",
            "GET, 10 KiB, 99 connections, beside one that asked for 1 GiB and reads nothing",
            99,
            false,
        )
    },
    Scenario {
        load: Load::Wrk { path: "/", hosts: APPS },
        setup: with(Feature::Apps),
        who: READERS,
        ..small("apps-1000", "GET, 66 bytes, 1,000 apps by host, each in its turn, 64 connections", 64, true)
    },
    Scenario {
        setup: with(Feature::Connectors),
        who: &[Tunnel, TunnelPlain],
        ..small("connectors-16", "GET, 66 bytes, 16 connectors of one group against one, 64 connections", 64, true)
    },
    Scenario {
        load: own(Kind::Http, "/"),
        setup: with(Feature::Network),
        who: &[Tunnel, Nginx, NginxAgain, Rathole],
        backend: Backend::Own,
        ..small("bad-line", "GET, 66 bytes, 20 ms round trip and 1 % loss to the backend, 64 connections", 64, true)
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_row_has_contenders() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..at].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            assert!(!scenario.who.is_empty(), "{}", scenario.name);
        }
    }

    #[test]
    fn plain_contenders_need_a_feature_to_be_without() {
        for scenario in SCENARIOS {
            let plain = scenario.who.iter().any(|who| who.name().ends_with("-plain"));
            assert!(!plain || scenario.setup.feature != Feature::None, "{}", scenario.name);
        }
    }
}
