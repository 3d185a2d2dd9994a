//! What the process takes of the machine.
//!
//! It refuses to judge: the numbers of the system as they are, read when somebody asks.

use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::{gauge, register};

pub(super) struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_descriptors: IntGauge,
    start_seconds: Gauge,
}

impl Process {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            cpu_seconds: register(
                r,
                Counter::new("process_cpu_seconds_total", "User and system CPU time of this process."),
            )?,
            resident_bytes: gauge(r, "process_resident_memory_bytes", "Resident memory.")?,
            open_descriptors: gauge(r, "process_open_fds", "Open file descriptors.")?,
            start_seconds: register(r, Gauge::new("process_start_time_seconds", "Start of this process, Unix time."))?,
        })
    }

    pub(super) fn read(&self) {
        #[cfg(target_os = "linux")]
        {
            let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
            let stat = read("stat");
            // Fields after the parenthesised name: utime and stime are the 12th and 13th, start the 20th.
            let fields: Vec<f64> = stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .map(|field| field.parse().unwrap_or_default())
                .collect();
            let ticks = 100.0; // USER_HZ, fixed by the kernel's ABI
            let field = |index: usize| fields.get(index).copied().unwrap_or_default();
            let used = (field(11) + field(12)) / ticks;
            self.cpu_seconds.inc_by((used - self.cpu_seconds.get()).max(0.0));
            let boot: f64 = std::fs::read_to_string("/proc/stat")
                .unwrap_or_default()
                .lines()
                .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
                .unwrap_or_default();
            self.start_seconds.set(boot + field(19) / ticks);
            let resident = crate::io::memory::resident().unwrap_or_default();
            self.resident_bytes.set(i64::try_from(resident).unwrap_or(i64::MAX));
            let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            self.open_descriptors.set(i64::try_from(open).unwrap_or_default());
        }
    }
}

/// Memory against its budget, written by whoever watches it.
pub struct Memory {
    /// What may be taken.
    pub budget: IntGauge,
    /// What is taken, as the budget counts it.
    pub used: IntGauge,
    /// Whether nothing new is taken on.
    pub short: IntGauge,
}

impl Memory {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            budget: gauge(r, "lockgate_memory_budget_bytes", "Memory that may be taken before new work is refused.")?,
            used: gauge(r, "lockgate_memory_used_bytes", "Memory taken, by this process or its control group.")?,
            short: gauge(r, "lockgate_memory_short", "1 while new work is refused for want of memory.")?,
        })
    }
}
