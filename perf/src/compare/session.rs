//! A scenario of `compare` from its first process to its last: starts the backend and the contenders,
//! loads them in rounds, saturated and paced, and counts system calls at the end.
//!
//! It refuses to let one contender's failure end the others' runs: it is noted, and they go on.

use std::cell::RefCell;
use std::path::PathBuf;

use super::outcome::{Outcome, Shown};
use super::run::{Bench, Phase, Run};
use crate::children::Nursery;
use crate::generator::Kind;
use crate::options::{Backend, Options};
use crate::peers::{self, Certificate, Contender, Feature, Ground, Network, Who};
use crate::scenarios::{Load, Scenario, Unit};
use crate::syscalls::Counter;

/// Share of the slowest contender's throughput at which latency is measured.
const PACE: f64 = 0.5;

/// Turns a second below which a rate says nothing.
const RATE_LEAST: f64 = 20.0;

/// What stays the same from scenario to scenario.
pub struct Session<'a> {
    pub options: &'a Options,
    pub nursery: Nursery,
    pub certificate: Certificate,
    pub wrk: Option<PathBuf>,
    pub h2load: Option<PathBuf>,
}

impl Session<'_> {
    /// Runs it; `Err` if not even the backend can be started.
    pub fn scenario(&self, scenario: &'static Scenario) -> Result<Outcome, String> {
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
        for who in self.contenders(scenario) {
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

    fn contenders(&self, scenario: &'static Scenario) -> impl Iterator<Item = Who> {
        scenario.who.iter().copied().filter(|who| self.options.admits(who.name()))
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
            for who in self.contenders(bench.scenario) {
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
        Unit::Stream => format!("{:.1} KiB/stream", run.kib_per_stream),
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
