//! Filters nobody wrote for Lockgate, and the ABI probe, in the built binary: what they did in Envoy 1.40
//! (`filters/foreign/envoy-1.40.log`, `filters/probe/envoy-1.40.log`) is what they do here, but for the
//! differences that are written down beside those logs.
//!
//! ```text
//!   run.py, envoy.py: client ─▶ lockgate edge + module ─▶ backend      one section of log per request
//!                                                     compare.py: Envoy's log, ours, deviations.txt
//! ```
//!
//! Conducted and compared by the scripts that wrote Envoy's logs: two conductors would differ where the
//! proxies do not. A test binary of its own, because some requests pause between two pieces of a body, and
//! a machine busy with other tests would join them. It refuses to pass over anything that is missing: Python
//! 3.10, the target wasm32-wasip1 and, the first time, the crate `proxy-wasm` 0.2.0 are needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One proxy at a time.
static STAGE: Mutex<()> = Mutex::new(());

#[test]
fn foreign_modules_do_here_what_they_do_in_envoy() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let desk = desk("foreign");
    // Of the Rust SDK its own examples, unmodified; the modules of the other two languages are committed.
    done(Command::new("sh").arg(source("foreign/build.sh")).arg(&desk).arg("rust"));
    for name in ["c_header.wasm", "as_header.wasm"] {
        std::fs::copy(source("foreign").join(name), desk.join(name)).unwrap();
    }
    let lockgate = [
        &*edge(),
        "--folder {folder} --name {module} --host foreign.example --root-id={root_id}",
        "--configuration={configuration} --upstream httpbin --level trace",
    ];
    let ours = desk.join("ours.log");
    let mut run = python("foreign/run.py");
    run.arg("--modules").arg(&desk).args(["--command", &lockgate.join(" ")]);
    run.args(["--mark", r#"^\S+ +\w+ (?!lockgate)(.*) filter="[^"]*" generation=\d+ id="[^"]*"$"#]);
    // The lines of a request are read when it has been answered, and the log may be late.
    run.args(["--settle", "300"]);
    done(run.arg("--out").arg(&ours));
    compare("foreign", &ours);
}

#[test]
fn the_probe_reads_here_what_it_reads_in_envoy() {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let desk = desk("probe");
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(source("")).args(["build", "--release", "--locked", "--target", "wasm32-wasip1"]);
    done(build.args(["--package", "probe", "--target-dir"]).arg(&desk));
    let ours = desk.join("ours.log");
    let mut run = python("probe/envoy.py");
    run.args(["--command", &format!("{} --folder {}", edge(), fresh(&desk.join("edge")))]);
    run.args(["--mark", r"PROBE (.*?)(?:\s+filter=.*)?$"]);
    run.arg("--wasm").arg(desk.join("wasm32-wasip1/release/probe.wasm"));
    done(run.arg("--log").arg(desk.join("proxy.log")).arg("--out").arg(&ours));
    compare("probe", &ours);
}

/// Fails on a difference that nobody wrote down, and on a note about one that is no more.
fn compare(what: &str, ours: &Path) {
    let folder = source(what);
    let script = if what == "probe" { "probe/envoy.py" } else { "foreign/run.py" };
    let mut diff = python(script);
    diff.arg("--diff").arg(folder.join("envoy-1.40.log")).arg(ours);
    let told = done(diff.arg("--deviations").arg(folder.join("deviations.txt")));
    assert!(told.contains("0 undocumented differences or unused deviations"), "{told}");
}

/// What starts the proxy, with the places that the scripts fill in.
fn edge() -> String {
    let (script, lockgate) = (source("probe/lockgate.py"), env!("CARGO_BIN_EXE_lockgate"));
    format!("python3 {} {lockgate} {{listen}} {{backend}} {{dead}} {{wasm}}", script.display())
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("filters").join(path)
}

/// A directory that stays between runs, so that nothing is built twice.
fn desk(name: &str) -> PathBuf {
    let desk = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&desk).unwrap();
    desk
}

/// An empty directory: the edge's state is no part of the next run.
fn fresh(folder: &Path) -> String {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    folder.display().to_string()
}

fn python(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.arg("-B").arg(source(script));
    python
}

/// Runs it to its end, without what was set for the build of this test, which is for another target; what
/// it printed.
fn done(command: &mut Command) -> String {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "MAKEFLAGS"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {}\n{told}", output.status);
    told
}
