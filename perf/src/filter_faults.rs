//! The scenario `filter-faults`: a filter that traps on every 1,000th request, against the same filter
//! that never does. Only the requests that met a trap may fail, the others are to be hardly slower, and
//! memory stays where it is.
//!
//! ```text
//!   round 1:  calm traps calm-both traps-both      each: 1 s warm-up, N s measured, memory every second
//!   round 2:  traps-both calm-both traps calm
//! ```
//!
//! `both` has a callback for responses, too, so the requests that are in an instance when it traps depend
//! on it: up to one a connection fails with each trap. It refuses to call a run good in which a
//! connection broke: a trap is answered.

use std::fmt::Write;
use std::time::Duration;

use crate::children::Nursery;
use crate::figures::Spread;
use crate::filter_edge::{FilterEdge, Phases, module};
use crate::load::wrk::{Counts, Wrk};
use crate::machine;
use crate::options::{self, Options};
use crate::peers;
use crate::usage::{Memory, Time};

const EVERY: u32 = 1000;

/// Never, as far as a run goes: 4 billion requests.
const NEVER: u32 = u32::MAX;

const WARM_UP_SECONDS: u64 = 1;

/// P99 with traps is to be at most this many times the one without.
const P99_BAR: f64 = 1.5;

const CONTENDERS: [(&str, Phases, u32); 4] = [
    ("calm", Phases::Request, NEVER),
    ("traps", Phases::Request, EVERY),
    ("calm-both", Phases::Both, NEVER),
    ("traps-both", Phases::Both, EVERY),
];

struct Run {
    name: &'static str,
    found: Counts,
    traps: f64,
    cpu_us: f64,
    /// Resident MiB, once a second.
    memory: Vec<f64>,
}

/// Runs the scenario and prints the report.
pub fn run(options: &Options) -> Result<(), String> {
    let lockgate = options::installed(options.programs.lockgate.as_deref(), "lockgate")?;
    options::on_path("taskset").ok_or("needs taskset (util-linux), to keep the load off the edge's core")?;
    let program = options::on_path("wrk").ok_or("needs wrk")?;
    let nursery = Nursery::open()?;
    let wrk = Wrk::new(&program, &nursery, options.connections)?;
    let backend = peers::backend(options, &nursery, options.backend, None)?;
    let before = machine::load_average();
    let mut edges = Vec::new();
    for (name, phases, limit) in CONTENDERS.into_iter().filter(|(name, ..)| options.wants(name)) {
        let wasm = module(phases, limit, 0)?;
        edges.push((name, FilterEdge::start(&nursery, name, lockgate, backend.address, &wasm)?));
    }
    let mut runs = Vec::new();
    for _ in 0..options.pairs {
        for (name, edge) in &edges {
            let run = measure(options, &nursery, &wrk, name, edge)?;
            eprintln!("{}", line(&run, options.connections));
            runs.push(run);
        }
        edges.reverse();
    }
    let text = report(options, &runs, before);
    print!("{text}");
    match &options.markdown {
        Some(path) => std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => Ok(()),
    }
}

fn measure(
    options: &Options,
    nursery: &Nursery,
    wrk: &Wrk,
    name: &'static str,
    edge: &FilterEdge,
) -> Result<Run, String> {
    wrk.run(nursery, edge.address, WARM_UP_SECONDS, || ())?;
    let traps = || edge.metric("lockgate_filter_failures_total", "reason=\"trap\"");
    let (traps_before, time) = (traps()?, Time::of(&[edge.pid()]));
    let running = wrk.start(nursery, edge.address, options.seconds)?;
    let mut memory = Vec::new();
    for _ in 0..options.seconds {
        std::thread::sleep(Duration::from_millis(950));
        memory.push(Memory::of(&[edge.pid()]).resident_mib);
    }
    let found = Wrk::finish(running)?;
    let cpu_us = Time::of(&[edge.pid()]).since(time).total_us() / found.count().max(1.0);
    Ok(Run { name, traps: traps()? - traps_before, found, cpu_us, memory })
}

/// What a trap costs, and whether that is all that failed.
fn verdict(run: &Run, connections: usize) -> &'static str {
    let refused = count(run.found.refused());
    let (least, most) = match run.name {
        // wrk does not count what it asked last, at most one a connection.
        "traps" => (run.traps - count(connections as u64), run.traps),
        "traps-both" => (run.traps - count(connections as u64), run.traps * count(connections as u64)),
        _ => (0.0, 0.0),
    };
    let expected = run.traps >= 1.0 || !run.name.starts_with("traps");
    if run.found.broken() == 0 && expected && (least..=most).contains(&refused) { "met" } else { "MISSED" }
}

fn line(run: &Run, connections: usize) -> String {
    format!(
        "{:<10} {:>7.0} requests/s, {} traps, {} refused, {} broken, P99 {} µs, {}",
        run.name,
        run.found.per_second(),
        run.traps,
        run.found.refused(),
        run.found.broken(),
        run.found.p99_us,
        verdict(run, connections)
    )
}

