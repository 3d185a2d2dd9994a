//! Reads the arguments, runs a role, and turns its ending into an exit code.

use std::process::ExitCode;

/// One heap per thread suits workers that share nothing; see `docs/decisions/dependencies.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lockgate::cli::run()
}
