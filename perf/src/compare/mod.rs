//! `perf compare`: every contender that is installed, in front of the same backend, scenario by scenario,
//! one loaded at a time.
//!
//! ```text
//!   round 1:  local tunnel nginx nginx-again haproxy envoy rathole    each: warm-up, measured
//!   round 2:  rathole envoy haproxy nginx-again nginx tunnel local    the first becomes the last
//!   then the same at half the rate of the slowest, then system calls, once each
//! ```
//!
//! Contenders are started anew for each scenario. A peer or tool that is missing is named, not fatal. It
//! refuses to let a void run into any figure.

mod chart;
mod outcome;
mod page;
mod run;
mod table;
mod verdict;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::children::Nursery;
use crate::generator::Kind;
use crate::json::Json;
use crate::machine;
use crate::options::{self, Backend, Options};
use crate::peers::{self, Certificate, Contender, Feature, Ground, Network, Who};
use crate::scenarios::{Load, SCENARIOS, Scenario};
use crate::syscalls::Counter;
use outcome::{Outcome, Shown};
use run::{Bench, Phase, Run};
use verdict::{State, Verdict};

/// Share of the slowest contender's throughput at which latency is measured.
const PACE: f64 = 0.5;

/// Turns a second below which a rate says nothing.
const RATE_LEAST: f64 = 20.0;

/// What stays the same from scenario to scenario.
struct Session<'a> {
    options: &'a Options,
    nursery: Nursery,
    certificate: Certificate,
    wrk: Option<PathBuf>,
    h2load: Option<PathBuf>,
    began: Instant,
}

/// Runs what was asked for, writes the report, and says whether the promises hold.
pub fn run(options: &Options) -> Result<(), String> {
    if options.list {
        list();
        return Ok(());
    }
    let selected = selected(options)?;
    if machine::cores() < 2 {
        return Err("needs two cores: one for the contenders, one for the load and the backend".into());
    }
    options::on_path("taskset")
        .ok_or("needs taskset, to keep the load off the contenders' core: apt-get install util-linux")?;
    let folder = folder(options)?;
    let nursery = Nursery::open()?;
    let session = Session {
        options,
        certificate: Certificate::make(&nursery)?,
        wrk: options::on_path("wrk"),
        h2load: options::on_path("h2load"),
        began: Instant::now(),
        nursery,
    };
    let mut facts = machine::facts(options);
    facts.push(("load average before", format!("{:.2}", machine::load_average())));
    facts.push(("asked", asked(options)));
    let mut outcomes = Vec::new();
    for (at, scenario) in selected.iter().enumerate() {
        let number = format!("[{}/{} {:.0} s]", at + 1, selected.len(), session.began.elapsed().as_secs_f64());
        eprintln!("{number} {}: {}", scenario.name, scenario.what);
        outcomes.push(session.scenario(scenario)?);
    }
    facts.push(("load average after", format!("{:.2}", machine::load_average())));
    let verdicts = verdict::judge(&outcomes);
    write(&folder, &facts, &outcomes, &verdicts)?;
    match options.check {
        true => check(&outcomes, &verdicts),
        false => Ok(()),
    }
}

fn list() {
    for scenario in SCENARIOS {
        let who: Vec<&str> = scenario.who.iter().map(|who| who.name()).collect();
        println!("{:<16} {}\n{:<16} {}", scenario.name, scenario.what, "", who.join(", "));
    }
}

fn selected(options: &Options) -> Result<Vec<&'static Scenario>, String> {
    if let Some(unknown) = options.only.iter().find(|only| SCENARIOS.iter().all(|scenario| scenario.name != **only)) {
        return Err(format!("--only {unknown}: no such scenario; perf compare --list names them"));
    }
    let quick = |scenario: &&Scenario| scenario.quick || !options.quick || !options.only.is_empty();
    Ok(SCENARIOS.iter().filter(|scenario| options.wants(scenario.name)).filter(quick).collect())
}

