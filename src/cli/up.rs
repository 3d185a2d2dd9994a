//! `lockgate up`: edge and connector in one process, joined by the real link.

mod filter;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Failure;
use super::role::{self, Asked, Signals, say_ready};
use crate::app::connector::Connector;
use crate::app::edge::Edge;
use crate::app::reload;
use crate::config::{AppSettings, ConnectorConfig, DialSettings, EdgeConfig, IoDriver, PublishedUrl};
use crate::connector::{Credentials, join};
use crate::drain::Ending;
use crate::io::worker::Workers;
use crate::metrics::Metrics;
use crate::sample::Sample;
use crate::trace::AccessSink;

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// The application to publish, for example http://localhost:3000; without it a small sample
    /// intranet is started and published.
    url: Option<String>,
    /// Where to listen for HTTPS.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    https: SocketAddr,
    /// Where to listen for plain HTTP.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where metrics, health and status are.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// The application's name: it is published as NAME.localhost.
    #[arg(long, value_name = "NAME", default_value = "app")]
    name: String,
    /// Where the edge and the connector keep their own state.
    #[arg(long, value_name = "DIR", default_value = "lockgate-data")]
    data_dir: PathBuf,
    /// Worker threads; 0 means one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: usize,
    /// How the kernel is asked to read and write: auto, epoll or uring.
    #[arg(long, value_name = "DRIVER", env = "LOCKGATE_IO", value_parser = IoDriver::named)]
    io: Option<IoDriver>,
    /// Replace the application's internal URLs in pages, style sheets and feeds by external ones.
    #[arg(long)]
    translate_links: bool,
    /// The same in JavaScript and JSON, where a string holds a whole internal URL.
    #[arg(long, requires = "translate_links")]
    translate_scripts: bool,
    /// A filter for the application: a .wasm file or builtin:NAME; again for more, in the order of the chain. The file and
    /// its filter.toml are watched, and a change is in force at once.
    #[arg(long, value_name = "MODULE")]
    filter: Vec<String>,
    /// What the last filter reads as its configuration.
    #[arg(long, value_name = "FILE", requires = "filter")]
    filter_config: Option<PathBuf>,
    /// Print a line for every request, also on a terminal.
    #[arg(long)]
    access_log: bool,
}

/// How long the first link may take: it goes over loopback.
const LINK_PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    let sample = if arguments.url.is_none() { Some(Sample::start()?) } else { None };
    let url = match (&arguments.url, &sample) {
        (Some(url), _) => with_path(url),
        (None, Some(sample)) => sample.url(),
        (None, None) => String::new(),
    };
    let mut config = configuration(&arguments, &url)?;
    let on_terminal = std::io::stdout().is_terminal();
    config.log.access = arguments.access_log || !on_terminal;
    if on_terminal {
        config.log.level = "warn".into();
    }
    let office = role::begin(&config.log)?;
    let (workers, joiner) = role::workers(config.workers, arguments.io.unwrap_or(config.io))?;
    let metrics = Arc::new(Metrics::new()?);
    let access = AccessSink::start(role::format(&config.log), metrics.log_dropped.clone())?;
    let grace = config.grace_period;
    let outcome = office.block_on(async {
        let mut signals = Signals::listen()?;
        let edge = Edge::start(office.handle(), &workers, config.clone(), metrics.clone(), Some(access)).await?;
        let edge = Arc::new(edge);
        let mut connector = join_own_edge(&edge, &workers, &config, office.handle()).await?;
        wait_for_links(&edge, workers.count()).await?;
        introduce(&arguments, &edge, &url, sample.is_some());
        let (hangup, hangups) = mpsc::channel(1);
        let following = tokio::spawn(reload::follow_origin(edge.clone(), origin(&arguments, config, &url), hangups));
        say_ready(&format!("serving after {:.1} s; Ctrl-C stops it", began.elapsed().as_secs_f64()));
        let live = on_terminal && !arguments.access_log;
        let mut seen = (0, 0);
        loop {
            tokio::select! {
                reason = connector.refused() => return Err(Failure::Unwelcome(reason)),
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => drop(hangup.try_send(())),
                },
                () = tokio::time::sleep(Duration::from_secs(1)), if live => {
                    seen = show_status(&edge, &metrics, seen).await;
                }
            }
        }
        if live {
            say!("");
        }
        following.abort();
        let stop = async {
            let ending = edge.stop(grace).await;
            match connector.stop(grace).await {
                Ending::Finished => ending,
                abandoned => abandoned,
            }
        };
        signals.drain("up", grace, stop).await;
        Ok(())
    });
    drop(workers);
    joiner.join();
    outcome
}

/// A bare `http://host:port` means its root.
fn with_path(url: &str) -> String {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    if url.ends_with('/') { url } else { format!("{url}/") }
}

/// Where the configuration comes from when a file it names has changed: the same arguments. Log,
/// listeners and data directory are what the process began with.
fn origin(arguments: &Arguments, began: EdgeConfig, url: &str) -> reload::Origin {
    let (arguments, url) = (arguments.clone(), url.to_owned());
    reload::Origin {
        files: arguments.filter_config.iter().cloned().chain(filter::manifests(&arguments.filter)).collect(),
        read: Box::new(move || match configuration(&arguments, &url) {
            Ok(EdgeConfig { apps, filters, .. }) => Ok(EdgeConfig { apps, filters, ..began.clone() }),
            Err(Failure::Failed(reason) | Failure::Unwelcome(reason)) => Err(vec![reason]),
            Err(Failure::Refused(faults)) => Err(faults),
        }),
        told: Box::new(filter::tell_reload),
    }
}

