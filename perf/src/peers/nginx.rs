//! nginx, as a contender and as the backend: one worker, connections kept for good, nothing written
//! but errors.
//!
//! It adds no forwarding headers, which Lockgate does: the comparison leans towards nginx.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Contender, Door, Feature, Ground, Start};
use crate::backend;
use crate::children::{CONTENDER_CORE, LOAD_CORE, Nursery, free_port};
use crate::options::installed;

/// Descriptors of the worker; a process here may hold 20,000.
const WORKER_CONNECTIONS: usize = 19_000;

/// One hop in front of the backend.
pub fn start(ground: &Ground) -> Start {
    let nginx = installed(ground.programs.nginx.as_deref(), "nginx")?;
    let address = free_port()?;
    let server = ground.backend;
    let upstream = format!("upstream backend {{ server {server}; keepalive 4096; keepalive_requests 1000000000; }}");
    let pass = "proxy_pass http://backend; proxy_http_version 1.1;";
    let filter = match ground.setup.feature {
        Feature::HeaderFilter => "proxy_set_header X-Perf-Set request; proxy_set_header X-Perf-Remove \"\";\n\
             add_header X-Perf-Set response; proxy_hide_header X-Perf-Remove;"
            .to_owned(),
        Feature::Translation => {
            format!("sub_filter_once off; sub_filter 'http://{server}/' 'http://{address}/';")
        }
        _ => String::new(),
    };
    let hosts = if ground.setup.feature == Feature::Apps { super::APPS } else { 0 };
    let locations = format!(
        "location / {{ {pass} proxy_set_header Connection \"\"; {filter} }}\n\
         location = /sink {{ {pass} proxy_set_header Connection \"\"; proxy_request_buffering off; }}\n\
         location = /echo {{ {pass} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; \
         proxy_read_timeout 1h; proxy_send_timeout 1h; }}"
    );
    let tls = match ground.setup.door {
        Door::Plain => String::new(),
        Door::Tls => format!(
            "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;\n\
             ssl_session_cache shared:tls:10m; ssl_session_tickets on;",
            ground.certificate.cert.display(),
            ground.certificate.key.display()
        ),
    };
    let buffers = "client_max_body_size 0; client_body_buffer_size 256k; proxy_max_temp_file_size 0;\n\
                   proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k;";
    let settings = format!("{buffers}\n{tls}\n{upstream}");
    let listen = match ground.setup.door {
        Door::Plain => address.to_string(),
        Door::Tls => format!("{address} ssl http2"),
    };
    let (config, text) = write(ground.nursery, &ground.label, &settings, &listen, hosts, &locations)?;
    let process = ground.nursery.start_in(ground.near(), &ground.label, CONTENDER_CORE, nginx, |command| {
        command.arg("-c").arg(config);
    })?;
    let what = "nginx, one hop, keep-alive upstream, no access log";
    Contender::new(ground, what, address, vec![process], text).until_ready(ground)
}

/// The backend for what needs nothing special: `return 200` and files.
pub fn backend(nursery: &Nursery, nginx: &std::path::Path, space: Option<&str>, address: SocketAddr) -> Start {
    let files = nursery.path("files");
    let say = |error: std::io::Error| format!("{}: {error}", files.display());
    std::fs::create_dir_all(files.join("bytes")).map_err(say)?;
    for length in [10 << 10, 1 << 20, 1 << 30] {
        let file = std::fs::File::create(files.join("bytes").join(length.to_string())).map_err(say)?;
        file.set_len(length).map_err(say)?;
    }
    std::fs::write(files.join("page"), backend::page(&format!("http://{address}"))).map_err(say)?;
    let locations = format!(
        "default_type text/plain;\nlocation = {} {{ stub_status; }}\nlocation = / {{ return 200 \"{}\"; }}\n\
         location /bytes/ {{ root {files}; }}\nlocation = /page {{ root {files}; default_type text/html; }}",
        backend::COUNT_PATH,
        backend::BODY,
        files = files.display()
    );
    // Files are read again and again: opened once.
    let settings = "sendfile on; tcp_nopush on; open_file_cache max=10 inactive=1h;";
    let (config, text) = write(nursery, "backend", settings, &address.to_string(), 0, &locations)?;
    let process = nursery.start_in(space, "backend", LOAD_CORE, nginx, |command| {
        command.arg("-c").arg(config);
    })?;
    let what = "the backend: nginx with `return 200` and files".into();
    let space = space.map(str::to_owned);
    Contender { name: "backend", what, address, processes: vec![process], configuration: text, space }.until_answers()
}

/// Writes the configuration, with so many hosts of their own besides the first; its path and text.
fn write(
    nursery: &Nursery,
    name: &str,
    settings: &str,
    listen: &str,
    hosts: usize,
    locations: &str,
) -> Result<(PathBuf, String), String> {
    let folder = nursery.path(&format!("{name}-data"));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let at = folder.display();
    let mut text = format!(
        "daemon off;\nworker_processes 1;\nworker_rlimit_nofile 20000;\npid {at}/pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections {WORKER_CONNECTIONS}; }}\n\
         http {{\naccess_log off;\nserver_tokens off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         server_names_hash_max_size 4096;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{kind}_temp_path {at}/{kind};");
    }
    let _ = writeln!(text, "{settings}");
    // The queue of a port is set once.
    let _ = writeln!(text, "server {{\nlisten {listen} backlog=4096;\n{locations}\n}}");
    for number in 1..=hosts {
        let _ = writeln!(text, "server {{\nlisten {listen};\nserver_name app-{number:04}.test;\n{locations}\n}}");
    }
    text.push_str("}\n");
    Ok((nursery.write(&format!("{name}.conf"), &text)?, text))
}