/// Where the report goes.
fn folder(options: &Options) -> Result<PathBuf, String> {
    let runs = Path::new("perf/runs");
    let folder = match &options.out {
        Some(folder) => folder.clone(),
        None if !runs.is_dir() => {
            return Err("no perf/runs here: run it from the repository, or name --out FOLDER".into());
        }
        None => runs.join(format!("{}{}", machine::slug(), if options.quick { "-quick" } else { "" })),
    };
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn asked(options: &Options) -> String {
    let backend = if options.backend == Backend::Nginx { "nginx" } else { "our backend" };
    match options.quick {
        true => format!(
            "quick: at most 1 s, {} round, static bodies from {backend}: to see that it works, not to measure",
            options.pairs
        ),
        false => format!(
            "{} s after 1 s of warm-up, {} rounds, order reversed each round, static bodies from {backend}",
            options.seconds, options.pairs
        ),
    }
}

impl Session<'_> {
    fn scenario(&self, scenario: &'static Scenario) -> Result<Outcome, String> {
        let mut outcome = Outcome::new(scenario);
        if let Some(tool) = self.missing_tool(scenario) {
            eprintln!("  missing: {tool}");
            outcome.missing.push(("the load", tool));
            return Ok(outcome);
        }
        let network = match scenario.setup.feature {
            Feature::Network => match Network::open(&self.nursery) {
                Ok(network) => Some(network),
                Err(reason) => {
                    eprintln!("  missing: {reason}");
                    outcome.missing.push(("the network", reason));
                    return Ok(outcome);
                }
            },
            _ => None,
        };
        let which = if scenario.backend == Backend::Own { Backend::Own } else { self.options.backend };
        let backend = peers::backend(self.options, &self.nursery, which, network.as_ref())?;
        let bench = Bench {
            nursery: &self.nursery,
            certificate: &self.certificate,
            wrk: self.wrk.as_deref(),
            h2load: self.h2load.as_deref(),
            scenario,
            backend: &backend,
            seconds: if self.options.quick { 0.5 } else { crate::load::real(self.options.seconds) },
            warm_up_ms: if self.options.quick { 200 } else { 1000 },
        };
        if matches!(scenario.load, Load::Own { kind: Kind::Idle, .. }) {
            self.afresh(&bench, network.as_ref(), &mut outcome);
            return Ok(outcome);
        }
        let mut contenders = Vec::new();
        for &who in scenario.who {
            if let Some(contender) = self.start(&bench, network.as_ref(), who, 1, &mut outcome) {
                contenders.push((who, contender));
            }
        }
        if self.options.hold {
            hold(&backend, &contenders)?;
            return Ok(outcome);
        }
        self.rounds(&bench, &mut contenders, Phase::Saturated, &mut outcome);
        outcome.rate = scenario.paced.then(|| outcome.slowest()).flatten().map(|slowest| slowest * PACE);
        if let Some(rate) = outcome.rate.filter(|rate| *rate >= RATE_LEAST) {
            self.rounds(&bench, &mut contenders, Phase::Paced(rate.floor()), &mut outcome);
        }
        if !self.options.quick {
            for (who, contender) in &contenders {
                outcome.syscalls.push((*who, syscalls(&bench, contender)));
            }
        }
        Ok(outcome)
    }

    fn missing_tool(&self, scenario: &Scenario) -> Option<String> {
        match scenario.load {
            Load::Wrk { .. } if self.wrk.is_none() => Some("wrk: apt-get install wrk".into()),
            Load::H2load if self.h2load.is_none() => Some("h2load: apt-get install nghttp2-client".into()),
            _ => None,
        }
    }

    fn start(
        &self,
        bench: &Bench,
        network: Option<&Network>,
        who: Who,
        round: usize,
        outcome: &mut Outcome,
    ) -> Option<Contender> {
        let ground = Ground {
            nursery: &self.nursery,
            programs: &self.options.programs,
            certificate: &self.certificate,
            backend: bench.backend.address,
            setup: bench.scenario.setup,
            network,
            label: format!("{}-{round}", bench.scenario.name),
            who,
        };
        match who.start(&ground) {
            Ok(contender) => {
                outcome.show(Shown::of(who, &contender));
                Some(contender)
            }
            Err(reason) => {
                eprintln!("  missing: {}: {reason}", who.name());
                outcome.missing.push((who.name(), reason));
                None
            }
        }
    }

    /// Every contender once a round, in turn and in reverse.
    fn rounds(&self, bench: &Bench, contenders: &mut [(Who, Contender)], phase: Phase, outcome: &mut Outcome) {
        for round in 1..=self.options.pairs {
            for (who, contender) in contenders.iter() {
                one(bench, contender, *who, round, phase, outcome);
            }
            contenders.reverse();
        }
    }

    /// For memory: every run in new processes, which have not kept anything from the last.
    fn afresh(&self, bench: &Bench, network: Option<&Network>, outcome: &mut Outcome) {
        for round in 1..=self.options.pairs {
            for &who in bench.scenario.who {
                if let Some(contender) = self.start(bench, network, who, round, outcome) {
                    one(bench, &contender, who, round, Phase::Saturated, outcome);
                }
            }
        }
    }
}

