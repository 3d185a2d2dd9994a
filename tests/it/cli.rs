//! The built binary, as a person or a service manager runs it: arguments, exit codes, signals, sockets.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use lockgate::sample::Sample;

use crate::backend::Backend;
use crate::client::{get, h1};
use crate::world::{PATIENCE, Scratch, until};

fn lockgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.args(arguments).env_remove("LOCKGATE_JOIN");
    command
}

fn run(arguments: &[&str]) -> Output {
    lockgate(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that ends with the test, whatever happens.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child =
            lockgate(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The first line with `wanted` in it.
    pub(crate) fn line(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line with {wanted:?}"));
            if line.contains(wanted) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address nobody has, from below the ports that the system gives out by itself: `up` publishes URLs with its ports
/// in them and so needs to be told.
pub(crate) fn free_address() -> SocketAddr {
    let ports = std::iter::repeat_with(|| fastrand::u16(20_000..30_000));
    let mut addresses = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    addresses.find(|addr| TcpListener::bind(addr).is_ok()).unwrap()
}

/// The address after `name` in a line.
fn address(line: &str, name: &str) -> SocketAddr {
    let rest = line.split_once(name).unwrap_or_else(|| panic!("{name:?} in {line:?}")).1;
    let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    address.trim_end_matches(':').parse().unwrap()
}

#[test]
fn the_help_names_every_command_and_exit_code() {
    let output = run(&["--help"]);
    let help = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for word in [
        "up",
        "edge",
        "connector",
        "token",
        "connectors",
        "check",
        "config",
        "status",
        "Exit codes:",
        "3  a configuration",
    ] {
        assert!(help.contains(word), "{word} in {help}");
    }
    for (arguments, code) in [(&["--version"][..], 0), (&[], 2), (&["nonsense"], 2), (&["edge", "--nonsense"], 2)] {
        assert_eq!(run(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_configuration_is_checked_with_place_and_reason() {
    let dir = Scratch::new();
    let file = dir.path().join("lockgate.toml");
    let path = file.to_str().unwrap();
    let app = "[[app]]\nname = \"a\"\nexternal_url = \"https://a.test/\"\ninternal_url = \"http://a.corp/\"\n";
    let broken = format!("workers = \"4\"\n{app}extenal_url = \"x\"\n");
    for (content, code, said) in [
        (app, 0, vec![format!("{path}: good, an edge with 1 app")]),
        ("", 0, vec![format!("{path}: good, an edge with 0 apps")]),
        (
            &broken,
            3,
            vec![
                format!("{path}:1:11: workers: expected a whole number from 0 to 256, found a string"),
                format!("{path}:6:1: app[0].extenal_url: unknown setting; did you mean \"external_url\"?"),
                "lockgate: configuration refused (2 faults)".to_owned(),
            ],
        ),
        ("[log\n", 3, vec!["lockgate: configuration refused (1 fault)".to_owned()]),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = run(&["config", "check", path]);
        assert_eq!(output.status.code(), Some(code), "{content}");
        let (good, bad) = (text(&output.stdout), text(&output.stderr));
        let lines: Vec<&str> = good.lines().chain(bad.lines()).collect();
        assert!(lines.ends_with(&said.iter().map(String::as_str).collect::<Vec<_>>()), "{lines:?}, not {said:?}");
        assert_eq!(good.is_empty(), code != 0, "results go to standard output, faults to standard error");
        if code == 3 {
            let edge = run(&["edge", "--config", path]);
            assert_eq!((edge.status.code(), text(&edge.stderr)), (Some(3), bad), "an edge does not start on it");
        }
    }
    let output = run(&["config", "check", "/nowhere/lockgate.toml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("/nowhere/lockgate.toml"));
    std::fs::write(&file, "listen = 3\n").unwrap();
    assert_eq!(run(&["config", "check", "--connector", path]).status.code(), Some(3));
}

#[test]
fn the_examples_are_good_and_the_reference_is_the_one_in_the_docs() {
    let dir = Scratch::new();
    for (role, flag, what) in [("edge", None, "an edge with 0 apps"), ("connector", Some("--connector"), "a connector")]
    {
        let file = dir.path().join(role);
        std::fs::write(&file, run(&["config", "example", role]).stdout).unwrap();
        let mut arguments = vec!["config", "check", file.to_str().unwrap()];
        arguments.extend(flag);
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).trim_end().ends_with(what), "{}", text(&output.stdout));
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let reference = text(&run(&["config", "reference"]).stdout);
    assert_eq!(std::fs::read_to_string(page).unwrap(), reference, "write it anew: lockgate config reference");
}

/// TCP ports a process listens on, from the kernel's own tables.
fn listening(id: u32) -> BTreeSet<u16> {
    let links = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let sockets: BTreeSet<String> = links
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|target| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let mut rows = String::new();
        std::fs::File::open(format!("/proc/{id}/net/{table}")).unwrap().read_to_string(&mut rows).unwrap();
        for row in rows.lines().skip(1) {
            let columns: Vec<&str> = row.split_whitespace().collect();
            // Local address, state (0A: listening) and inode are columns 1, 3 and 9.
            if columns[3] == "0A" && sockets.contains(columns[9]) {
                ports.insert(u16::from_str_radix(columns[1].rsplit(':').next().unwrap(), 16).unwrap());
            }
        }
    }
    ports
}

/// An edge process with one app and its configuration file.
struct EdgeProcess {
    process: Process,
    http: SocketAddr,
    admin: SocketAddr,
    https: SocketAddr,
    file: String,
}

impl EdgeProcess {
    fn start(dir: &Scratch, internal: &str) -> Self {
        let file = dir.path().join("lockgate.toml");
        let content = format!(
            "data_dir = \"edge\"\ngrace_period = \"60s\"\nworkers = 2\n\
             [listen]\nhttps = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [[app]]\nname = \"shop\"\nexternal_url = \"http://shop.test/\"\ninternal_url = \"{internal}\"\n"
        );
        std::fs::write(&file, &content).unwrap();
        let name = file.to_str().unwrap().to_owned();
        let process = Process::start(&["edge", "--config", &name]);
        let ready = process.line("ready: ");
        let https = address(&ready, "https ");
        // The port is known only now; tokens must name it.
        std::fs::write(&file, format!("public_address = \"{https}\"\n{content}")).unwrap();
        Self { process, http: address(&ready, ", http "), admin: address(&ready, "admin http://"), https, file: name }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_and_a_connector_serve_and_only_the_edge_listens() {
    let (sample, dir) = (Sample::start().unwrap(), Scratch::new());
    let mut edge = EdgeProcess::start(&dir, &sample.url());
    let output = run(&["token", "create", "--config", &edge.file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (token, data) = (text(&output.stdout).trim().to_owned(), dir.path().join("connector"));
    let kept = data.to_str().unwrap();
    let arguments = ["connector", "--join", &token, "--name", "attic", "--data-dir", kept, "--allow", "localhost"];
    let mut connector = Process::start(&arguments);
    assert!(connector.line("ready: ").contains(&edge.https.to_string()));
    assert_eq!(get(edge.http, "shop.test", "/health").await.text(), "ok\n");
    assert_eq!(listening(connector.child.id()), BTreeSet::new(), "a connector only dials out");
    let ports = [edge.https, edge.http, edge.admin].map(|addr| addr.port());
    assert_eq!(listening(edge.process.child.id()), BTreeSet::from(ports));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1, "on its disk are its credentials and nothing else");
    let status = text(&run(&["status", "--admin", &edge.admin.to_string()]).stdout);
    assert!(status.contains("attic") && status.contains("active") && status.contains("shop"), "{status}");
    let tokens = text(&run(&["token", "list", "--config", &edge.file]).stdout);
    assert!(tokens.contains("used by c-"), "{tokens}");

    connector.signal("TERM");
    assert_eq!(connector.ended().await.code(), Some(0));
    let mut again = Process::start(&arguments);
    again.line("ready: ");
    assert_eq!(get(edge.http, "shop.test", "/health").await.text(), "ok\n", "the same arguments serve again");
    let listed = text(&run(&["connectors", "list", "--config", &edge.file]).stdout);
    let id = listed.split_whitespace().find(|word| word.starts_with("c-")).unwrap().to_owned();
    assert_eq!(run(&["connectors", "revoke", &id, "--config", &edge.file]).status.code(), Some(0));
    assert_eq!(again.ended().await.code(), Some(4), "the edge refused it for good");
    edge.process.signal("TERM");
    assert_eq!(edge.process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn o06_a_signal_drains_and_a_second_one_ends_at_once() {
    let (sample, dir) = (Sample::start().unwrap(), Scratch::new());
    let internal = sample.url();
    let mut edge = EdgeProcess::start(&dir, &internal);
    let config =
        std::fs::read_to_string(&edge.file).unwrap().replace("internal_url", "group = \"local\"\ninternal_url");
    std::fs::write(&edge.file, config).unwrap();
    edge.process.signal("HUP");
    until("the reload", async || get(edge.http, "shop.test", "/health").await.text() == "ok\n").await;
    let mut events = h1(edge.http).await;
    events.send("GET /events?n=10000&ms=50 HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(events.head().await.unwrap().status, 200);
    edge.process.signal("TERM");
    until("nothing new comes in", async || tokio::net::TcpStream::connect(edge.http).await.is_err()).await;
    assert!(events.bytes(20).await.is_some(), "what is under way goes on");
    assert_eq!(edge.process.child.try_wait().unwrap(), None, "and is waited for");
    edge.process.signal("TERM");
    assert_eq!(edge.process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn up_publishes_an_application_at_once() {
    let (sample, dir) = (Sample::start().unwrap(), Scratch::new());
    let (data, url) = (dir.path().join("data"), sample.url());
    let [https, http, admin] = [(); 3].map(|()| free_address().to_string());
    let mut arguments = vec!["up", &url, "--workers", "2", "--data-dir", data.to_str().unwrap()];
    arguments.extend(["--https", &https, "--http", &http, "--admin", &admin]);
    for round in ["first", "second"] {
        let mut up = Process::start(&arguments);
        up.line("ready");
        let answer = get(http.parse().unwrap(), &http.replace("127.0.0.1", "app.localhost"), "/health").await;
        assert_eq!(answer.text(), "ok\n", "{round} start");
        up.signal("INT");
        assert_eq!(up.ended().await.code(), Some(0), "{round} end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_translates_links_and_scripts_when_it_is_told_to() {
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let own = format!("http://{}/", request.field("host")[0]);
            let page = format!("<a href='{own}'></a><script>own = '{own}'</script>");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n", page.len());
            conn.send(format!("{head}{page}").as_bytes()).await;
        }
    })
    .await;
    let (internal, dir) = (backend.url(), Scratch::new());
    for (flags, script_is_translated) in
        [(&["--translate-links"][..], false), (&["--translate-links", "--translate-scripts"], true)]
    {
        let [https, http, admin] = [(); 3].map(|()| free_address().to_string());
        let mut arguments = vec!["up", &internal, "--data-dir", dir.path().to_str().unwrap()];
        arguments.extend(["--https", &https, "--http", &http, "--admin", &admin]);
        arguments.extend(flags);
        let mut up = Process::start(&arguments);
        up.line("ready");
        let authority = http.replace("127.0.0.1", "app.localhost");
        let answer = get(http.parse().unwrap(), &authority, "/").await;
        let external = format!("http://{authority}/");
        let script = if script_is_translated { &external } else { &internal };
        assert_eq!(answer.text(), format!("<a href='{external}'></a><script>own = '{script}'</script>"), "{flags:?}");
        up.signal("INT");
        assert_eq!(up.ended().await.code(), Some(0));
    }
}

#[test]
fn a_start_that_fails_says_how_to_mend_it() {
    let dir = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = dir.path().join("lockgate.toml");
    let content = format!("[listen]\nhttps = \"{}\"\nadmin = \"off\"\n", taken.local_addr().unwrap());
    std::fs::write(&file, content).unwrap();
    let empty = dir.path().join("nobody");
    for (arguments, code, said) in [
        (vec!["edge", "--config", file.to_str().unwrap()], 1, "another process listens there"),
        (vec!["connector", "--data-dir", empty.to_str().unwrap()], 1, "lockgate token create"),
        (vec!["connector", "--join", "lgj1_nonsense"], 1, "lockgate: "),
        (vec!["status", "--admin", "127.0.0.1:1"], 1, "does not answer"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
}
