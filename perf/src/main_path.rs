//! The scenario `main-path`: keep-alive GETs with a 66-byte body, one hop against nginx and the
//! tunnel against rathole.
//!
//! ```text
//!   round 1:  direct local nginx tunnel rathole      each: 1 s warm-up, N s measured
//!   round 2:  rathole tunnel nginx local direct      the first becomes the last
//! ```
//!
//! Contenders live through all rounds; one is loaded at a time, the others wait. Refuses to carry on
//! with figures of a void run: it is printed, counted and left out.

use std::path::Path;

use crate::children::{CONTENDER_CORE, LOAD_CORE, Nursery};
use crate::json::Json;
use crate::load::{Found, Wrk};
use crate::machine;
use crate::options::{self, Options};
use crate::peers::{self, Contender};
use crate::report::Report;
use crate::usage::{Core, Memory, Time};

const WARM_UP_SECONDS: u64 = 1;

/// One measured run of one contender.
pub struct Run {
    pub round: usize,
    pub contender: &'static str,
    pub found: Found,
    /// CPU time of the contender's processes per request.
    pub user_us: f64,
    pub system_us: f64,
    pub memory: Memory,
    /// Percent of the measured time: core busy by anybody, and by others than this run's processes.
    pub contender_core_busy: f64,
    pub load_core_busy: f64,
    pub others_on_contender_core: f64,
    pub stolen: f64,
    pub void: Option<String>,
}

impl Run {
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    pub fn json(&self) -> Json {
        let [connect, read, write, status, timeout] = self.found.errors;
        Json::Object(vec![
            ("round", Json::Whole(self.round as u64)),
            ("contender", Json::text(self.contender)),
            ("requests", Json::Whole(self.found.requests)),
            ("seconds", Json::Number(self.found.count() / self.found.per_second().max(1e-9))),
            ("requests_per_s", Json::Number(self.found.per_second())),
            ("cpu_us_per_request", Json::Number(self.cpu_us())),
            ("user_us_per_request", Json::Number(self.user_us)),
            ("system_us_per_request", Json::Number(self.system_us)),
            ("p50_us", Json::Whole(self.found.p50_us)),
            ("p99_us", Json::Whole(self.found.p99_us)),
            ("max_us", Json::Whole(self.found.max_us)),
            ("resident_mib", Json::Number(self.memory.resident_mib)),
            ("anonymous_mib", Json::Number(self.memory.anonymous_mib)),
            ("contender_core_busy_percent", Json::Number(self.contender_core_busy)),
            ("load_core_busy_percent", Json::Number(self.load_core_busy)),
            ("others_on_contender_core_percent", Json::Number(self.others_on_contender_core)),
            ("stolen_percent", Json::Number(self.stolen)),
            ("errors", Json::Whole(connect + read + write + status + timeout)),
            ("void", Json::text(self.void.clone().unwrap_or_default())),
        ])
    }
}

/// Runs the scenario and prints the report.
pub fn run(options: &Options) -> Result<(), String> {
    if machine::cores() < 2 {
        return Err("needs two cores: one for the contenders, one for wrk and the backend".into());
    }
    options::on_path("taskset").ok_or("needs taskset (util-linux), to keep the load off the contenders' core")?;
    let program = options::on_path("wrk").ok_or("needs wrk")?;
    let nursery = Nursery::open()?;
    let wrk = Wrk::new(&program, &nursery, options.connections)?;
    let backend = peers::backend(options, &nursery)?;
    let mut contenders = Vec::new();
    let mut missing = Vec::new();
    for (name, start) in peers::start_all(options, &nursery, backend.address) {
        match start {
            Ok(contender) => contenders.push(contender),
            Err(reason) => missing.push((name, reason)),
        }
    }
    for (name, reason) in &missing {
        eprintln!("missing: {name}: {reason}");
    }
    if options.hold {
        return hold(&backend, &contenders);
    }
    let mut report = Report::new(options, machine::facts(options, Path::new(&program)), missing);
    report.describe(&backend);
    contenders.iter().for_each(|contender| report.describe(contender));
    let mut order: Vec<&Contender> = contenders.iter().collect();
    if options.wants("direct") {
        order.insert(0, &backend);
    }
    for round in 1..=options.pairs {
        for contender in &order {
            let run = measure(options, &nursery, &wrk, &backend, contender, round)?;
            eprintln!("{}", Report::progress(&run));
            report.add(run);
        }
        order.reverse();
    }
    report.finish(machine::load_average());
    print!("{}", report.text());
    for (path, text) in [(&options.json, report.json()), (&options.markdown, report.text())] {
        if let Some(path) = path {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// Leaves everything running for a profiler until a line is read.
fn hold(backend: &Contender, contenders: &[Contender]) -> Result<(), String> {
    for contender in [backend].into_iter().chain(contenders) {
        println!("{} http://{}/ pids {:?}", contender.name, contender.address, contender.pids());
    }
    println!("Enter ends them");
    std::io::stdin().read_line(&mut String::new()).map(drop).map_err(|error| error.to_string())
}

fn measure(
    options: &Options,
    nursery: &Nursery,
    wrk: &Wrk,
    backend: &Contender,
    contender: &Contender,
    round: usize,
) -> Result<Run, String> {
    let direct = contender.address == backend.address;
    let pids = if direct { Vec::new() } else { contender.pids() };
    let say = |error: std::io::Error| format!("{}: {error}", contender.name);
    wrk.run(nursery, contender.address, WARM_UP_SECONDS, || ())?;
    let answer = peers::ask_once(contender.address, "/").map_err(say)?;
    let mut memory = Memory::default();
    let served = peers::answered(backend)?;
    let cores = [Core::of(CONTENDER_CORE), Core::of(LOAD_CORE)];
    let before = Time::of(&pids);
    let found = wrk.run(nursery, contender.address, options.seconds, || memory = Memory::of(&pids))?;
    let time = Time::of(&pids).since(before);
    let [contender_core, load_core] = [Core::of(CONTENDER_CORE).since(cores[0]), Core::of(LOAD_CORE).since(cores[1])];
    let served = peers::answered(backend)?.saturating_sub(served);
    let void = if answer.is_the_backends() {
        found.void(answer.length(), served, options.connections)
    } else {
        Some("the answer is not the backend's".into())
    };
    let wall_us = found.count() * 1e6 / found.per_second().max(1e-9);
    let percent = |microseconds: f64| 100.0 * microseconds / wall_us.max(1.0);
    let requests = found.count().max(1.0);
    Ok(Run {
        round,
        contender: contender.name,
        user_us: time.user_us / requests,
        system_us: time.system_us / requests,
        memory,
        contender_core_busy: percent(contender_core.busy_us),
        load_core_busy: percent(load_core.busy_us),
        others_on_contender_core: percent((contender_core.busy_us - time.total_us()).max(0.0)),
        stolen: percent(contender_core.stolen_us),
        void,
        found,
    })
}
