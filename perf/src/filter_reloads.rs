//! The scenario `filter-reloads`: a filter is replaced 1,000 times by `PUT /filters/one`, each time by another
//! module, while wrk asks through it. No request may fail, and memory stays where it is.
//!
//! ```text
//!   wrk ─────────── one run from the first replacement to the last ───────────▶ refused, broken
//!   PUT PUT PUT …   resident memory every 10; the filter's instances at the end
//! ```
//!
//! Memory is compared with what it was under load before the first replacement, and with what it was when
//! a twentieth of them was done. It refuses to repeat a module: one that is compiled already would be read
//! from the cache.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::children::Nursery;
use crate::figures::Spread;
use crate::filter_edge::{FilterEdge, Phases, module};
use crate::load::wrk::{Counts, Wrk};
use crate::machine;
use crate::options::{self, Options};
use crate::peers;
use crate::usage::Memory;

const NAME: &str = "reloads";

/// Memory at the end is to be at most this much above the start.
const MEMORY_BAR: f64 = 1.05;

/// Longer than any run: wrk is stopped when the last module has been taken.
const LOAD_SECONDS: u64 = 3600;

/// Between two looks at memory.
const STEP: usize = 10;

/// How long what was replaced may take to go: instances are swept once a second, pools give back later.
const AFTERWARDS: Duration = Duration::from_secs(5);

struct Reloads {
    /// Without replacements, just before.
    calm: Counts,
    found: Counts,
    seconds: f64,
    /// Resident and anonymous MiB: under load before the first, after every [`STEP`], and afterwards without load.
    before: Memory,
    during: Vec<Memory>,
    after: Memory,
    instances: f64,
    kept_mib: f64,
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
    let first = module(Phases::Both, u32::MAX, 0)?;
    let edge = FilterEdge::start(&nursery, NAME, lockgate, backend.address, &first)?;
    let measured = measure(options, &nursery, &wrk, &edge)?;
    let text = report(options, &measured, before);
    print!("{text}");
    match &options.markdown {
        Some(path) => std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => Ok(()),
    }
}

fn measure(options: &Options, nursery: &Nursery, wrk: &Wrk, edge: &FilterEdge) -> Result<Reloads, String> {
    let mut before = Memory::default();
    let calm = wrk.run(nursery, edge.address, 2 * options.seconds, || before = Memory::of(&[edge.pid()]))?;
    let running = wrk.start(nursery, edge.address, LOAD_SECONDS)?;
    let (began, mut during) = (Instant::now(), Vec::new());
    for number in 1..=options.reloads {
        edge.replace(&module(Phases::Both, u32::MAX, number)?)?;
        if number % STEP == 0 {
            during.push(Memory::of(&[edge.pid()]));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let found = Wrk::stop(running)?;
    std::thread::sleep(AFTERWARDS);
    #[allow(clippy::cast_precision_loss, reason = "a directory of less than an exabyte")]
    let kept_mib = FilterEdge::kept_bytes(nursery, NAME) as f64 / 1024.0 / 1024.0;
    let (after, instances) = (Memory::of(&[edge.pid()]), edge.metric("lockgate_filter_instances", "")?);
    Ok(Reloads { calm, found, seconds, before, during, after, instances, kept_mib })
}

/// The median of some looks at memory: one look may fall on a compilation.
fn resident(looks: &[Memory]) -> f64 {
    Spread::of(looks.iter().map(|look| look.resident_mib)).map_or(0.0, |spread| spread.median)
}

fn report(options: &Options, run: &Reloads, load_before: f64) -> String {
    let [connect, read, write, status, timeout] = run.found.errors;
    let failed = run.found.broken() + run.found.refused();
    let mut text = format!(
        "# filter-reloads: {} modules by PUT under wrk -t1 -c{}\n\n\
         One edge, one worker, one filter with callbacks for request and response headers; each module differs from all \
         others, so each is compiled.\n\n\
         - {} requests in {:.0} s, {:.1} replacements a second\n\
         - P99 {} µs, longest {} µs; without replacements, just before: {} µs and {} µs\n\
         - failed requests: {failed} ({connect} connect, {read} read, {write} write, {status} status above 399, {timeout} \
         longer than 2 s): {}\n\
         - instances at the end: {}\n\
         - compiled code kept in the data directory: {:.1} MiB\n\n\
         | resident MiB | | of it anonymous |\n|---|---|---|\n",
        options.reloads,
        options.connections,
        run.found.requests,
        run.seconds,
        f64::from(u32::try_from(options.reloads).unwrap_or(u32::MAX)) / run.seconds,
        run.found.p99_us,
        run.found.max_us,
        run.calm.p99_us,
        run.calm.max_us,
        if failed == 0 { "met" } else { "MISSED" },
        run.instances,
        run.kept_mib,
    );
    let mut row = |what: &str, memory: &Memory| {
        let _ = writeln!(text, "| {what} | {:.1} | {:.1} |", memory.resident_mib, memory.anonymous_mib);
    };
    row("under load, before the first", &run.before);
    let tenth = (run.during.len() / 10).max(1);
    for (at, look) in run.during.iter().enumerate().filter(|(at, _)| (at + 1) % tenth == 0) {
        row(&format!("after {}", (at + 1) * STEP), look);
    }
    row("afterwards, without load", &run.after);
    let end = resident(&run.during[run.during.len().saturating_sub(tenth)..]);
    let warm = resident(&run.during[run.during.len().min(tenth)..run.during.len().min(2 * tenth)]);
    text.push_str("\nThe last tenth of the replacements (median) against:\n\n");
    for (what, start) in
        [("before the first", run.before.resident_mib), ("the second tenth (median), when the compiler is warm", warm)]
    {
        let ratio = end / start.max(0.1);
        let verdict = if ratio <= MEMORY_BAR { "met" } else { "MISSED" };
        let _ = writeln!(text, "- {what}: {ratio:.3}; ≤ {MEMORY_BAR}: {verdict}");
    }
    text.push_str("\n## The machine\n\n");
    for (name, fact) in machine::facts(options) {
        let _ = writeln!(text, "- {name}: {fact}");
    }
    let _ = writeln!(text, "- load average before and after: {load_before:.2}, {:.2}", machine::load_average());
    text
}