/// A run that cannot be made is noted, and the others go on.
fn one(bench: &Bench, contender: &Contender, who: Who, round: usize, phase: Phase, outcome: &mut Outcome) {
    match bench.measure(contender, who, round, phase) {
        Ok(run) => {
            eprintln!("{}", progress(bench.scenario, &run));
            outcome.runs.push(run);
        }
        Err(reason) => {
            let reason = format!("round {round}: {reason}");
            eprintln!("  {}: VOID: {reason}", who.name());
            outcome.failed.push((who, reason));
        }
    }
}

fn progress(scenario: &Scenario, run: &Run) -> String {
    let phase = match run.phase {
        Phase::Saturated => "saturated".into(),
        Phase::Paced(rate) => format!("at {rate:.0}/s"),
    };
    let unit = scenario.unit.name();
    let figures = match scenario.unit {
        crate::scenarios::Unit::Stream => format!("{:.1} KiB/stream", run.kib_per_stream),
        _ => format!(
            "{:>8.0} {unit}/s {:>8.2} µs/{unit}  P50 {:.0} P99 {:.0} µs",
            run.per_second(),
            run.cpu_us(),
            run.found.p50,
            run.found.p99
        ),
    };
    let void = run.found.void.as_ref().map(|reason| format!("  VOID: {reason}")).unwrap_or_default();
    format!("  {} {:<12} {phase:<12} {figures}{void}", run.round, run.who.name())
}

/// System calls per unit, in a run of their own.
fn syscalls(bench: &Bench, contender: &Contender) -> Result<f64, String> {
    let bench = Bench { seconds: 1.0, warm_up_ms: 300, ..*bench };
    let counter = RefCell::new(Counter::attach(bench.nursery, &contender.pids())?);
    let (begin, end) = (|| counter.borrow_mut().begin(), || counter.borrow_mut().end());
    let found = bench.load(contender, Phase::Saturated, begin, end)?;
    match found.void {
        Some(reason) => Err(reason),
        None => Ok(counter.into_inner().finish()? / bench.units(&found).max(1.0)),
    }
}

/// Leaves everything running for a profiler until a line is read.
fn hold(backend: &Contender, contenders: &[(Who, Contender)]) -> Result<(), String> {
    for contender in contenders.iter().map(|(_, contender)| contender).chain([backend]) {
        println!("{} {} pids {:?}", contender.name, contender.address, contender.pids());
    }
    println!("Enter ends them");
    std::io::stdin().read_line(&mut String::new()).map(drop).map_err(|error| error.to_string())
}

fn write(folder: &Path, facts: &machine::Facts, outcomes: &[Outcome], verdicts: &[Verdict]) -> Result<(), String> {
    let markdown = table::report(facts, outcomes, verdicts);
    let scenarios = outcomes.iter().flat_map(|outcome| outcome.runs.iter().map(|run| run.json(outcome.scenario)));
    let failed = outcomes.iter().flat_map(|outcome| {
        let failed = outcome.failed.iter().map(|(who, reason)| (who.name(), reason));
        let missing = outcome.missing.iter().map(|(name, reason)| (*name, reason));
        failed.chain(missing).map(|(name, reason)| {
            Json::Object(vec![
                ("scenario", Json::text(outcome.scenario.name)),
                ("contender", Json::text(name)),
                ("reason", Json::text(reason)),
            ])
        })
    });
    let json = Json::Object(vec![
        ("machine", Json::Object(facts.iter().map(|(name, fact)| (*name, Json::text(fact))).collect())),
        ("promises", Json::List(verdicts.iter().map(Verdict::json).collect())),
        ("without_figures", Json::List(failed.collect())),
        ("runs", Json::List(scenarios.collect())),
    ]);
    print!("{markdown}");
    let page = page::report(facts, outcomes, verdicts);
    for (name, text) in [("report.md", &markdown), ("report.html", &page), ("runs.json", &json.render())] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    eprintln!("written: {}/report.md, report.html, runs.json", folder.display());
    Ok(())
}

/// Broken promises, and runs of ours that failed.
fn check(outcomes: &[Outcome], verdicts: &[Verdict]) -> Result<(), String> {
    let broken = verdicts.iter().filter(|verdict| verdict.state == State::Broken);
    let mut faults: Vec<String> = broken.map(|verdict| format!("broken: {}", verdict.line())).collect();
    for outcome in outcomes {
        faults.extend(outcome.own_failures());
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n      ")),
    }
}
