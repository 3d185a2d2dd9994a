//! Load scenarios: starts Lockgate and its peers side by side, loads them in turn, and prints what
//! a request cost each of them.
//!
//! ```text
//!   CPU 1            CPU 0                     CPU 1
//!   wrk ───────────▶ contender (1 or 2 hops) ──▶ backend (this binary)
//!                    ▲ /proc/PID/stat before and after
//! ```
//!
//! It refuses to judge by requests per second: on few cores those are the machine's, not the
//! contender's. See README.md for what the numbers mean and PROMISES.md for what they must prove.

mod backend;
mod children;
mod figures;
mod filter_edge;
mod filter_faults;
mod filter_reloads;
mod json;
mod load;
mod machine;
mod main_path;
mod options;
mod peers;
mod report;
mod usage;
mod warden;

use std::process::ExitCode;

const HELP: &str = "\
Usage: perf SCENARIO [OPTIONS]

  main-path       One hop against nginx and the tunnel against rathole: keep-alive GETs, 66-byte body
  filter-faults   A filter that traps on every 1,000th request against the same filter that never does
  filter-reloads  A filter that is replaced 1,000 times under load: failed requests, memory

Options:
  --seconds N      Measured seconds of each run, after 1 s of warm-up [default: 5]
  --pairs N        Rounds; each runs every contender once [default: 5]
  --connections N  Connections of wrk [default: 64]
  --null           Also run a second, identical nginx: what the machine's noise looks like (A/A)
  --reloads N      How often filter-reloads replaces the filter [default: 1000]
  --quick          2 s, one round, 50 reloads: to see that it works, not to measure
  --only A,B       Only these of: direct, local, nginx, tunnel, rathole; of filter-faults: calm, traps, calm-both, traps-both
  --backend WHICH  own: this binary, a thread per connection; nginx: one event loop [default: own]
  --hold           Start the contenders, print their addresses and pids, and wait for Enter: for profilers
  --json FILE      Write every run as JSON
  --markdown FILE  Write the report there as well
  --lockgate PATH  [default: beside this binary, else on PATH]
  --nginx PATH     [default: on PATH]
  --rathole PATH   [default: on PATH]
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("main-path") => options::Options::parse(&arguments[1..]).and_then(|options| main_path::run(&options)),
        Some("filter-faults") => {
            options::Options::parse(&arguments[1..]).and_then(|options| filter_faults::run(&options))
        }
        Some("filter-reloads") => {
            options::Options::parse(&arguments[1..]).and_then(|options| filter_reloads::run(&options))
        }
        Some("backend") => backend::run(&arguments[1..]),
        Some("warden") => warden::run(),
        Some("-h" | "--help") => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("perf: {reason}");
            ExitCode::FAILURE
        }
    }
}
