//! `lockgate filter dev`: builds on every save and puts the module into a running `up`.
//!
//! ```text
//!   change ─▶ settle ─▶ build ─▶ PUT /filters/NAME ─▶ steps printed ─▶ wait
//!                         └ failed: said, wait ┘
//! ```
//!
//! It ends with Ctrl-C and takes the build under way with it. It refuses nothing that a later save
//! can mend.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::cli::Failure;
use crate::cli::role::{Asked, Signals};
use crate::config::parse_manifest;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The project: a directory with a filter.toml.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The admin port of the running `up`.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
}

/// Editors write in several steps; a change is acted on when nothing has happened for this long.
const SETTLE: Duration = Duration::from_millis(150);
/// An upload compiles the module, which takes seconds for the largest.
const PATIENCE: Duration = Duration::from_secs(60);
/// What tools write; a change there is no change of the source.
const MADE_BY_TOOLS: [&str; 4] = ["target", "build", "node_modules", ".git"];
/// What a project looks like and how it is built, when its filter.toml does not say.
const BUILDS: [(&str, &str); 3] = [
    ("Cargo.toml", "cargo build --release --target wasm32-wasip1"),
    ("package.json", "npm run build"),
    ("Makefile", "make"),
];

/// What is built, how, and where it ends up.
#[derive(Debug, PartialEq, Eq)]
struct Project {
    name: String,
    build: String,
    module: Option<PathBuf>,
}

impl Project {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let file = dir.join("filter.toml");
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let mend = "; `lockgate filter new` makes a project that has one";
            Failure::Failed(format!("{}: {error}{mend}", file.display()))
        })?;
        let manifest = parse_manifest(&file, &text)
            .map_err(|faults| Failure::Refused(faults.iter().map(ToString::to_string).collect()))?;
        let detected = || BUILDS.iter().find(|(mark, _)| dir.join(mark).exists()).map(|(_, build)| (*build).to_owned());
        let own = Some(manifest.dev.build).filter(|build| !build.trim().is_empty());
        let build = own.or_else(detected).ok_or_else(|| {
            let mend = "write [dev] build = \"…\" there";
            Failure::Failed(format!(
                "{}: no build command, and no Cargo.toml, package.json or Makefile; {mend}",
                file.display()
            ))
        })?;
        Ok(Self { name: manifest.name, build, module: manifest.dev.module })
    }

    /// The module that the build left.
    fn module(&self, dir: &Path) -> Result<PathBuf, String> {
        if let Some(module) = &self.module {
            return Ok(module.clone());
        }
        let places = ["target/wasm32-wasip1/release", "target/wasm32-unknown-unknown/release", "build"];
        let files = places.iter().filter_map(|place| std::fs::read_dir(dir.join(place)).ok()).flatten().flatten();
        let modules = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "wasm"));
        let made = |file: &std::fs::DirEntry| {
            file.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let newest = modules.max_by_key(made).map(|file| file.path());
        newest
            .ok_or_else(|| format!("the build left no module in {}; name it: [dev] module = \"…\"", places.join(", ")))
    }
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { dir, admin } = arguments;
    let first = Project::read(dir)?;
    say!("{}: `{}` on every save, into the `up` at {admin}; Ctrl-C stops it", first.name, first.build);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut signals = Signals::listen()?;
        let (changed, mut changes) = mpsc::channel(1);
        let _watching = watch(dir, changed)?;
        loop {
            let turn = turn(dir, *admin);
            tokio::select! {
                () = turn => {}
                () = stopped(&mut signals) => return Ok(()),
            }
            tokio::select! {
                _ = changes.recv() => {
                    while tokio::time::timeout(SETTLE, changes.recv()).await.is_ok_and(|change| change.is_some()) {}
                }
                () = stopped(&mut signals) => return Ok(()),
            }
        }
    })
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

