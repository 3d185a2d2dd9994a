//! The report as text: for each scenario a table of medians with their spread and the ratios pair by
//! pair; before them the promises, behind them the machine. It refuses to round a missed bar to a met one.

use std::fmt::Write;

use super::outcome::Outcome;
use super::run::Run;
use super::verdict::Verdict;
use crate::figures::Spread;
use crate::machine::Facts;
use crate::peers::Who;
use crate::promises::Figure;
use crate::scenarios::Unit;

/// Rows under a head; both reports draw the same ones.
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        line(&self.head) + &rule + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

/// The whole report as Markdown.
pub fn report(facts: &Facts, outcomes: &[Outcome], verdicts: &[Verdict]) -> String {
    let mut text = "# compare\n\n".to_owned();
    if !verdicts.is_empty() {
        text.push_str("## Promises\n\n");
        text.push_str(&promises(verdicts).markdown());
    }
    for outcome in outcomes {
        let _ = write!(text, "\n## {}\n\n{}.\n\n", outcome.scenario.name, outcome.scenario.what);
        if !outcome.runs.is_empty() {
            text.push_str(&figures(outcome).markdown());
            text.push('\n');
            text.push_str(&ratios(outcome).markdown());
        }
        for remark in outcome.remarks() {
            let _ = writeln!(text, "\n- {remark}");
        }
    }
    text.push_str("\n## The machine\n\n");
    for (name, fact) in facts {
        let _ = writeln!(text, "- {name}: {fact}");
    }
    text.push_str("\nThe contenders' configurations, and charts, are in report.html; every run is in runs.json.\n");
    text
}

pub fn promises(verdicts: &[Verdict]) -> Table {
    let head = ["promise", "bar", "scenario", "found: median (least–most)", "noise", ""];
    let row = |verdict: &Verdict| {
        vec![
            verdict.promise.says.to_owned(),
            verdict.promise.bar(),
            verdict.promise.scenario.to_owned(),
            verdict.found(),
            format!("{:.2}", verdict.noise),
            verdict.state().to_owned(),
        ]
    };
    Table { head: head.map(str::to_owned).to_vec(), rows: verdicts.iter().map(row).collect() }
}

/// Medians, the first with least and most.
pub fn figures(outcome: &Outcome) -> Table {
    let unit = outcome.scenario.unit.name();
    if outcome.scenario.unit == Unit::Stream {
        return memory(outcome);
    }
    let at = outcome.rate.map_or("at a fixed rate".into(), |rate| format!("at {:.0}/s", rate.floor()));
    let mut head: Vec<String> = [
        "",
        &format!("CPU µs/{unit}"),
        "user",
        "kernel",
        &format!("{unit}s/s"),
        "P50 µs, saturated",
        "P99",
        "P99.9",
        &format!("P50 µs, {at}"),
        "P99",
        "P99.9",
        "peak MiB",
        &format!("context switches/{unit}"),
        &format!("system calls/{unit}"),
        "core busy %",
        "of it others",
        "load core %",
        "runs",
    ]
    .map(str::to_owned)
    .to_vec();
    if !outcome.scenario.paced {
        head.drain(8..11);
    }
    let row = |who: Who| {
        let middle = |digits: usize, figure: fn(&Run) -> f64| cell(outcome.spread(who, false, figure), digits, false);
        let paced = |figure: fn(&Run) -> f64| cell(outcome.spread(who, true, figure), 0, false);
        let count = outcome.syscalls.iter().find(|(other, _)| *other == who).and_then(|(_, count)| count.as_ref().ok());
        let mut row = vec![
            who.name().to_owned(),
            cell(outcome.spread(who, false, Run::cpu_us), 2, true),
            middle(2, |run| run.user_us),
            middle(2, |run| run.system_us),
            cell(outcome.spread(who, false, Run::per_second), 0, true),
            middle(0, |run| run.found.p50),
            middle(0, |run| run.found.p99),
            middle(0, |run| run.found.p999),
            paced(|run| run.found.p50),
            cell(outcome.spread(who, true, |run| run.found.p99), 0, true),
            paced(|run| run.found.p999),
            middle(1, |run| run.peak_mib),
            middle(2, |run| run.switches),
            count.map_or("–".into(), |count| format!("{count:.2}")),
            middle(0, |run| run.contender_core_busy),
            middle(0, |run| run.others),
            middle(0, |run| run.load_core_busy),
            runs(outcome, who),
        ];
        if !outcome.scenario.paced {
            row.drain(8..11);
        }
        row
    };
    Table { head, rows: outcome.shown.iter().map(|shown| row(shown.who)).collect() }
}

