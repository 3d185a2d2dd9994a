//! What a scenario brought: its runs, who is missing, and the figures made of them. It refuses void runs
//! in any figure, and compares only runs of the same round.

use super::run::{Phase, Run};
use crate::figures::Spread;
use crate::peers::{Contender, Who};
use crate::promises::Figure;
use crate::scenarios::Scenario;

/// A contender that ran, as the report shows it.
pub struct Shown {
    pub who: Who,
    pub what: String,
    pub configuration: String,
}

impl Shown {
    pub fn of(who: Who, contender: &Contender) -> Self {
        Self { who, what: contender.what.clone(), configuration: contender.configuration.clone() }
    }
}

/// One scenario.
pub struct Outcome {
    pub scenario: &'static Scenario,
    pub shown: Vec<Shown>,
    pub missing: Vec<(&'static str, String)>,
    /// Runs that could not be made.
    pub failed: Vec<(Who, String)>,
    pub runs: Vec<Run>,
    /// Turns a second of the paced runs.
    pub rate: Option<f64>,
    pub syscalls: Vec<(Who, Result<f64, String>)>,
}

impl Outcome {
    pub fn new(scenario: &'static Scenario) -> Self {
        Self {
            scenario,
            shown: Vec::new(),
            missing: Vec::new(),
            failed: Vec::new(),
            runs: Vec::new(),
            rate: None,
            syscalls: Vec::new(),
        }
    }

    /// Notes a contender, once.
    pub fn show(&mut self, shown: Shown) {
        if self.shown.iter().all(|other| other.who != shown.who) {
            self.shown.push(shown);
        }
    }

    pub fn valid(&self, who: Who, paced: bool) -> impl Iterator<Item = &Run> {
        let phase = move |run: &&Run| matches!(run.phase, Phase::Paced(_)) == paced;
        self.runs.iter().filter(phase).filter(move |run| run.who == who && run.found.void.is_none())
    }

    /// The spread of a figure of a contender's saturated, or paced, runs.
    pub fn spread(&self, who: Who, paced: bool, figure: impl Fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.valid(who, paced).map(figure))
    }

    /// Pairs of a figure within the same round: ours, theirs.
    pub fn pairs(&self, ours: Who, theirs: Who, figure: Figure) -> Vec<(f64, f64)> {
        let paced = is_paced(figure);
        let other = |run: &Run| self.valid(theirs, paced).find(|other| other.round == run.round);
        let pair = |run: &Run| Some((value(figure, run), value(figure, other(run)?)));
        self.valid(ours, paced).filter_map(pair).collect()
    }

    pub fn ratio(&self, ours: Who, theirs: Who, figure: Figure) -> Option<Spread> {
        Spread::of(self.pairs(ours, theirs, figure).into_iter().map(|(ours, theirs)| ours / theirs))
    }

    /// Turns a second of the slowest contender.
    pub fn slowest(&self) -> Option<f64> {
        let medians = self.shown.iter().filter_map(|shown| {
            self.spread(shown.who, false, |run| run.found.turns / run.found.seconds.max(1e-9))
                .map(|spread| spread.median)
        });
        medians.min_by(f64::total_cmp)
    }

    /// What of ours did not work.
    pub fn own_failures(&self) -> Vec<String> {
        let name = self.scenario.name;
        let failed = self.failed.iter().filter(|(who, _)| who.is_lockgate());
        let failed = failed.map(|(who, reason)| format!("failed: {name}, {}: {reason}", who.name()));
        let void = self.runs.iter().filter(|run| run.who.is_lockgate()).filter_map(|run| {
            let reason = run.found.void.as_ref()?;
            Some(format!("void: {name}, {}, round {}: {reason}", run.who.name(), run.round))
        });
        failed.chain(void).collect()
    }

    /// Every run without a figure and why, whoever it was.
    pub fn remarks(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(name, reason)| format!("missing: {name}: {reason}"));
        let failed = self.failed.iter().map(|(who, reason)| format!("void: {}: {reason}", who.name()));
        let void = self.runs.iter().filter_map(|run| {
            let reason = run.found.void.as_ref()?;
            Some(format!("void: {}, round {}: {reason}", run.who.name(), run.round))
        });
        let uncounted = self.syscalls.iter().filter_map(|(who, count)| {
            let reason = count.as_ref().err()?;
            Some(format!("missing: system calls of {}: {reason}", who.name()))
        });
        missing.chain(failed).chain(void).chain(uncounted).collect()
    }
}

pub fn is_paced(figure: Figure) -> bool {
    matches!(figure, Figure::PacedP50 | Figure::PacedP99)
}

pub fn value(figure: Figure, run: &Run) -> f64 {
    match figure {
        Figure::Cpu => run.cpu_us(),
        Figure::PacedP50 => run.found.p50,
        Figure::PacedP99 => run.found.p99,
        Figure::KibPerStream => run.kib_per_stream,
    }
}