fn watch(dir: &Path, changed: mpsc::Sender<()>) -> Result<RecommendedWatcher, Failure> {
    let root = dir.canonicalize()?;
    let below = root.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if !event.kind.is_access() && event.paths.iter().any(|path| is_source(&below, path)) {
            let _ = changed.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(handler)?;
    watcher.watch(&root, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Whether a person wrote `path`, as opposed to a tool.
fn is_source(root: &Path, path: &Path) -> bool {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let first = inside.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
    let made = ["Cargo.lock", "package-lock.json"].iter().any(|lock| inside == Path::new(lock));
    !made && first.is_some_and(|first| !MADE_BY_TOOLS.contains(&&*first))
}

/// Builds and uploads once; says everything itself.
async fn turn(dir: &Path, admin: SocketAddr) {
    let project = match Project::read(dir) {
        Ok(project) => project,
        Err(Failure::Failed(reason) | Failure::Unwelcome(reason)) => return say!("filter.toml: {reason}"),
        Err(Failure::Refused(faults)) => return say!("filter.toml: {}", faults.join("\n")),
    };
    let began = Instant::now();
    match build(dir, &project.build).await {
        Ok(status) if status.success() => say!("built     {}", seconds(began)),
        Ok(status) => return say!("not built {}: {status}; waiting for the next save", seconds(began)),
        Err(error) => return say!("not built: {}: {error}", project.build),
    }
    let module = project.module(dir);
    let wasm =
        module.and_then(|module| std::fs::read(&module).map_err(|error| format!("{}: {error}", module.display())));
    let wasm = match wasm {
        Ok(wasm) => wasm,
        Err(reason) => return say!("not put:  {reason}"),
    };
    let name = project.name;
    let sent = tokio::task::spawn_blocking(move || put(admin, &name, &wasm)).await;
    match sent {
        Ok(Ok((200, steps))) => tell(&steps, began),
        Ok(Ok((status, said))) => {
            say!("not put   {status}: {}", text(&said["reason"]));
            if let Some(generation) = said["generation"].as_u64() {
                say!("          generation {generation} serves on");
            }
        }
        Ok(Err(error)) => {
            say!("not put:  {admin}: {error}; is `lockgate up --filter …` running, and is --admin right?")
        }
        Err(error) => say!("not put:  {error}"),
    }
}

/// Runs the build in a process group of its own, which goes when this future goes.
async fn build(dir: &Path, line: &str) -> std::io::Result<ExitStatus> {
    let mut child =
        Command::new("sh").arg("-c").arg(line).current_dir(dir).stdin(Stdio::null()).process_group(0).spawn()?;
    let group = Group(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || ended.send(child.wait()));
    let status = end.await.unwrap_or_else(|_| Err(std::io::Error::other("the build was not waited for")));
    std::mem::forget(group);
    status
}

/// A process group that ends when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// One upload; the status and what was said.
fn put(admin: SocketAddr, name: &str, wasm: &[u8]) -> std::io::Result<(u16, Value)> {
    let mut tcp = TcpStream::connect_timeout(&admin, Duration::from_secs(2))?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let length = wasm.len();
    write!(tcp, "PUT /filters/{name} HTTP/1.0\r\nhost: {admin}\r\ncontent-length: {length}\r\n\r\n")?;
    // A refusal may come before the end of the module; then it is what there is to read.
    let _ = tcp.write_all(wasm);
    let mut answer = String::new();
    tcp.read_to_string(&mut answer)?;
    let foreign = || std::io::Error::other("it answers something else");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(foreign)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(foreign)?;
    Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body.trim()))))
}

fn tell(steps: &Value, began: Instant) {
    let hash = steps["hash"].as_str().unwrap_or_default();
    let list = |key: &str| steps[key].as_array().cloned().unwrap_or_default();
    let needs: Vec<String> = list("capabilities").iter().map(text).collect();
    let needs = if needs.is_empty() { "nothing beyond headers".to_owned() } else { needs.join(", ") };
    say!("hash      {} ({} bytes, ABI {})", hash.get(..12).unwrap_or(hash), steps["size"], text(&steps["abi"]));
    say!("needs     {needs}");
    say!("compiled  {} ms", steps["compile_ms"]);
    for line in list("canary") {
        say!("canary    {}: {}", text(&line["level"]), text(&line["text"]));
    }
    for note in list("notes") {
        say!("note      {}", text(&note));
    }
    let what = if steps["unchanged"] == true { "serving already as" } else { "swapped at" };
    say!(
        "{what} generation {}, {} ms for the upload, {} since the save",
        steps["generation"],
        steps["total_ms"],
        seconds(began)
    );
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn seconds(since: Instant) -> String {
    format!("{:.2} s", since.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_is_no_source() {
        let root = Path::new("/p");
        for source in ["/p/src/lib.rs", "/p/filter.toml", "/p/assembly/build.ts"] {
            assert!(is_source(root, Path::new(source)), "{source}");
        }
        for made in ["/p/target/release/x", "/p/build/x.wasm", "/p/node_modules/a", "/p/.git/index", "/p/Cargo.lock"] {
            assert!(!is_source(root, Path::new(made)), "{made}");
        }
    }

    #[test]
    fn a_build_under_way_goes_with_its_future() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mark = std::env::temp_dir().join(format!("lockgate-dev-{}", std::process::id()));
        let line = format!("echo $$ > {0}.new && mv {0}.new {0}; read forever < {0}.fifo", mark.display());
        let fifo = mark.with_extension("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let pid = runtime.block_on(async {
            let written = async {
                while !mark.exists() {
                    tokio::task::yield_now().await;
                }
                std::fs::read_to_string(&mark).unwrap()
            };
            tokio::select! {
                pid = written => pid,
                _ = build(Path::new("."), &line) => panic!("it ended by itself"),
            }
        });
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        let gone = Instant::now() + Duration::from_secs(20);
        while rustix::process::test_kill_process(pid).is_ok() && Instant::now() < gone {
            std::thread::yield_now();
        }
        assert!(rustix::process::test_kill_process(pid).is_err());
        for file in [&mark, &fifo] {
            std::fs::remove_file(file).unwrap();
        }
    }
}
