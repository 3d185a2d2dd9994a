//! The report: a table of medians, the ratios pair by pair, and the machine. The same text goes to
//! the screen and into `runs/`. Refuses to round a missed bar up to a met one.

use std::fmt::Write;

use crate::figures::Spread;
use crate::json::Json;
use crate::machine::{self, Facts};
use crate::main_path::Run;
use crate::options::{Backend, Options};
use crate::peers::Contender;

/// What PROMISES.md promises of this scenario: CPU per request, as a ratio of medians of pairs.
const BARS: &[(&str, &str, Option<f64>)] =
    &[("local", "nginx", Some(1.15)), ("tunnel", "rathole", Some(1.0)), ("nginx-again", "nginx", None)];

/// What was asked, found and missed.
pub struct Report {
    asked: String,
    facts: Facts,
    missing: Vec<(&'static str, String)>,
    contenders: Vec<(&'static str, &'static str)>,
    runs: Vec<Run>,
}

impl Report {
    pub fn new(options: &Options, mut facts: Facts, missing: Vec<(&'static str, String)>) -> Self {
        let asked = format!(
            "main-path: wrk -t1 -c{} for {} s after 1 s of warm-up, {} rounds, order reversed each round, {} backend",
            options.connections,
            options.seconds,
            options.pairs,
            if options.backend == Backend::Nginx { "nginx as the" } else { "own" }
        );
        facts.push(("load average before", format!("{:.2}", machine::load_average())));
        Self { asked, facts, missing, contenders: Vec::new(), runs: Vec::new() }
    }

    pub fn describe(&mut self, contender: &Contender) {
        self.contenders.push((contender.name, contender.what));
    }

    pub fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub fn finish(&mut self, load_average: f64) {
        self.facts.push(("load average after", format!("{load_average:.2}")));
    }

    /// A line about one run, while the rest is under way.
    pub fn progress(run: &Run) -> String {
        format!(
            "round {} {:<12} {:>7.0} requests/s  {:>6.2} µs/request  {}",
            run.round,
            run.contender,
            run.found.per_second(),
            run.cpu_us(),
            run.void.as_ref().map(|reason| format!("VOID: {reason}")).unwrap_or_default()
        )
    }

    /// The whole report as Markdown.
    pub fn text(&self) -> String {
        let mut text = format!("# {}\n\n", self.asked);
        self.figures(&mut text);
        self.ratios(&mut text);
        self.remarks(&mut text);
        text.push_str("\n## The machine\n\n");
        for (name, fact) in &self.facts {
            let _ = writeln!(text, "- {name}: {fact}");
        }
        text
    }

    fn valid<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.contender == name && run.void.is_none())
    }

    fn figures(&self, text: &mut String) {
        text.push_str(
            "Medians, with (least–most) of the valid runs. CPU is of the contender's processes, all threads.\n\n\
             | | CPU µs/request | user | system | requests/s | P50 µs | P99 µs | resident MiB | of it anonymous | contender core busy % | of it others | load core busy % | runs |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for (name, _) in &self.contenders {
            let cell = |digits: usize, figure: fn(&Run) -> f64| match Spread::of(self.valid(name).map(figure)) {
                Some(Spread { median, least, most }) => {
                    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
                }
                None => "–".into(),
            };
            let middle = |digits: usize, figure: fn(&Run) -> f64| {
                Spread::of(self.valid(name).map(figure))
                    .map_or("–".into(), |spread| format!("{:.digits$}", spread.median))
            };
            // The direct run has no contender to measure.
            let cpu = |digits: usize, figure: fn(&Run) -> f64| {
                if *name == "direct" { "–".into() } else { middle(digits, figure) }
            };
            let all = self.runs.iter().filter(|run| run.contender == *name).count();
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} of {all} |",
                if *name == "direct" { "–".into() } else { cell(2, Run::cpu_us) },
                cpu(2, |run| run.user_us),
                cpu(2, |run| run.system_us),
                cell(0, |run| run.found.per_second()),
                middle(0, |run| whole(run.found.p50_us)),
                cell(0, |run| whole(run.found.p99_us)),
                cpu(1, |run| run.memory.resident_mib),
                cpu(1, |run| run.memory.anonymous_mib),
                middle(0, |run| run.contender_core_busy),
                cpu(1, |run| run.others_on_contender_core),
                middle(0, |run| run.load_core_busy),
                self.valid(name).count(),
            );
        }
    }

    fn ratios(&self, text: &mut String) {
        text.push_str(
            "\nRatios within a round: median (least–most).\n\n\
             | | CPU per request | the bar | requests/s | pairs |\n|---|---|---|---|---|\n",
        );
        for &(ours, theirs, bar) in BARS {
            let cpu = self.paired(ours, theirs, Run::cpu_us);
            let rate = self.paired(ours, theirs, |run| run.found.per_second());
            let (Some(cpu), Some(rate)) = (cpu, rate) else { continue };
            let verdict = match bar {
                None => "1.00: the same program twice".into(),
                Some(bar) => format!("≤ {bar:.2}: {}", if cpu.1.median <= bar { "met" } else { "missed" }),
            };
            let shown = |Spread { median, least, most }| format!("{median:.3} ({least:.3}–{most:.3})");
            let _ =
                writeln!(text, "| {ours} ÷ {theirs} | {} | {verdict} | {} | {} |", shown(cpu.1), shown(rate.1), cpu.0);
        }
    }

    /// How many rounds had both, and the spread of their ratios.
    fn paired(&self, ours: &str, theirs: &str, figure: fn(&Run) -> f64) -> Option<(usize, Spread)> {
        let ratio = |run: &Run| {
            let other = self.valid(theirs).find(|other| other.round == run.round)?;
            Some(figure(run) / figure(other))
        };
        let ratios: Vec<f64> = self.valid(ours).filter_map(ratio).collect();
        Some((ratios.len(), Spread::of(ratios)?))
    }

    fn remarks(&self, text: &mut String) {
        text.push_str("\n## Contenders\n\nStarted once and loaded in turn; one worker each.\n\n");
        for (name, what) in &self.contenders {
            let _ = writeln!(text, "- {name}: {what}");
        }
        for (name, reason) in &self.missing {
            let _ = writeln!(text, "- {name}: MISSING, {reason}");
        }
        for run in &self.runs {
            if let Some(reason) = &run.void {
                let _ = writeln!(text, "- VOID: round {}, {}: {reason}", run.round, run.contender);
            }
        }
    }

    /// Every run and the machine.
    pub fn json(&self) -> String {
        let facts = self.facts.iter().map(|(name, fact)| (*name, Json::text(fact)));
        let missing = self.missing.iter().map(|(name, reason)| (*name, Json::text(reason)));
        Json::Object(vec![
            ("asked", Json::text(&self.asked)),
            ("machine", Json::Object(facts.collect())),
            ("missing", Json::Object(missing.collect())),
            ("runs", Json::List(self.runs.iter().map(Run::json).collect())),
        ])
        .render()
    }
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a run of at most an hour fit 52 bits")]
fn whole(number: u64) -> f64 {
    number as f64
}