/// Of streams that do nothing there is only memory to tell.
fn memory(outcome: &Outcome) -> Table {
    let row = |who: Who| {
        vec![
            who.name().to_owned(),
            cell(outcome.spread(who, false, |run| run.kib_per_stream), 2, true),
            cell(outcome.spread(who, false, |run| run.peak_mib), 1, false),
            runs(outcome, who),
        ]
    };
    let head = ["", "KiB/stream, all processes", "peak MiB", "runs"].map(str::to_owned).to_vec();
    Table { head, rows: outcome.shown.iter().map(|shown| row(shown.who)).collect() }
}

fn runs(outcome: &Outcome, who: Who) -> String {
    let failed = outcome.failed.iter().filter(|(other, _)| *other == who).count();
    let all = outcome.runs.iter().filter(|run| run.who == who).count() + failed;
    let valid = outcome.valid(who, false).count() + outcome.valid(who, true).count();
    format!("{valid} of {all}")
}

fn cell(spread: Option<Spread>, digits: usize, whole: bool) -> String {
    match spread {
        Some(Spread { median, least, most }) if whole => {
            format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
        }
        Some(Spread { median, .. }) => format!("{median:.digits$}"),
        None => "–".into(),
    }
}

/// Ours against each peer, and nginx against itself: what the machine's noise looks like.
pub fn ratios(outcome: &Outcome) -> Table {
    let figures: &[(Figure, &str)] = match outcome.scenario.unit {
        Unit::Stream => &[(Figure::KibPerStream, "KiB/stream")],
        _ => &[(Figure::Cpu, "CPU"), (Figure::PacedP50, "P50, paced"), (Figure::PacedP99, "P99, paced")],
    };
    let figures: Vec<&(Figure, &str)> =
        figures.iter().filter(|(figure, _)| outcome.scenario.paced || !super::outcome::is_paced(*figure)).collect();
    let mut head = vec!["ratio within a round: median (least–most)".to_owned()];
    head.extend(figures.iter().map(|(_, name)| (*name).to_owned()));
    head.push("pairs".into());
    let who = |shown: &super::outcome::Shown| shown.who;
    let mut pairs = vec![(Who::NginxAgain, Who::Nginx)];
    for ours in outcome.shown.iter().map(who).filter(|who| matches!(who, Who::Local | Who::Tunnel)) {
        let peers =
            outcome.shown.iter().map(who).filter(|who| !matches!(who, Who::Local | Who::Tunnel | Who::NginxAgain));
        pairs.extend(peers.map(|theirs| (ours, theirs)));
    }
    pairs.push((Who::Nginx, Who::NginxPlain));
    let row = |(ours, theirs): (Who, Who)| {
        let count = outcome.pairs(ours, theirs, figures.first()?.0).len();
        if count == 0 {
            return None;
        }
        let null = if ours == Who::NginxAgain { " (the same program twice)" } else { "" };
        let mut row = vec![format!("{} ÷ {}{null}", ours.name(), theirs.name())];
        row.extend(figures.iter().map(|(figure, _)| cell(outcome.ratio(ours, theirs, *figure), 2, true)));
        row.push(count.to_string());
        Some(row)
    };
    Table { head, rows: pairs.into_iter().filter_map(row).collect() }
}
