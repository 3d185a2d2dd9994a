//! What the figures were measured on: without it they mean nothing. Refuses to name the machine,
//! its user or its folders.

use std::path::Path;
use std::process::Command;

use crate::children::ask;
use crate::options::{Options, on_path};

/// Facts in the order they are printed.
pub type Facts = Vec<(&'static str, String)>;

/// Of this machine and these programs.
pub fn facts(options: &Options) -> Facts {
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let version =
        |path: Option<&Path>, argument: &str| path.map_or("not found".into(), |path| first_line(path, argument));
    let programs = &options.programs;
    let lockgate = programs.lockgate.as_deref();
    let mut facts = vec![
        ("date", first_line(Path::new("date"), "--utc")),
        ("cpu", cpu()),
        ("cores", cores().to_string()),
        ("memory", format!("{} MiB", memory.unwrap_or_default() / 1024)),
        ("kernel", first_line(Path::new("uname"), "-sr")),
        ("virtual", if read("/proc/cpuinfo").contains(" hypervisor") { "yes".into() } else { "not seen".into() }),
        ("lockgate", version(lockgate, "--version")),
        ("lockgate sha256", lockgate.map_or("-".into(), fingerprint)),
        ("nginx", version(programs.nginx.as_deref(), "-v")),
        ("haproxy", version(programs.haproxy.as_deref(), "-v")),
        ("envoy", version(programs.envoy.as_deref(), "--version")),
        ("rathole", version(programs.rathole.as_deref(), "--version")),
        ("wrk", version(on_path("wrk").as_deref(), "-v")),
        ("h2load", version(on_path("h2load").as_deref(), "--version")),
        ("harness", if cfg!(debug_assertions) { "debug build" } else { "release build" }.into()),
    ];
    if let Some(commit) = commit() {
        facts.push(("commit of the tree", commit));
    }
    facts
}

fn cpu() -> String {
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown", |(_, model)| model).to_owned()
}

/// The date and what kind of machine, as a name of a folder.
pub fn slug() -> String {
    let words = format!("{} {} cores", cpu().split('@').next().unwrap_or_default(), cores()).to_ascii_lowercase();
    let words = words.replace("(r)", " ").replace("(tm)", " ").replace(" cpu", " ");
    let words: Vec<&str> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}-{}", first_line(Path::new("date"), "+%F"), words.join("-"))
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The load average of the last minute.
pub fn load_average() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Versions go to either stream, and some programs call it a failure to be asked.
fn first_line(program: &Path, argument: &str) -> String {
    let Ok(output) = ask(program, &[argument]) else { return "unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown");
    // Some print a table of build facts; its first line names the program, its version comes later.
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Build Version:")).map(str::trim);
    version.map_or_else(|| line.to_owned(), |version| version.to_owned())
}

fn fingerprint(path: &Path) -> String {
    let line = ask(Path::new("sha256sum"), &[&path.to_string_lossy()]).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&line).chars().take(16).collect()
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
