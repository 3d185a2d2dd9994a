//! The contenders: who they are, what a scenario sets up in them, and what is known of a running one.
//! One worker each, all on one core.
//!
//! Peers get the best configuration their documentation describes, not their defaults. Refuses to
//! go on with a contender that does not deliver the backend's bytes.

mod envoy;
mod haproxy;
mod lockgate;
mod network;
mod nginx;
mod rathole;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::children::{LOAD_CORE, Nursery, Running, free_port};
use crate::generator::{Kind, Plan};
use crate::load::own;
use crate::options::{Backend, Options, Programs, installed};
use crate::probe::{Answer, ask_once, ask_within};

pub use network::{Network, relay};

/// Apps in the table of [`Feature::Apps`], besides the one of the address.
pub const APPS: usize = 1000;

/// Connectors of [`Feature::Connectors`].
pub const CONNECTORS: usize = 16;

/// Under what name TLS clients ask: certificates of some contenders have to name a host.
pub const TLS_HOST: &str = "localhost";

/// How long a contender may take until it answers.
const READY_PATIENCE: Duration = Duration::from_secs(15);

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Local,
    Tunnel,
    Nginx,
    /// The same program a second time: what differs between the two is noise.
    NginxAgain,
    Haproxy,
    Envoy,
    Rathole,
    /// Without the feature that the scenario is about.
    LocalPlain,
    TunnelPlain,
    NginxPlain,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Tunnel => "tunnel",
            Self::Nginx => "nginx",
            Self::NginxAgain => "nginx-again",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Rathole => "rathole",
            Self::LocalPlain => "local-plain",
            Self::TunnelPlain => "tunnel-plain",
            Self::NginxPlain => "nginx-plain",
        }
    }

    /// Whether it is the project's own program, whose failures are the project's.
    pub fn is_lockgate(self) -> bool {
        matches!(self, Self::Local | Self::Tunnel | Self::LocalPlain | Self::TunnelPlain)
    }

    fn is_plain(self) -> bool {
        matches!(self, Self::LocalPlain | Self::TunnelPlain | Self::NginxPlain)
    }

    /// Starts it and waits until it answers.
    pub fn start(self, ground: &Ground) -> Start {
        let plain = Setup { feature: Feature::None, ..ground.setup };
        let setup = if self.is_plain() { plain } else { ground.setup };
        let ground = &Ground { setup, label: format!("{}-{}", ground.label, self.name()), who: self, ..*ground };
        match self {
            Self::Local | Self::LocalPlain => lockgate::start_local(ground),
            Self::Tunnel | Self::TunnelPlain => lockgate::start_tunnel(ground),
            Self::Nginx | Self::NginxAgain | Self::NginxPlain => nginx::start(ground),
            Self::Haproxy => haproxy::start(ground),
            Self::Envoy => envoy::start(ground),
            Self::Rathole => rathole::start(ground),
        }
    }
}

/// How clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Plain,
    Tls,
}

/// What is switched on beyond passing requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    None,
    /// One field set, one removed, both ways.
    HeaderFilter,
    /// The backend's address in pages becomes the contender's.
    Translation,
    Apps,
    Connectors,
    /// The two sides in two network namespaces, with delay and loss between them.
    Network,
}

/// How a scenario wants its contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub door: Door,
    pub feature: Feature,
}

/// The one certificate of all: ECDSA P-256, for [`TLS_HOST`].
pub struct Certificate {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub both: PathBuf,
}

impl Certificate {
    pub fn make(nursery: &Nursery) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed([TLS_HOST.into()]);
        let made = made.map_err(|error| format!("certificate: {error}"))?;
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Ok(Self {
            cert: nursery.write("cert.pem", &cert)?,
            key: nursery.write("key.pem", &key)?,
            both: nursery.write("both.pem", &format!("{cert}{key}"))?,
        })
    }
}

/// What a contender is started on.
pub struct Ground<'a> {
    pub nursery: &'a Nursery,
    pub programs: &'a Programs,
    pub certificate: &'a Certificate,
    pub backend: SocketAddr,
    pub setup: Setup,
    pub network: Option<&'a Network>,
    /// Names its files; the scenario's name, then the contender's as well.
    pub label: String,
    pub who: Who,
}

