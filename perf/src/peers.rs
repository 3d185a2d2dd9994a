//! The contenders: how each is configured and started, one worker each, all on one core.
//!
//! Peers get the best configuration their documentation describes, not their defaults. Refuses to
//! go on with a contender that does not deliver the backend's bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::backend;
use crate::children::{CONTENDER_CORE, LOAD_CORE, Nursery, Running, ask, free_port};
use crate::options::{Backend, Options};

/// Something that serves the backend's bytes at an address.
pub struct Contender {
    pub name: &'static str,
    pub what: &'static str,
    pub address: SocketAddr,
    pub processes: Vec<Running>,
}

impl Contender {
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Running::pid).collect()
    }

    /// Asks until the backend's body comes; `Err` if a process ends or nothing comes for 15 s.
    fn until_ready(mut self) -> Result<Self, String> {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            let reason = match ask_once(self.address, "/") {
                Ok(answer) if answer.is_the_backends() => return Ok(self),
                Ok(answer) => format!("answered: {}", answer.status_line()),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                let words: Vec<String> = self.processes.iter().map(Running::last_words).collect();
                return Err(format!("not ready after 15 s ({reason}); its log ends: {}", words.join(" || ")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// One whole answer, head and body.
pub struct Answer(Vec<u8>);

impl Answer {
    pub fn length(&self) -> usize {
        self.0.len()
    }

    pub fn is_the_backends(&self) -> bool {
        self.0.starts_with(b"HTTP/1.1 200 ") && self.0.ends_with(format!("\r\n\r\n{}", backend::BODY).as_bytes())
    }

    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.0).rsplit_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    fn status_line(&self) -> String {
        String::from_utf8_lossy(&self.0).lines().next().unwrap_or_default().to_owned()
    }
}

/// One GET on a connection kept alive, as wrk asks. The body's length is known from its head.
pub fn ask_once(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let patience = Duration::from_secs(3);
    let mut connection = TcpStream::connect_timeout(&address, patience)?;
    connection.set_read_timeout(Some(patience))?;
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut input = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return Ok(Answer(answer));
            }
        }
        let count = connection.read(&mut input)?;
        if count == 0 {
            return Ok(Answer(answer));
        }
        answer.extend_from_slice(&input[..count]);
    }
}

/// Starts the backend on the core of the load.
pub fn backend(options: &Options, nursery: &Nursery) -> Start {
    let address = free_port()?;
    let process = match (options.backend, options.nginx.as_deref()) {
        (Backend::Own, _) => {
            let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
            nursery.start("backend", LOAD_CORE, &this, |command| {
                command.arg("backend").arg(address.to_string());
            })?
        }
        (Backend::Nginx, Some(nginx)) => {
            let body = backend::BODY;
            let locations = format!(
                "location = {} {{ stub_status; }}\nlocation / {{ default_type text/plain; return 200 \"{body}\"; }}",
                backend::COUNT_PATH
            );
            let config = nginx_config(nursery, "backend", address, "", &locations)?;
            nursery.start("backend", LOAD_CORE, nginx, |command| {
                command.arg("-c").arg(config);
            })?
        }
        (Backend::Nginx, None) => return Err("--backend nginx, but nginx was not found".into()),
    };
    let what = match options.backend {
        Backend::Own => "no proxy: wrk to the backend, a thread per connection",
        Backend::Nginx => "no proxy: wrk to the backend, nginx with `return 200`",
    };
    Contender { name: "direct", what, address, processes: vec![process] }.until_ready()
}

/// How many requests the backend has answered so far.
pub fn answered(backend: &Contender) -> Result<u64, String> {
    let answer = ask_once(backend.address, backend::COUNT_PATH).map_err(|error| format!("backend: {error}"))?;
    let body = answer.body();
    // Ours says the number; nginx's stub_status has "accepts handled requests" in its third line.
    let line = body.lines().nth(2).unwrap_or(&body);
    let count = line.split_whitespace().last().and_then(|count| count.parse().ok());
    count.ok_or_else(|| format!("the backend does not say what it answered: {body}"))
}

/// A contender, or why it is missing.
pub type Start = Result<Contender, String>;

/// Starts every contender that was asked for, in the order of the table.
pub fn start_all(options: &Options, nursery: &Nursery, backend: SocketAddr) -> Vec<(&'static str, Start)> {
    let not_found = |name: &str| format!("{name} not found; name it with --{name} PATH");
    let lockgate = |start: fn(&Nursery, &Path, SocketAddr) -> Start| {
        options.lockgate.as_deref().ok_or_else(|| not_found("lockgate")).and_then(|path| start(nursery, path, backend))
    };
    let nginx = |name: &'static str| {
        let path = options.nginx.as_deref().ok_or_else(|| not_found("nginx"));
        path.and_then(|path| start_nginx(name, nursery, path, backend))
    };
    let mut started = Vec::new();
    if options.wants("local") {
        started.push(("local", lockgate(start_local)));
    }
    if options.wants("nginx") {
        started.push(("nginx", nginx("nginx")));
        if options.null {
            started.push(("nginx-again", nginx("nginx-again")));
        }
    }
    if options.wants("tunnel") {
        started.push(("tunnel", lockgate(start_tunnel)));
    }
    if options.wants("rathole") {
        let path = options.rathole.as_deref().ok_or_else(|| not_found("rathole"));
        started.push(("rathole", path.and_then(|path| start_rathole(nursery, path, backend))));
    }
    started
}

