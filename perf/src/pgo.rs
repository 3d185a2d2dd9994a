//! `perf pgo`: builds Lockgate laid out by what it does under load (profile-guided optimisation).
//!
//! ```text
//!   a build that counts ─▶ scenarios train it ─▶ llvm-profdata merges ─▶ a build laid out by the counts
//! ```
//!
//! Both builds are `cargo build --release` with one flag more, in a target folder of their own. It refuses to lay
//! out by a training that did not take place, and measures nothing: `compare --lockgate` does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::Options;
use crate::peers::Who;
use crate::scenarios::{SCENARIOS, Scenario};

/// What it is trained by: every way of a byte that a promise speaks of, and the filters.
const TRAINING: &str =
    "small-64,small-512,down-10k,up-10k,down-1m,up-1m,tls-new,tls-resumed,h2-100,header-filter,translation,ws-1000";

/// Where both builds and the counts are.
const FOLDER: &str = "target/pgo";

/// Makes the build and says where it is.
pub fn run(options: &Options) -> Result<(), String> {
    if !Path::new("perf/PROMISES.md").is_file() {
        return Err("no perf/PROMISES.md here: run it from the repository".into());
    }
    let tool = Toolchain::find()?;
    let folder = std::path::absolute(FOLDER).map_err(|error| format!("{FOLDER}: {error}"))?;
    let counts = folder.join("counts");
    // Counts of another source would be for functions that are no more.
    let _ = std::fs::remove_dir_all(&counts);
    say("1 of 3: a build that counts");
    let counting = tool.build(&folder, &format!("-Cprofile-generate={}", counts.display()))?;
    let trained = folder.join("trained-lockgate");
    std::fs::copy(&counting, &trained).map_err(|error| format!("{}: {error}", counting.display()))?;
    say("2 of 3: training");
    train(&trained, &folder, &counts, options)?;
    let merged = tool.merge(&counts)?;
    say("3 of 3: a build laid out by what was counted");
    let built = tool.build(&folder, &format!("-Cprofile-use={}", merged.display()))?;
    println!("{}", built.display());
    Ok(())
}

fn say(step: &str) {
    eprintln!("pgo {step}");
}

/// Runs the scenarios with Lockgate alone; its processes write their counts when they end.
fn train(lockgate: &Path, folder: &Path, counts: &Path, options: &Options) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let mut compare = Command::new(own);
    compare.args(["compare", "--quick", "--who", "local,tunnel", "--only", TRAINING, "--lockgate"]).arg(lockgate);
    compare.arg("--out").arg(folder.join("training"));
    if let Some(nginx) = &options.programs.nginx {
        compare.arg("--nginx").arg(nginx);
    }
    // One file for each process: %p is its pid.
    compare.env("LLVM_PROFILE_FILE", counts.join("%p.profraw")).stdout(std::process::Stdio::null());
    succeed(&mut compare, "the training")?;
    let (wrote, expected) = (profiles(counts)?.len(), processes());
    if wrote < expected {
        let mend = "what the lines above call missing has to be installed";
        return Err(format!("{wrote} of {expected} processes wrote counts: the training is not whole; {mend}"));
    }
    Ok(())
}

/// Processes of Lockgate in the training: an edge alone, or an edge and its connector.
fn processes() -> usize {
    let trains = |scenario: &&Scenario| TRAINING.split(',').any(|name| name == scenario.name);
    let count = |who: &Who| match who {
        Who::Local => 1,
        Who::Tunnel => 2,
        _ => 0,
    };
    SCENARIOS.iter().filter(trains).flat_map(|scenario| scenario.who).map(count).sum()
}

fn profiles(counts: &Path) -> Result<Vec<PathBuf>, String> {
    let read = std::fs::read_dir(counts).map_err(|error| format!("no counts in {}: {error}", counts.display()))?;
    let files = read.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "profraw")).collect())
}

/// What rustc says of itself.
struct Toolchain {
    host: String,
    profdata: PathBuf,
}

impl Toolchain {
    fn find() -> Result<Self, String> {
        let ask = |arguments: &[&str]| {
            let output = Command::new("rustc").args(arguments).output().map_err(|error| format!("rustc: {error}"))?;
            String::from_utf8(output.stdout).map_err(|error| format!("rustc: {error}"))
        };
        let host = host(&ask(&["-vV"])?)?;
        let root = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        let profdata = root.join("lib/rustlib").join(&host).join("bin/llvm-profdata");
        if !profdata.is_file() {
            return Err("llvm-profdata not found: rustup component add llvm-tools".into());
        }
        Ok(Self { host, profdata })
    }

    /// Builds; the path of the binary. A named target keeps the flags from build scripts and macros.
    fn build(&self, folder: &Path, flag: &str) -> Result<PathBuf, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "--package", "lockgate", "--target", &self.host]);
        // Code that no scenario ran has no counts, and thousands of warnings would say so.
        let flags = format!("{flag} -Cllvm-args=-pgo-warn-missing-function=0");
        cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", folder);
        succeed(&mut cargo, "the build")?;
        Ok(folder.join(&self.host).join("release/lockgate"))
    }

    fn merge(&self, counts: &Path) -> Result<PathBuf, String> {
        let merged = counts.join("lockgate.profdata");
        let mut merge = Command::new(&self.profdata);
        succeed(merge.arg("merge").arg("-o").arg(&merged).args(profiles(counts)?), "llvm-profdata")?;
        Ok(merged)
    }
}

/// The host's name in the words of `rustc -vV`.
fn host(version: &str) -> Result<String, String> {
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn succeed(command: &mut Command, what: &str) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{what}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed: {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_trained_by_scenarios_that_exist() {
        for name in TRAINING.split(',') {
            assert!(SCENARIOS.iter().any(|scenario| scenario.name == name), "{name}");
        }
    }

    #[test]
    fn the_host_is_read() {
        let text = "rustc 1.95.0 (x 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host(text).as_deref(), Ok("x86_64-unknown-linux-gnu"));
        assert!(host("rustc 1.95.0").is_err());
    }
}