impl Ground<'_> {
    /// Where the near end listens for the far end.
    fn public_ip(&self) -> IpAddr {
        self.network.map_or(Ipv4Addr::LOCALHOST.into(), Network::near_ip)
    }

    fn near(&self) -> Option<&str> {
        self.network.map(Network::near)
    }

    fn far(&self) -> Option<&str> {
        self.network.map(Network::far)
    }
}

/// Something that serves the backend's bytes at an address.
pub struct Contender {
    pub name: &'static str,
    pub what: String,
    pub address: SocketAddr,
    pub processes: Vec<Running>,
    /// As written for it, with the folder's name taken out.
    pub configuration: String,
    /// The network namespace of its address.
    pub space: Option<String>,
}

/// A contender, or why it is missing.
pub type Start = Result<Contender, String>;

impl Contender {
    fn new(ground: &Ground, what: &str, address: SocketAddr, processes: Vec<Running>, text: String) -> Self {
        let folder = ground.nursery.path("").display().to_string();
        let configuration = text.replace(folder.trim_end_matches('/'), "DIR");
        let space = ground.near().map(str::to_owned);
        Self { name: ground.who.name(), what: what.to_owned(), address, processes, configuration, space }
    }

    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Running::pid).collect()
    }

    /// One GET / from where its clients are.
    pub fn ask(&self) -> Result<Answer, String> {
        match &self.space {
            Some(space) => ask_within(space, self.address),
            None => ask_once(self.address, "/").map_err(|error| error.to_string()),
        }
    }

    /// Asks over plain HTTP until the backend's body comes.
    fn until_answers(self) -> Result<Self, String> {
        self.until(|contender| match contender.ask() {
            Ok(answer) if answer.is_the_backends() => Ok(()),
            Ok(answer) => Err(format!("answered: {}", answer.status_line())),
            Err(error) => Err(error),
        })
    }

    /// Asks as the scenario's clients will until the backend's body comes.
    fn until_ready(self, ground: &Ground) -> Result<Self, String> {
        if ground.setup.door == Door::Plain {
            return self.until_answers()?.checked(ground);
        }
        let certificate = Some(ground.certificate.cert.clone());
        self.until(|contender| {
            let plan = Plan {
                certificate: certificate.clone(),
                warm_up_ms: 0,
                measured_ms: 300,
                ..Plan::new(Kind::Handshake, contender.address)
            };
            let found = own::run(ground.nursery, None, &plan, || (), || ())?;
            found.void.map_or(Ok(()), Err)
        })
    }

    /// A contender that is to translate links and does not is no contender.
    fn checked(self, ground: &Ground) -> Result<Self, String> {
        if ground.setup.feature == Feature::Translation {
            let page = ask_once(self.address, "/page").map_err(|error| format!("the page: {error}"))?.body();
            let left = page.matches(&format!("http://{}/", ground.backend)).count();
            let done = page.matches(&format!("http://{}/", self.address)).count();
            if left > 0 || done == 0 {
                return Err(format!("{done} links of the page are translated, {left} are not"));
            }
        }
        Ok(self)
    }

    /// `Err` if a process ends or `ready` fails for 15 s.
    fn until(mut self, ready: impl Fn(&Self) -> Result<(), String>) -> Result<Self, String> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            let Err(reason) = ready(&self) else { return Ok(self) };
            if Instant::now() > deadline {
                let words: Vec<String> = self.processes.iter().map(Running::last_words).collect();
                return Err(format!("not ready after 15 s ({reason}); its log ends: {}", words.join(" || ")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts the backend on the core of the load, in the far namespace if there is one.
pub fn backend(options: &Options, nursery: &Nursery, which: Backend, network: Option<&Network>) -> Start {
    let port = free_port()?.port();
    let space = network.map(Network::far);
    // On loopback only, except where the near side has to reach it.
    let address = SocketAddr::new(network.map_or(Ipv4Addr::LOCALHOST.into(), Network::far_ip), port);
    if which == Backend::Nginx {
        let nginx = installed(options.programs.nginx.as_deref(), "nginx")?;
        return nginx::backend(nursery, nginx, space, address);
    }
    let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let process = nursery.start_in(space, "backend", LOAD_CORE, &this, |command| {
        command.arg("backend").arg(address.to_string());
    })?;
    let what = "the backend: this binary's event loop".into();
    let space = space.map(str::to_owned);
    Contender { name: "backend", what, address, processes: vec![process], configuration: String::new(), space }
        .until_answers()
}
