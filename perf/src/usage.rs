//! What processes and cores have used, from `/proc`.
//!
//! Times come in ticks of 10 ms. The sum of user and system is exact to the tick; how it is split
//! between the two is sampled by the kernel. Refuses to guess: a process that is gone counts nothing.

use std::collections::BTreeSet;
use std::fs;

/// `USER_HZ`: ticks per second in `/proc`, 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of some processes, their threads and their children, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Time {
    pub user_us: f64,
    pub system_us: f64,
}

impl Time {
    /// Of these processes and all their descendants.
    pub fn of(roots: &[u32]) -> Self {
        let mut time = Self::default();
        for stat in family(roots) {
            time.user_us += stat.user;
            time.system_us += stat.system;
        }
        time
    }

    pub fn since(self, before: Self) -> Self {
        Self { user_us: self.user_us - before.user_us, system_us: self.system_us - before.system_us }
    }

    pub fn total_us(self) -> f64 {
        self.user_us + self.system_us
    }
}

/// Memory of some processes and their descendants, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages in memory; those shared by two processes count twice.
    pub resident_mib: f64,
    /// Of these, the pages no file stands behind: heap and stacks.
    pub anonymous_mib: f64,
}

impl Memory {
    pub fn of(roots: &[u32]) -> Self {
        let mut memory = Self::default();
        for stat in family(roots) {
            let status = status(stat.pid);
            memory.resident_mib += field_kib(&status, "VmRSS:") / 1024.0;
            memory.anonymous_mib += field_kib(&status, "RssAnon:") / 1024.0;
        }
        memory
    }
}

/// The most memory these processes had since they began, or since [`forget_peaks`], in MiB.
pub fn peak_mib(roots: &[u32]) -> f64 {
    family_pids(roots).map(|pid| field_kib(&status(pid), "VmHWM:") / 1024.0).sum()
}

/// Lets the peaks of these processes begin anew at what they have now.
pub fn forget_peaks(roots: &[u32]) {
    for pid in family_pids(roots) {
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// Context switches of all threads of these processes and their descendants, wanted and not.
pub fn context_switches(roots: &[u32]) -> f64 {
    let threads = family_pids(roots).flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten());
    let statuses = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let fields = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
    statuses.map(|status| fields.iter().map(|field| field_kib(&status, field)).sum::<f64>()).sum()
}

/// The processes named and every descendant.
pub fn family_pids(roots: &[u32]) -> impl Iterator<Item = u32> {
    family(roots).into_iter().map(|stat| stat.pid)
}

fn status(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// A number of a status file; the unit of memory there is KiB.
fn field_kib(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.split_whitespace().next()).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Busy time of one core since boot, by whatever ran there, and time the hypervisor took away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Core {
    pub busy_us: f64,
    pub stolen_us: f64,
}

impl Core {
    pub fn of(core: usize) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().filter_map(|ticks| ticks.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal …
        let at = |index: usize| ticks.get(index).copied().unwrap_or_default() * 1e6 / TICKS_PER_SECOND;
        Self { busy_us: at(0) + at(1) + at(2) + at(5) + at(6), stolen_us: at(7) }
    }

    pub fn since(self, before: Self) -> Self {
        Self { busy_us: self.busy_us - before.busy_us, stolen_us: self.stolen_us - before.stolen_us }
    }
}

/// When a process started, in ticks since boot; tells it from a later one with the same pid.
pub fn start_time(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let stat = Stat::parse(&text)?;
    (!stat.ended).then_some(stat.start_ticks)
}

#[derive(Debug)]
struct Stat {
    pid: u32,
    parent: u32,
    ended: bool,
    start_ticks: u64,
    /// Microseconds, children that have ended included.
    user: f64,
    system: f64,
}

impl Stat {
    /// A line of `/proc/PID/stat`; the name in it may hold spaces and brackets.
    fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // proc(5) counts from 1 and the state is its field 3: field n is fields[n - 3].
        let number = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        let microseconds = |ticks: u64| {
            #[allow(clippy::cast_precision_loss, reason = "ticks of any uptime fit 52 bits")]
            let ticks = ticks as f64;
            ticks * 1e6 / TICKS_PER_SECOND
        };
        Some(Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ended: matches!(fields.first(), Some(&("Z" | "X"))),
            start_ticks: number(22)?,
            user: microseconds(number(14)? + number(16)?),
            system: microseconds(number(15)? + number(17)?),
        })
    }
}

/// The processes named and every descendant.
fn family(roots: &[u32]) -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<Stat> =
        pids.filter_map(|pid| Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect();
    let mut members: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let children = all.iter().filter(|stat| members.contains(&stat.parent)).map(|stat| stat.pid);
        let grown: BTreeSet<u32> = members.iter().copied().chain(children).collect();
        if grown.len() == members.len() {
            return all.into_iter().filter(|stat| members.contains(&stat.pid)).collect();
        }
        members = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_obstacle() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 150 50 10 5 20 0 1 0 9000 1 1 1 0";
        let stat = Stat::parse(line).expect("a line of proc(5)");
        assert_eq!((stat.pid, stat.parent, stat.start_ticks), (42, 7, 9000));
        assert!((stat.user - 1_600_000.0).abs() < 1.0 && (stat.system - 550_000.0).abs() < 1.0, "{stat:?}");
    }

    #[test]
    fn this_process_is_found() {
        assert!(start_time(std::process::id()).is_some());
        assert!(Memory::of(&[std::process::id()]).resident_mib > 0.1);
    }
}
