//! `lockgate check links`: what it is asked, and how it gets from a name to an edge.
//!
//! A certificate is judged as a browser would, except that the edge's own self-signed ones are known
//! from its data directory. It refuses to accept any other by itself; `--insecure` does.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use rustls::ClientConfig;
use serde_json::Value;
use url::Url;

use super::client::Client;
use super::crawl::{self, Walk};
use super::known::Known;
use super::{Failure, show};
use crate::app::reload;
use crate::cli::{status, token};
use crate::config::{AppSettings, EdgeConfig, PublishedUrl};
use crate::control::self_signed;
use crate::tls;

const WHAT: &str = "\
What a browser would load or follow counts; text, comments, titles, URLs inside
other URLs, host names alone and ports no app has are counted and shown by --all.
Exit code 1 if anything counts, or if the start cannot be read.

Only GET is sent, but every link inside the app is followed: leave out with --skip
what a GET changes (/logout).";

#[derive(clap::Args)]
#[command(after_help = WHAT)]
pub(in crate::cli) struct Arguments {
    /// The app to walk through.
    #[arg(long, value_name = "NAME")]
    app: String,
    /// How many links away from the start.
    #[arg(long, value_name = "N", default_value_t = 3)]
    depth: usize,
    /// How many URLs are asked for at most.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_pages: usize,
    /// Where to start; without it at the app's external URL. An app with a wildcard host needs it.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The edge's configuration file.
    #[arg(long, value_name = "FILE", default_value = "lockgate.toml")]
    config: PathBuf,
    /// Ask a running edge or `up` for its apps instead of reading a file.
    #[arg(long, value_name = "ADDR", conflicts_with = "config")]
    admin: Option<SocketAddr>,
    /// Where the edge is; without it, where the host's name leads, and 127.0.0.1 for *.localhost.
    #[arg(long, value_name = "ADDR")]
    connect: Option<String>,
    /// Accept any certificate. The self-signed ones in the edge's data directory are accepted without it.
    #[arg(long)]
    insecure: bool,
    /// A field of every request, for example "Cookie: session=…"; again for more.
    #[arg(long, value_name = "NAME: VALUE", value_parser = field)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Leave out URLs with this in them; again for more.
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// Seconds for one request.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// List what is harmless too.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = match arguments.admin {
        Some(admin) => of_admin(&status::ask(admin)?)?,
        None => reload::read(&arguments.config).map_err(Failure::Refused)?,
    };
    let Some(app) = config.apps.iter().find(|app| app.name == arguments.app) else {
        let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
        return Err(Failure::Failed(format!("no app is named {}; there are: {}", arguments.app, names.join(", "))));
    };
    let start = start(arguments, app)?;
    let client = Client {
        addr: address(arguments, &start)?,
        tls: if start.scheme() == "https" { Some(trust(arguments, &config)?) } else { None },
        fields: arguments.header.clone(),
        timeout: Duration::from_secs(arguments.timeout),
        open: None,
    };
    let walk = Walk {
        app: app.external_url.clone(),
        start,
        depth: arguments.depth,
        pages_max: arguments.max_pages.max(1),
        skip: arguments.skip.clone(),
    };
    let known = Known::of(&config.apps);
    let seen = token::block_on(async {
        let mut client = client;
        Ok(crawl::walk(&walk, &known, &mut client).await)
    })?;
    // Of an app that cannot be reached nothing can be said.
    if let Some((url, reason)) = seen.unread.iter().find(|(url, _)| url == walk.start.as_str()) {
        let mend = if reason.contains("certificate") { "; --insecure accepts any certificate" } else { "" };
        return Err(Failure::Failed(format!("{url}: {reason}{mend}")));
    }
    if arguments.json {
        say!("{}", show::json(&app.name, &walk, &seen));
    } else {
        show::print(&walk, &seen, arguments.all);
    }
    match seen.findings.iter().filter(|finding| finding.place.is_followed).count() {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 internal address still shows".to_owned())),
        count => Err(Failure::Failed(format!("{count} internal addresses still show"))),
    }
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("{name} is no field name"))?;
    Ok((name, value.trim().parse().map_err(|_| "the value has bytes no field may have".to_owned())?))
}

/// The apps as a running edge tells them.
fn of_admin(status: &str) -> Result<EdgeConfig, Failure> {
    let status: Value = serde_json::from_str(status)?;
    let mut config = EdgeConfig::default();
    for app in status["apps"].as_array().into_iter().flatten() {
        let url = |key: &str| {
            let text = app[key].as_str().unwrap_or_default();
            PublishedUrl::parse(text)
                .map_err(|reason| Failure::Failed(format!("the admin port says {key} {text}: {reason}")))
        };
        let name = app["app"].as_str().unwrap_or_default();
        let mut settings = AppSettings::new(name, url("external_url")?, url("internal_url")?);
        let also = app["translate_also"].as_array().into_iter().flatten().filter_map(Value::as_str);
        settings.translate_also = also.map(|url| (url.to_owned(), String::new())).collect();
        config.apps.push(settings);
    }
    Ok(config)
}

fn start(arguments: &Arguments, app: &AppSettings) -> Result<Url, Failure> {
    let text = match &arguments.from {
        Some(url) => url.clone(),
        None if app.external_url.wildcard => {
            return Err(Failure::Failed(format!("{} has a wildcard host: say --from URL", app.name)));
        }
        None => app.external_url.to_string(),
    };
    let url = Url::parse(&text).map_err(|error| Failure::Failed(format!("{text}: {error}")))?;
    if app.external_url.covers(&url) {
        return Ok(url);
    }
    Err(Failure::Failed(format!("{text} is not inside {}", app.external_url)))
}

/// Where the edge is.
fn address(arguments: &Arguments, start: &Url) -> Result<SocketAddr, Failure> {
    let port = start.port_or_known_default().unwrap_or(443);
    let host = start.host_str().unwrap_or_default();
    let place = match &arguments.connect {
        Some(place) if place.parse::<SocketAddr>().is_ok() || place.rsplit_once(':').is_some() => place.clone(),
        Some(place) => format!("{place}:{port}"),
        // RFC 6761, 6.3: these never leave the machine, whatever a resolver says.
        None if host == "localhost" || host.ends_with(".localhost") => format!("127.0.0.1:{port}"),
        None => format!("{host}:{port}"),
    };
    let mut addresses = place
        .to_socket_addrs()
        .map_err(|error| Failure::Failed(format!("{place}: {error}; say with --connect where the edge is")))?;
    addresses.next().ok_or_else(|| Failure::Failed(format!("{place} has no address")))
}

fn trust(arguments: &Arguments, config: &EdgeConfig) -> Result<Arc<ClientConfig>, Failure> {
    let provider = tls::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(tls::VERSIONS)?;
    let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = if arguments.insecure {
        tls::danger::skip_backend_verification(provider)
    } else {
        let own = self_signed::known(&config.data_dir.join("self-signed"));
        tls::pinned(own, Arc::new(rustls_platform_verifier::Verifier::new(provider)?))
    };
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![tls::alpn::HTTP1.to_vec()];
    Ok(Arc::new(config))
}