fn configuration(arguments: &Arguments, url: &str) -> Result<EdgeConfig, Failure> {
    let internal = PublishedUrl::parse(url).map_err(|reason| Failure::Failed(format!("{url}: {reason}")))?;
    let external = |scheme: &str, addr: SocketAddr| {
        // A port the system will choose is not known yet; routing takes any port for a URL without one.
        let port = if addr.port() == 0 { String::new() } else { format!(":{}", addr.port()) };
        let url = format!("{scheme}://{}.localhost{port}/", arguments.name);
        PublishedUrl::parse(&url).map_err(|reason| Failure::Failed(format!("--name {}: {reason}", arguments.name)))
    };
    let mut config = EdgeConfig {
        data_dir: arguments.data_dir.clone(),
        workers: arguments.workers,
        apps: vec![
            AppSettings::new(arguments.name.clone(), external("https", arguments.https)?, internal.clone()),
            AppSettings::new(format!("{}-http", arguments.name), external("http", arguments.http)?, internal),
        ],
        ..EdgeConfig::default()
    };
    let filters = filter::read(&arguments.filter, arguments.filter_config.as_deref())?;
    for app in &mut config.apps {
        app.filters = filters.iter().map(|(name, _)| name.clone()).collect();
        app.translate_urls_in_body = arguments.translate_links;
        app.translate_urls_in_scripts = arguments.translate_scripts;
    }
    config.filters = filters.into_iter().collect();
    config.listen.https = arguments.https;
    config.listen.http = Some(arguments.http);
    config.listen.admin = Some(arguments.admin);
    Ok(config)
}

/// The connector enrols with its own edge as any other would, once; later starts find it enrolled.
async fn join_own_edge(
    edge: &Edge,
    workers: &Workers,
    began: &EdgeConfig,
    office: &tokio::runtime::Handle,
) -> Result<Connector, Failure> {
    // All apps of `up` lead to the one URL that was named.
    let dial = began.apps.first().map(|app| DialSettings::only(&app.internal_url)).unwrap_or_default();
    let config = ConnectorConfig { data_dir: began.data_dir.join("connector"), dial, ..ConnectorConfig::default() };
    let token = edge.create_token("default", Duration::from_secs(60)).await?;
    let known = match Credentials::load(&config.data_dir)? {
        Some(known) if edge.store().is_revoked(&known.connector).await.is_ok_and(|revoked| !revoked) => Some(known),
        _ => None,
    };
    let credentials = match known {
        Some(known) => {
            let _ = edge.store().delete_token(&token.id).await;
            // The edge may listen on another port this time.
            Credentials { edge: token.edge.clone(), ..known }
        }
        None => join::join(&token, Some("up".into()), &config.data_dir).await?,
    };
    // A registry of its own: what both halves count would otherwise be counted twice.
    Ok(Connector::start(office, workers, &config, credentials, Arc::new(Metrics::new()?)).await?)
}

async fn wait_for_links(edge: &Edge, workers: usize) -> Result<(), Failure> {
    let up = async {
        while edge.links().await.iter().filter(|link| link.state == "up" && link.generation > 0).count() < workers {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let late = || Failure::Failed("the connector did not link up with its own edge; the log says why".into());
    tokio::time::timeout(LINK_PATIENCE, up).await.map_err(|_| late())
}

fn introduce(arguments: &Arguments, edge: &Edge, url: &str, sample: bool) {
    let addresses = edge.addresses();
    let host = format!("{}.localhost", arguments.name);
    let https = format!("https://{host}:{}/", addresses.https.port());
    say!("Lockgate {}\n", env!("CARGO_PKG_VERSION"));
    say!("  application  {url}{}", if sample { "  (the built-in sample intranet)" } else { "" });
    say!("  published    {https}  (self-signed: the browser asks once)");
    if let Some(http) = addresses.http {
        say!("               http://{host}:{}/", http.port());
    }
    if let Some(admin) = addresses.admin {
        say!("  admin        http://{admin}/metrics  /status  /healthz  /readyz");
    }
    say!("  data         {}", arguments.data_dir.display());
    filter::introduce(&edge.filters(), &arguments.filter);
    say!("");
    let (show, kind) = if arguments.filter.is_empty() { ("", "") } else { ("i", "   shows what the filter did") };
    say!("  try          curl -k{show} {https}{kind}");
    say!("               lockgate config example > lockgate.toml   for a real edge\n");
}

/// One short line, rewritten each second.
async fn show_status(edge: &Edge, metrics: &Metrics, seen: (u64, u64)) -> (u64, u64) {
    let links = edge.links().await;
    let up = links.iter().filter(|link| link.state == "up").count();
    let streams: usize = links.iter().map(|link| link.streams).sum();
    let now = metrics.totals().await;
    let rate = now.0.saturating_sub(seen.0);
    say_bare!("\r\x1b[K  {up} links up · {streams} open · {} requests · {rate}/s · {} failed", now.0, now.1);
    now
}