fn report(options: &Options, runs: &[Run], load_before: f64) -> String {
    let mut text = format!(
        "# filter-faults: wrk -t1 -c{} for {} s after {WARM_UP_SECONDS} s of warm-up, {} rounds, order reversed each round\n\n\
         One edge each, one worker, one filter that counts requests: `calm` never traps, `traps` at every {EVERY}th; `-both` \
         has a callback for responses as well, so that what is in an instance fails with it: at most one a connection is \
         accounted for by a trap, of `traps` exactly one. Refused is what wrk saw with a status above 399, broken what it could not \
         read, write or connect. Sums over all rounds; medians (least–most) of rounds.\n\n\
         | | requests | traps | refused | refused a trap | broken | accounted for | P99 µs | CPU µs/request |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        options.connections, options.seconds, options.pairs
    );
    for (name, ..) in CONTENDERS {
        let own = || runs.iter().filter(|run| run.name == name);
        let sum = |figure: fn(&Run) -> f64| own().map(figure).sum::<f64>();
        let spread = |figure: fn(&Run) -> f64, digits: usize| {
            let shown =
                |Spread { median, least, most }| format!("{median:.digits$} ({least:.digits$}–{most:.digits$})");
            Spread::of(own().map(figure)).map_or("–".into(), shown)
        };
        let (traps, refused) = (sum(|run| run.traps), sum(|run| count(run.found.refused())));
        let each = if traps > 0.0 { format!("{:.2}", refused / traps) } else { "–".into() };
        let only = if own().all(|run| verdict(run, options.connections) == "met") { "met" } else { "MISSED" };
        let _ = writeln!(
            text,
            "| {name} | {} | {traps} | {refused} | {each} | {} | {only} | {} | {} |",
            sum(|run| run.found.count()),
            sum(|run| count(run.found.broken())),
            spread(|run| count(run.found.p99_us), 0),
            spread(|run| run.cpu_us, 2),
        );
    }
    text.push_str("\nP99 with traps ÷ without, within a round: median (least–most). All answers are in it, those to traps, too.\n\n");
    for (with, without) in [("traps", "calm"), ("traps-both", "calm-both")] {
        let of =
            |name: &'static str| runs.iter().filter(move |run| run.name == name).map(|run| count(run.found.p99_us));
        if let Some(ratio) = Spread::of(of(with).zip(of(without)).map(|(with, without)| with / without)) {
            let Spread { median, least, most } = ratio;
            let verdict = if median <= P99_BAR { "met" } else { "MISSED" };
            let _ = writeln!(text, "- {with} ÷ {without}: {median:.2} ({least:.2}–{most:.2}); ≤ {P99_BAR}: {verdict}");
        }
    }
    text.push_str("\nResident MiB, once a second, a round behind the other:\n\n");
    for (name, ..) in CONTENDERS {
        let rounds: Vec<String> = runs.iter().filter(|run| run.name == name).map(|run| series(&run.memory)).collect();
        let _ = writeln!(text, "- {name}: {}", rounds.join(" | "));
    }
    text.push_str("\n## The machine\n\n");
    for (name, fact) in machine::facts(options) {
        let _ = writeln!(text, "- {name}: {fact}");
    }
    let _ = writeln!(text, "- load average before and after: {load_before:.2}, {:.2}", machine::load_average());
    text
}

fn series(figures: &[f64]) -> String {
    figures.iter().map(|figure| format!("{figure:.1}")).collect::<Vec<_>>().join(" ")
}

#[allow(clippy::cast_precision_loss, reason = "counts and microseconds of a run of at most an hour fit 52 bits")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &'static str, traps: f64, refused: u64, broken: u64) -> Run {
        let errors = [0, broken, 0, refused, 0];
        let found =
            Counts { requests: 9000, duration_us: 1, bytes: 1, errors, p50_us: 1, p99_us: 1, p999_us: 1, max_us: 1 };
        Run { name, found, traps, cpu_us: 1.0, memory: Vec::new() }
    }

    #[test]
    fn only_what_met_a_trap_may_fail() {
        for (run, expected) in [
            (run("traps", 9.0, 9, 0), "met"),
            (run("traps", 9.0, 8, 0), "met"),
            (run("traps", 9.0, 10, 0), "MISSED"),
            (run("traps", 9.0, 9, 1), "MISSED"),
            (run("traps", 0.0, 0, 0), "MISSED"),
            (run("traps-both", 9.0, 30, 0), "met"),
            (run("calm", 0.0, 0, 0), "met"),
            (run("calm", 0.0, 1, 0), "MISSED"),
        ] {
            assert_eq!(verdict(&run, 4), expected, "{}", line(&run, 4));
        }
    }
}
