//! Lockgate: one hop (`group = "local"`), or edge and connectors. Access log off, metrics on, limits raised
//! to what a scenario opens; nothing else differs from the defaults.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Contender, Door, Feature, Ground, Start};
use crate::children::{CONTENDER_CORE, Running, ask, free_port};
use crate::options::installed;

/// More than any scenario opens.
const LIMITS: &str = "[limits]\nconnections = 100000\nstreams_per_link = 65536\nbackend_connections = 65536\n\
                      backend_idle_timeout = \"1h\"\nidle_timeout = \"1h\"\n";

/// How long an edge may take until it listens, and a connector until it has dialled.
const PATIENCE: Duration = Duration::from_secs(15);

/// One hop.
pub fn start_local(ground: &Ground) -> Start {
    let lockgate = installed(ground.programs.lockgate.as_deref(), "lockgate")?;
    let edge = Edge::start(ground, lockgate, "local")?;
    let what = "lockgate edge, group = \"local\": one hop";
    Contender::new(ground, what, edge.address, vec![edge.process], edge.text).until_ready(ground)
}

/// Two hops, mutual TLS between them.
pub fn start_tunnel(ground: &Ground) -> Start {
    let lockgate = installed(ground.programs.lockgate.as_deref(), "lockgate")?;
    let edge = Edge::start(ground, lockgate, "default")?;
    let connectors = if ground.setup.feature == Feature::Connectors { super::CONNECTORS } else { 1 };
    let mut text = edge.text.clone();
    let mut processes = vec![];
    for number in 1..=connectors {
        let token = token(lockgate, &edge.config)?;
        let name = format!("{}-connector-{number}", ground.label);
        let data = ground.nursery.path(&format!("{name}-data"));
        let own = format!(
            "data_dir = \"{}\"\ngrace_period = \"1s\"\nworkers = 1\n[log]\naccess = false\n\
             [dial]\nallow = [\"{}\"]\n\
             [limits]\nbackend_connections = 65536\nbackend_idle_timeout = \"1h\"\n",
            data.display(),
            ground.backend
        );
        let config = ground.nursery.write(&format!("{name}.toml"), &own)?;
        let mut connector = ground.nursery.start_in(ground.far(), &name, CONTENDER_CORE, lockgate, |command| {
            command.arg("connector").arg("--config").arg(&config).env("LOCKGATE_JOIN", token);
        })?;
        connector.line("ready", PATIENCE)?;
        if number == 1 {
            let _ = write!(text, "\n# connector\n{own}");
        }
        processes.push(connector);
    }
    processes.insert(0, edge.process);
    let what = match connectors {
        1 => "lockgate edge + connector, mutual TLS between them: two hops".to_owned(),
        many => format!("lockgate edge + {many} connectors: two hops"),
    };
    Contender::new(ground, &what, edge.address, processes, text).until_ready(ground)
}

struct Edge {
    address: SocketAddr,
    config: std::path::PathBuf,
    text: String,
    process: Running,
}

impl Edge {
    fn start(ground: &Ground, lockgate: &Path, group: &str) -> Result<Self, String> {
        let (http, admin) = (free_port()?, free_port()?);
        let https = SocketAddr::new(ground.public_ip(), free_port()?.port());
        let (address, external) = match ground.setup.door {
            Door::Plain => (http, format!("http://{http}/")),
            Door::Tls => (https, format!("https://{}:{}/", super::TLS_HOST, https.port())),
        };
        let text = configuration(ground, group, [http, https, admin], &external);
        let config = ground.nursery.write(&format!("{}.toml", ground.label), &text)?;
        let name = format!("{}-edge", ground.label);
        let mut process = ground.nursery.start_in(ground.near(), &name, CONTENDER_CORE, lockgate, |command| {
            command.arg("edge").arg("--config").arg(&config);
        })?;
        process.line("ready", PATIENCE)?;
        Ok(Self { address, config, text, process })
    }
}

fn configuration(ground: &Ground, group: &str, [http, https, admin]: [SocketAddr; 3], external: &str) -> String {
    let data = ground.nursery.path(&format!("{}-data", ground.label));
    let server = ground.backend;
    let mut text = format!(
        "data_dir = \"{}\"\npublic_address = \"{https}\"\ngrace_period = \"1s\"\nworkers = 1\n\
         [listen]\nhttps = \"{https}\"\nhttp = \"{http}\"\nadmin = \"{admin}\"\n[log]\naccess = false\n{LIMITS}\
         [[certificate]]\ncert = \"{}\"\nkey = \"{}\"\n",
        data.display(),
        ground.certificate.cert.display(),
        ground.certificate.key.display(),
    );
    let mut app = |name: &str, external: &str| {
        let _ = write!(
            text,
            "[[app]]\nname = \"{name}\"\nexternal_url = \"{external}\"\ninternal_url = \"http://{server}/\"\ngroup = \"{group}\"\n"
        );
    };
    app("perf", external);
    match ground.setup.feature {
        Feature::HeaderFilter => text.push_str(HEADER_FILTER),
        Feature::Translation => text.push_str("translate_urls_in_body = true\n"),
        Feature::Apps => {
            (1..=super::APPS)
                .for_each(|number| app(&format!("app-{number:04}"), &format!("http://app-{number:04}.test/")));
        }
        Feature::None | Feature::Connectors | Feature::Network => {}
    }
    text
}

/// One field set and one removed, both ways, in the last app of the file.
const HEADER_FILTER: &str = r#"filters = ["rewrite"]
[filter.rewrite]
module = "builtin:header-rewrite"
[filter.rewrite.configuration]
rules = [
  { on = "request", do = [{ set = { x-perf-set = "request" } }, { remove = "x-perf-remove" }] },
  { on = "response", do = [{ set = { x-perf-set = "response" } }, { remove = "x-perf-remove" }] },
]
"#;

fn token(lockgate: &Path, config: &Path) -> Result<String, String> {
    let created = ask(lockgate, &["token", "create", "--config", &config.to_string_lossy()])?;
    match created.status.success() {
        true => Ok(String::from_utf8_lossy(&created.stdout).trim().to_owned()),
        false => Err(format!("token create: {}", String::from_utf8_lossy(&created.stderr))),
    }
}