fn edge_config(
    nursery: &Nursery,
    name: &str,
    http: SocketAddr,
    group: &str,
    backend: SocketAddr,
) -> Result<String, String> {
    let https = free_port()?;
    let admin = free_port()?;
    let data = nursery.path(&format!("{name}-data"));
    Ok(format!(
        "data_dir = \"{}\"\npublic_address = \"{https}\"\ngrace_period = \"1s\"\nworkers = 1\n\
         [listen]\nhttps = \"{https}\"\nhttp = \"{http}\"\nadmin = \"{admin}\"\n\
         [log]\naccess = false\n\
         [[app]]\nname = \"perf\"\nexternal_url = \"http://{http}/\"\ninternal_url = \"http://{backend}/\"\ngroup = \"{group}\"\n",
        data.display()
    ))
}

fn start_local(nursery: &Nursery, lockgate: &Path, backend: SocketAddr) -> Start {
    let address = free_port()?;
    let config = nursery.write("local.toml", &edge_config(nursery, "local", address, "local", backend)?)?;
    let edge = nursery.start("local", CONTENDER_CORE, lockgate, |command| {
        command.arg("edge").arg("--config").arg(config);
    })?;
    let what = "lockgate edge, group = \"local\": one hop";
    Contender { name: "local", what, address, processes: vec![edge] }.until_ready()
}

fn start_tunnel(nursery: &Nursery, lockgate: &Path, backend: SocketAddr) -> Start {
    let address = free_port()?;
    let config = nursery.write("tunnel.toml", &edge_config(nursery, "tunnel", address, "default", backend)?)?;
    let created = ask(lockgate, &["token", "create", "--config", &config.to_string_lossy()])?;
    if !created.status.success() {
        return Err(format!("token create: {}", String::from_utf8_lossy(&created.stderr)));
    }
    let token = String::from_utf8_lossy(&created.stdout).trim().to_owned();
    let mut edge = nursery.start("tunnel-edge", CONTENDER_CORE, lockgate, |command| {
        command.arg("edge").arg("--config").arg(&config);
    })?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        edge.check()?;
        if Instant::now() > deadline {
            return Err(format!("the edge does not listen: {}", edge.last_words()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let data = nursery.path("tunnel-connector-data");
    let text =
        format!("data_dir = \"{}\"\ngrace_period = \"1s\"\nworkers = 1\n[log]\naccess = false\n", data.display());
    let config = nursery.write("tunnel-connector.toml", &text)?;
    let connector = nursery.start("tunnel-connector", CONTENDER_CORE, lockgate, |command| {
        command.arg("connector").arg("--config").arg(&config).env("LOCKGATE_JOIN", token);
    })?;
    let what = "lockgate edge + connector, mutual TLS between them: two hops";
    Contender { name: "tunnel", what, address, processes: vec![edge, connector] }.until_ready()
}

/// nginx as its documentation has it for keep-alive upstreams. It adds no forwarding headers here,
/// which Lockgate does: the comparison leans towards nginx.
fn start_nginx(name: &'static str, nursery: &Nursery, nginx: &Path, backend: SocketAddr) -> Start {
    let address = free_port()?;
    let upstream = format!("upstream backend {{ server {backend}; keepalive 512; keepalive_requests 1000000000; }}");
    let location =
        "location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\"; }";
    let config = nginx_config(nursery, name, address, &upstream, location)?;
    let process = nursery.start(name, CONTENDER_CORE, nginx, |command| {
        command.arg("-c").arg(config);
    })?;
    let what = "nginx, keep-alive upstream, no access log: one hop";
    Contender { name, what, address, processes: vec![process] }.until_ready()
}

/// One worker, connections kept for good, nothing written but errors.
fn nginx_config(
    nursery: &Nursery,
    name: &str,
    address: SocketAddr,
    upstream: &str,
    locations: &str,
) -> Result<PathBuf, String> {
    let folder = nursery.path(&format!("{name}-data"));
    std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let at = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .collect();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nserver_tokens off;\nkeepalive_requests 1000000000;\n{temporary}{upstream}\n\
         server {{\nlisten {address} backlog=4096;\n{locations}\n}}\n}}\n"
    );
    nursery.write(&format!("{name}.conf"), &text)
}

fn start_rathole(nursery: &Nursery, rathole: &Path, backend: SocketAddr) -> Start {
    let address = free_port()?;
    let control = free_port()?;
    let service = "[services.perf]\ntype = \"tcp\"\nnodelay = true";
    let of = |role: &str, head: String, last: String| {
        let service = service.replace("[", &format!("[{role}."));
        format!("[{role}]\n{head}\ndefault_token = \"perf\"\n{service}\n{last}\n")
    };
    let server = of("server", format!("bind_addr = \"{control}\""), format!("bind_addr = \"{address}\""));
    let client = of("client", format!("remote_addr = \"{control}\""), format!("local_addr = \"{backend}\""));
    let mut processes = Vec::new();
    for (role, text) in [("server", server), ("client", client)] {
        let name = format!("rathole-{role}");
        let config = nursery.write(&format!("{name}.toml"), &text)?;
        processes.push(nursery.start(&name, CONTENDER_CORE, rathole, |command| {
            // One worker each; with one core allowed tokio would choose one anyway.
            command.arg(format!("--{role}")).arg(config).env("TOKIO_WORKER_THREADS", "1").env("RUST_LOG", "warn");
        })?);
    }
    let what = "rathole server + client, plain TCP: two hops that read no HTTP";
    Contender { name: "rathole", what, address, processes }.until_ready()
}
