//! How much memory there is and how much of it is taken: the limit that holds when all others
//! together would allow more than the machine has.
//!
//! ```text
//!   limits.memory, or the machine's ─▶ the process's own pages ┐
//!   or the control group's limit    ─▶ the group's working set ┴▶ short? ─▶ door, corridor, connector, writers
//! ```
//!
//! What is measured is what the kernel kills for, not what single buffers add up to. It refuses to
//! free anything: who holds memory knows best what to let go.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Of what the control group or the machine has, in percent: the rest is for what comes between two looks,
/// for the kernel's own buffers and, on a machine, for everybody else.
const SHARE: u64 = 85;

/// A shortage ends below this share of the budget, in percent, so that it does not begin again at once.
const RELIEF: u64 = 95;

/// Where control groups are mounted, by custom of all distributions.
const GROUPS: &str = "/sys/fs/cgroup";

/// Memory is the process's, and so is the want of it.
static SHORT: AtomicBool = AtomicBool::new(false);

/// Whether to take nothing new upon oneself, and to hold less of what is under way.
#[must_use]
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

/// What may be taken, and where to read what is.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Bytes that may be taken.
    pub bytes: u64,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    /// The own pages of this process against `limits.memory`.
    Setting,
    /// The same against the machine's memory.
    Machine,
    /// The working set of a control group against its limit.
    Group(Group),
}

/// A control group: its folder, and how its version calls things.
#[derive(Clone, Debug)]
struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// What the files of a version of control groups are called.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` with the page cache that goes first when memory is short.
    cache: &'static str,
}

const V1: Files =
    Files { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cache: "total_inactive_file" };
const V2: Files = Files { limit: "memory.max", usage: "memory.current", cache: "inactive_file" };

