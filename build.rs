//! Builds the built-in filters for wasm32-wasip1, so that they are part of the binary.
//!
//! ```text
//!   filters/ ─ cargo, for wasm32-wasip1 ─▶ OUT_DIR/<name>.wasm ─ include_bytes! ─▶ src/filters/builtin.rs
//! ```
//!
//! The standard library of that target is added by `rustup` if it is missing: automatic installs may
//! be switched off. It refuses to guess when that fails, and says the command to run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The modules that become part of the binary.
const BUILT_IN: [&str; 4] = ["header-translation", "header-rewrite", "link-translation", "websocket"];

const TARGET: &str = "wasm32-wasip1";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let filters = root.join("filters");
    for watched in ["Cargo.toml", "Cargo.lock", "abi", "origins", "values"].iter().chain(&BUILT_IN) {
        println!("cargo::rerun-if-changed=filters/{watched}");
    }
    add_target();
    let guests = out.join("guests");
    let mut build = cargo(&filters);
    build.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&guests);
    for name in BUILT_IN {
        build.args(["--package", name]);
    }
    run(&mut build, "the built-in filters could not be built");
    for name in BUILT_IN {
        let built = guests.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_")));
        fs::copy(&built, out.join(format!("{name}.wasm")))
            .unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    }
}

/// A cargo that knows nothing of the build it runs in: that one is for another target, may have
/// flags and wrappers of its own, and holds the lock of its directory.
fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.current_dir(directory);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_this_build = text.starts_with("CARGO_PROFILE_") || text.starts_with("CARGO_CFG_");
        let named = [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
        ];
        if of_this_build || named.contains(&&*text) {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// Adds the target unless its standard library is there.
fn add_target() {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let found = Command::new(&rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let there = found.is_ok_and(|found| {
        let directory = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        found.status.success() && Path::new(&directory).is_dir()
    });
    if !there {
        let why = format!("the target {TARGET} is missing; add it with `rustup target add {TARGET}`");
        run(Command::new("rustup").args(["target", "add", TARGET]), &why);
    }
}

fn run(command: &mut Command, why: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{why}:\n{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{why}: {error}"),
    }
}
