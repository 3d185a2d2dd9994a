//! Counts the system calls of some processes with `perf stat`, in a run of its own: being counted costs.
//!
//! It refuses to count from when perf was started: perf waits, and is told by a pipe when to begin.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::children::{LOAD_CORE, Nursery, Running, ask};
use crate::options::on_path;
use crate::usage::family_pids;
use crate::warden::signal;

/// A `perf stat` that waits or counts.
pub struct Counter {
    running: Running,
    control: File,
    output: PathBuf,
}

impl Counter {
    /// Attaches to all threads of the processes and their descendants.
    pub fn attach(nursery: &Nursery, pids: &[u32]) -> Result<Self, String> {
        let perf = on_path("perf").ok_or("perf not found: apt-get install linux-perf")?;
        let (pipe, output) = (nursery.path("perf-control"), nursery.path("perf-output"));
        if !pipe.exists() {
            let made = ask(Path::new("mkfifo"), &[&pipe.to_string_lossy()])?;
            if !made.status.success() {
                return Err(format!("mkfifo: {}", String::from_utf8_lossy(&made.stderr)));
            }
        }
        // Opened for both, so that neither side waits for the other.
        let control = OpenOptions::new().read(true).write(true).open(&pipe);
        let control = control.map_err(|error| format!("{}: {error}", pipe.display()))?;
        let pids: Vec<String> = family_pids(pids).map(|pid| pid.to_string()).collect();
        let running = nursery.start("perf", LOAD_CORE, &perf, |command| {
            command.args(["stat", "-e", "raw_syscalls:sys_enter", "-x", ",", "--delay=-1", "-p", &pids.join(",")]);
            command.arg("-o").arg(&output).arg("--control").arg(format!("fifo:{}", pipe.display()));
        })?;
        Ok(Self { running, control, output })
    }

    /// Begins to count. perf reads the word when it has attached itself.
    pub fn begin(&mut self) {
        let _ = self.control.write_all(b"enable\n");
    }

    pub fn end(&mut self) {
        let _ = self.control.write_all(b"disable\n");
    }

    /// How many there were.
    pub fn finish(self) -> Result<f64, String> {
        signal(self.running.pid(), "INT");
        let words = self.running.output();
        let text = std::fs::read_to_string(&self.output).map_err(|error| format!("perf stat: {error}; {words:?}"))?;
        let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"));
        let count = line.and_then(|line| line.split(',').next()?.parse().ok());
        count.ok_or_else(|| format!("perf stat counts no system calls here: {}", text.trim()))
    }
}
