//! Processes this harness starts: pinned to a core, their output kept, ended when dropped.
//!
//! Refuses to leave anything behind: the guard here ends its process by pid, and the warden does it
//! when the guard cannot.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::warden::{ENDING_PATIENCE, Warden, signal};

/// What the contenders run on.
pub const CONTENDER_CORE: usize = 0;
/// What the load generator and the backend run on.
pub const LOAD_CORE: usize = 1;

/// Below 32,768, where Linux begins to give out ports by itself.
const PORTS: Range<u16> = 12_000..32_000;

/// Between two looks at what a process has said.
const POLL: Duration = Duration::from_millis(2);

/// A folder for configurations and logs, removed when dropped, and the way to start processes.
pub struct Nursery {
    folder: PathBuf,
    warden: Warden,
}

/// A running process.
pub struct Running {
    child: Child,
    log: PathBuf,
    warden: Warden,
}

impl Nursery {
    pub fn open() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("lockgate-perf-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let warden = Warden::start().inspect_err(|_| drop(std::fs::remove_dir_all(&folder)))?;
        warden.remove_at_end(&folder);
        Ok(Self { folder, warden })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Tells the warden of a network namespace, for the case that its own guard cannot remove it.
    pub fn remove_namespace_at_end(&self, name: &str) {
        self.warden.remove_namespace_at_end(name);
    }

    /// Writes a file into the folder and says where it is.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Starts `program` on one core; `name` names its log.
    pub fn start(
        &self,
        name: &str,
        core: usize,
        program: &Path,
        setup: impl FnOnce(&mut Command),
    ) -> Result<Running, String> {
        self.start_in(None, name, core, program, setup)
    }

    /// The same, in a network namespace if one is named.
    pub fn start_in(
        &self,
        space: Option<&str>,
        name: &str,
        core: usize,
        program: &Path,
        setup: impl FnOnce(&mut Command),
    ) -> Result<Running, String> {
        let log = self.path(&format!("{name}.log"));
        let say = |error: std::io::Error| format!("{name}: {error}");
        let output = File::create(&log).map_err(say)?;
        let mut command = pinned(space, core, program);
        command.stdin(Stdio::null()).stderr(output.try_clone().map_err(say)?).stdout(output).process_group(0);
        setup(&mut command);
        let child = command.spawn().map_err(say)?;
        self.warden.watch(child.id());
        Ok(Running { child, log, warden: self.warden.clone() })
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A command that `taskset` puts on a core; it keeps its pid, for taskset, and ip before it, become the program.
fn pinned(space: Option<&str>, core: usize, program: &Path) -> Command {
    let mut command = Command::new(if space.is_some() { "ip" } else { "taskset" });
    if let Some(space) = space {
        command.args(["netns", "exec", space, "taskset"]);
    }
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `Err` with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("ended with {status}: {}", self.last_words())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits for a line of its output that begins so; `Err` if it ends before, or after `patience`.
    pub fn line(&mut self, start: &str, patience: Duration) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
            if let Some(line) = whole.lines().find(|line| line.starts_with(start)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = ended {
                return Err(format!("ended with {status}: {}", self.last_words()));
            }
            if Instant::now() > deadline {
                return Err(format!("no line {start:?} for {patience:?}: {}", self.last_words()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for it to end by itself; its output, both streams.
    pub fn output(mut self) -> Result<String, String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&self.log).map_err(|error| error.to_string())?;
        if status.success() { Ok(text) } else { Err(format!("{status}: {text}")) }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.child.id();
        // While it is not waited for, its pid can be nobody else's.
        if let Ok(None) = self.child.try_wait() {
            signal(pid, "TERM");
            let deadline = Instant::now() + ENDING_PATIENCE;
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.warden.forget(pid);
    }
}

/// Runs a short command to its end.
pub fn ask(program: &Path, arguments: &[&str]) -> Result<Output, String> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))
}

/// A port of loopback that nobody listens on now, and that was not given out before. It lies below those that the
/// kernel gives to outgoing connections, of which a run makes thousands.
pub fn free_port() -> Result<SocketAddr, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS.len() {
        let turn = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let count = u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(turn % count).unwrap_or_default();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(format!("no free port from {} to {}", PORTS.start, PORTS.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_out_twice() {
        let ports: std::collections::BTreeSet<SocketAddr> = (0..50).map(|_| free_port().expect("a port")).collect();
        assert_eq!(ports.len(), 50);
    }
}
