//! rathole, a tunnel in plain text: server and client, one worker each. It reads no HTTP, and is told of
//! nothing but the port.

use super::{Contender, Ground, Start};
use crate::children::{CONTENDER_CORE, free_port};
use crate::options::installed;

pub fn start(ground: &Ground) -> Start {
    let rathole = installed(ground.programs.rathole.as_deref(), "rathole")?;
    let address = free_port()?;
    let control = std::net::SocketAddr::new(ground.public_ip(), free_port()?.port());
    let section = |role: &str, head: String, last: String| {
        let service = format!("[{role}.services.perf]\ntype = \"tcp\"\nnodelay = true");
        format!("[{role}]\n{head}\ndefault_token = \"perf\"\n{service}\n{last}\n")
    };
    let server = section("server", format!("bind_addr = \"{control}\""), format!("bind_addr = \"{address}\""));
    let to = format!("remote_addr = \"{control}\"");
    let client = section("client", to, format!("local_addr = \"{}\"", ground.backend));
    let mut processes = Vec::new();
    for (role, space, text) in [("server", ground.near(), &server), ("client", ground.far(), &client)] {
        let name = format!("{}-{role}", ground.label);
        let config = ground.nursery.write(&format!("{name}.toml"), text)?;
        processes.push(ground.nursery.start_in(space, &name, CONTENDER_CORE, rathole, |command| {
            // One worker each; with one core allowed tokio would choose one anyway.
            command.arg(format!("--{role}")).arg(config).env("TOKIO_WORKER_THREADS", "1").env("RUST_LOG", "warn");
        })?);
    }
    let what = "rathole server + client, plain TCP: two hops that read no HTTP";
    Contender::new(ground, what, address, processes, format!("# server\n{server}\n# client\n{client}"))
        .until_ready(ground)
}
