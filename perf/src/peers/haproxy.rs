//! HAProxy, one hop: one thread, connections to the server kept and shared by all clients, bodies
//! spliced in the kernel where that pays. It writes no log. Its `maxconn` is what 20,000 descriptors allow, pipes for
//! splicing counted.

use std::fmt::Write;

use super::{Contender, Door, Feature, Ground, Start};
use crate::children::{CONTENDER_CORE, free_port};
use crate::options::installed;

pub fn start(ground: &Ground) -> Start {
    let haproxy = installed(ground.programs.haproxy.as_deref(), "haproxy")?;
    let (address, server) = (free_port()?, ground.backend);
    let (tls_settings, bind) = match ground.setup.door {
        Door::Plain => (String::new(), String::new()),
        Door::Tls => (
            "  ssl-default-bind-options ssl-min-ver TLSv1.3\n  ssl-default-bind-curves X25519\n".to_owned(),
            format!(" ssl crt {} alpn h2,http/1.1", ground.certificate.both.display()),
        ),
    };
    let rules = match ground.setup.feature {
        Feature::HeaderFilter => {
            "  http-request set-header X-Perf-Set request\n  http-request del-header X-Perf-Remove\n  \
             http-response set-header X-Perf-Set response\n  http-response del-header X-Perf-Remove\n"
                .to_owned()
        }
        Feature::Apps => {
            let mut map = String::new();
            for number in 1..=super::APPS {
                let _ = writeln!(map, "app-{number:04}.test app");
            }
            let map = ground.nursery.write(&format!("{}.map", ground.label), &map)?;
            format!("  use_backend %[req.hdr(host),lower,map_str({},app)]\n", map.display())
        }
        _ => String::new(),
    };
    let text = format!(
        "global\n  nbthread 1\n  maxconn 7000\n{tls_settings}\
         defaults\n  mode http\n  http-reuse always\n  option splice-auto\n  timeout connect 5s\n  timeout client 1h\n  \
         timeout server 1h\n  timeout tunnel 1h\n\
         frontend door\n  bind {address} backlog 4096{bind}\n{rules}  default_backend app\n\
         backend app\n  server one {server} pool-purge-delay 1h\n"
    );
    let config = ground.nursery.write(&format!("{}.cfg", ground.label), &text)?;
    let process = ground.nursery.start_in(ground.near(), &ground.label, CONTENDER_CORE, haproxy, |command| {
        command.arg("-db").arg("-f").arg(config);
    })?;
    let what = "HAProxy, one hop, one thread, http-reuse always, splice-auto";
    Contender::new(ground, what, address, vec![process], text).until_ready(ground)
}