impl Budget {
    /// The budget by the setting, else by the system; `None` where the system cannot be asked.
    #[must_use]
    pub fn find(setting: Option<usize>) -> Option<Self> {
        let machine = total(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        if let Some(bytes) = setting {
            return Some(Self { bytes: bytes as u64, of: Of::Setting });
        }
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let (bytes, of) = match Group::tightest(Path::new(GROUPS), &own) {
            Some((limit, group)) if limit < machine => (limit, Of::Group(group)),
            _ => (machine, Of::Machine),
        };
        Some(Self { bytes: bytes / 100 * SHARE, of })
    }

    /// Says to all whether memory is short, now that `used` bytes are taken; whether that is news.
    pub fn judge(&self, used: u64) -> bool {
        let short = self.is_overdrawn(is_short(), used);
        SHORT.swap(short, Ordering::Relaxed) != short
    }

    fn is_overdrawn(&self, already: bool, used: u64) -> bool {
        used > if already { self.bytes / 100 * RELIEF } else { self.bytes }
    }

    /// Bytes that are taken now.
    #[must_use]
    pub fn used(&self) -> Option<u64> {
        match &self.of {
            // A group may be gone while its process is not; a shortage must not last for want of news.
            Of::Group(group) => group.used().or_else(own),
            Of::Setting | Of::Machine => own(),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.bytes >> 20;
        match &self.of {
            Of::Setting => write!(f, "limits.memory is {mebibytes} MiB"),
            Of::Machine => write!(f, "{SHARE} % of the machine's memory are {mebibytes} MiB"),
            Of::Group(group) => {
                write!(f, "{SHARE} % of the limit of the control group {} are {mebibytes} MiB", group.folder.display())
            }
        }
    }
}

impl Group {
    /// The group with the smallest limit among one's own, as `/proc/self/cgroup` tells, and those above it.
    fn tightest(mount: &Path, own: &str) -> Option<(u64, Self)> {
        let mut found: Option<(u64, Self)> = None;
        for line in own.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let (root, files) = match (id, controllers) {
                ("0", "") => (mount.to_owned(), &V2),
                (_, list) if list.split(',').any(|name| name == "memory") => (mount.join("memory"), &V1),
                _ => continue,
            };
            // In a container the path may be the host's, which is not mounted there; the root is then the container's.
            let folders = root.join(path.trim_start_matches('/'));
            for folder in folders.ancestors().take_while(|folder| folder.starts_with(&root)) {
                // "max" is no number, and no limit.
                let Some(limit) = number(&folder.join(files.limit)) else { continue };
                if found.as_ref().is_none_or(|(least, _)| limit < *least) {
                    found = Some((limit, Self { folder: folder.to_owned(), files }));
                }
            }
        }
        found
    }

    fn used(&self) -> Option<u64> {
        let usage = number(&self.folder.join(self.files.usage))?;
        let stat = std::fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(self.files.cache)?.trim().parse().ok());
        Some(usage.saturating_sub(cache.unwrap_or(0)))
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The machine's memory in bytes, of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let kibibytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))?;
    kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes of this process that are in memory; `None` where the system does not say.
#[must_use]
pub fn resident() -> Option<u64> {
    pages().map(|[resident, _]| resident)
}

/// Those of them that are no file's: the code of a program can be read again, so it is nobody's need.
fn own() -> Option<u64> {
    pages().map(|[resident, of_files]| resident.saturating_sub(of_files))
}

/// Bytes that are in memory, and those of files among them, of `/proc/self/statm`.
fn pages() -> Option<[u64; 2]> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut counts = text.split_whitespace().skip(1).map_while(|count| count.parse::<u64>().ok());
    #[cfg(unix)]
    let page = rustix::param::page_size() as u64;
    #[cfg(not(unix))]
    let page = 4096;
    Some([counts.next()? * page, counts.next()? * page])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_begins_above_the_budget_and_ends_well_below() {
        let (mut short, budget) = (false, Budget { bytes: 1000, of: Of::Setting });
        for (used, expected) in [(1000, false), (1001, true), (960, true), (950, false), (999, false), (5000, true)] {
            short = budget.is_overdrawn(short, used);
            assert_eq!(short, expected, "{used}");
        }
    }

    #[test]
    fn the_tightest_group_of_either_version_counts() {
        let mount = std::env::temp_dir().join(format!("lockgate-groups-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let file = mount.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("memory/a/memory.limit_in_bytes", "5000\n");
        put("memory/a/memory.usage_in_bytes", "4000\n");
        put("memory/a/memory.stat", "cache 1\ninactive_file 7\ntotal_inactive_file 1500\n");
        put("memory/a/b/memory.limit_in_bytes", "6000\n");
        put("unit/memory.max", "max\n");
        put("unit/service/memory.max", "700\n");
        put("unit/service/memory.current", "600\n");
        put("unit/service/memory.stat", "anon 1\ninactive_file 100\n");

        let (limit, group) = Group::tightest(&mount, "4:cpu:/x\n3:cpu,memory:/a/b\n").unwrap();
        assert_eq!((limit, group.used()), (5000, Some(2500)), "the one above is tighter");
        let (limit, group) = Group::tightest(&mount, "0::/unit/service\n").unwrap();
        assert_eq!((limit, group.used()), (700, Some(500)));
        let (limit, _) = Group::tightest(&mount, "3:memory:/docker/of-the-host\n").unwrap();
        assert_eq!(limit, 9_223_372_036_854_771_712, "the root's, for a path that is not mounted here");
        for unknown in ["", "0::/unit\n", "x", "1:name=systemd:/a\n"] {
            assert!(Group::tightest(&mount, unknown).is_none(), "{unknown:?}");
        }
        std::fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_can_be_asked() {
        let own = Budget::find(None).expect("a machine with memory");
        assert!(own.bytes > 0 && own.used().is_some_and(|used| used > 1 << 20), "{own}");
        let set = Budget::find(Some(1 << 30)).expect("a setting");
        assert_eq!((set.bytes, set.used().is_some()), (1 << 30, true));
        assert_eq!(set.to_string(), "limits.memory is 1024 MiB");
    }

    #[test]
    fn meminfo_is_read() {
        assert_eq!(total("MemTotal:       24683208 kB\nMemFree: 1 kB\n"), Some(24_683_208 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }
}
