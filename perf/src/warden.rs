//! A second process that outlives this one by a moment: ends what was started and removes what was
//! written when the harness is gone, however it went (Ctrl-C, panic, SIGKILL).
//!
//! ```text
//!   harness ── "+ PID START", "- PID", "dir PATH", "netns NAME" ──▶ stdin of `perf warden`
//!   harness gone ─▶ end of input ─▶ SIGTERM, 2 s, SIGKILL to what is left ─▶ remove PATH
//! ```
//!
//! It stands in its own process group, so Ctrl-C does not reach it. It refuses to end a process
//! that only has the pid of one it was told of: the start time must match as well.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::usage::start_time;

/// How long a process may take to end when asked.
pub const ENDING_PATIENCE: Duration = Duration::from_secs(2);

/// The harness's side; cheap to clone.
#[derive(Clone)]
pub struct Warden {
    line: Arc<Mutex<Line>>,
}

struct Line {
    /// `None` once it was closed.
    stdin: Option<ChildStdin>,
    process: Child,
}

impl Warden {
    /// Starts the second process.
    pub fn start() -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let mut process = Command::new(this)
            .arg("warden")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("warden: {error}"))?;
        let stdin = process.stdin.take();
        Ok(Self { line: Arc::new(Mutex::new(Line { stdin, process })) })
    }

    pub fn watch(&self, pid: u32) {
        self.say(&format!("+ {pid} {}", start_time(pid).unwrap_or_default()));
    }

    pub fn forget(&self, pid: u32) {
        self.say(&format!("- {pid}"));
    }

    pub fn remove_at_end(&self, folder: &Path) {
        self.say(&format!("dir {}", folder.display()));
    }

    pub fn remove_namespace_at_end(&self, name: &str) {
        self.say(&format!("netns {name}"));
    }

    fn say(&self, words: &str) {
        // A poisoned line means a panic is under way; the end of input will say the rest.
        if let Ok(mut line) = self.line.lock()
            && let Some(stdin) = &mut line.stdin
        {
            let _ = writeln!(stdin, "{words}");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

/// The second process: listens until the harness is gone, then clears up.
pub fn run() -> Result<(), String> {
    let mut watched = BTreeMap::new();
    let (mut folders, mut namespaces) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["+", pid, start] => {
                if let (Ok(pid), Ok(start)) = (pid.parse::<u32>(), start.parse::<u64>()) {
                    watched.insert(pid, start);
                }
            }
            ["-", pid] => {
                pid.parse::<u32>().ok().and_then(|pid| watched.remove(&pid));
            }
            ["netns", name] => namespaces.push((*name).to_owned()),
            _ => folders.extend(line.strip_prefix("dir ").map(PathBuf::from)),
        }
    }
    watched.retain(|&pid, start| start_time(pid) == Some(*start));
    for &pid in watched.keys() {
        signal(pid, "TERM");
    }
    let deadline = Instant::now() + ENDING_PATIENCE;
    while !watched.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        watched.retain(|&pid, start| start_time(pid) == Some(*start));
    }
    for &pid in watched.keys() {
        signal(pid, "KILL");
    }
    for name in namespaces {
        let _ = Command::new("ip").args(["netns", "delete", &name]).stderr(Stdio::null()).status();
    }
    for folder in folders {
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(())
}

/// Sends a signal to one process. The standard library knows only SIGKILL, a shell knows them all.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status();
}
