//! Load scenarios: starts Lockgate and its peers side by side, loads them in turn, and prints what
//! a request cost each of them.
//!
//! ```text
//!   CPU 1            CPU 0                     CPU 1
//!   load ──────────▶ contender (1 or 2 hops) ──▶ backend
//!                    ▲ /proc/PID before and after
//! ```
//!
//! It refuses to judge by requests per second: on few cores those are the machine's, not the
//! contender's. See README.md for what the numbers mean and PROMISES.md for what they must prove.

mod backend;
mod children;
mod compare;
mod figures;
mod filter_edge;
mod filter_faults;
mod filter_reloads;
mod generator;
mod json;
mod load;
mod machine;
mod options;
mod peers;
mod pgo;
mod probe;
mod promises;
mod scenarios;
mod syscalls;
mod usage;
mod warden;

use std::process::ExitCode;

const HELP: &str = "\
Usage: perf COMMAND [OPTIONS]

  compare         Lockgate against nginx, HAProxy, Envoy and rathole, scenario by scenario
  pgo             Builds Lockgate laid out by what it does under load, in target/pgo; some 40 minutes
  filter-faults   A filter that traps on every 1,000th request against the same filter that never does
  filter-reloads  A filter that is replaced 1,000 times under load: failed requests, memory

Options of compare:
  --list           Name the scenarios and who takes part
  --only A,B       Only these scenarios
  --who A,B        Only these contenders
  --check          Fail (exit 1) if a promise is broken by more than the noise, or a run of Lockgate fails
  --out FOLDER     Where report.md, report.html and runs.json go [default: perf/runs/DATE-MACHINE]
  --hold           Start the contenders, print their addresses and pids, and wait for Enter: for profilers
  --haproxy PATH   [default: on PATH]
  --envoy PATH     [default: $ENVOY, else on PATH]
  --rathole PATH   [default: on PATH]

Options of filter-faults and filter-reloads:
  --connections N  Connections of wrk [default: 64]
  --reloads N      How often filter-reloads replaces the filter [default: 1000]
  --only A,B       Only these of filter-faults: calm, traps, calm-both, traps-both
  --markdown FILE  Write the report there as well

Options of all:
  --quick          Short, one round, a part of the scenarios: to see that it works, not to measure
  --seconds N      Measured seconds of each run, after 1 s of warm-up [default: 5]
  --pairs N        Rounds; each runs every contender once [default: 5]
  --backend WHICH  Of static bodies: nginx, one event loop; own: this binary [default: nginx if installed]
  --lockgate PATH  [default: beside this binary, else on PATH]
  --nginx PATH     [default: on PATH]
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let asked = |run: fn(&options::Options) -> Result<(), String>| {
        options::Options::parse(rest).and_then(|options| run(&options))
    };
    let outcome = match arguments.first().map(String::as_str) {
        Some("compare") => asked(compare::run),
        Some("pgo") => asked(pgo::run),
        Some("filter-faults") => asked(filter_faults::run),
        Some("filter-reloads") => asked(filter_reloads::run),
        // The other processes of this binary.
        Some("backend") => backend::run(rest),
        Some("generator") => generator::run(rest),
        Some("relay") => peers::relay(rest),
        Some("ask") => probe::run(rest),
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
