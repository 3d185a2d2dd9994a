//! The report as one HTML file: charts, the tables of the text, the configurations. Nothing in it comes
//! from elsewhere, and it runs no script.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::chart::{Row, bars, escaped};
use super::outcome::Outcome;
use super::run::Run;
use super::table::{self, Table};
use super::verdict::{State, Verdict};
use crate::figures::Spread;
use crate::machine::Facts;
use crate::scenarios::Unit;

/// A configuration longer than this repeats itself.
const CONFIGURATION_LINES: usize = 60;

const STYLE: &str = "
:root { color-scheme: light dark; --user: #4878a8; --kernel: #a9bfd4; --p50: #5a9367; --p99: #b7d3bd; --line: #8888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2.5rem 0 0; border-top: 1px solid var(--line); padding-top: 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: .8rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .promises th, .promises td { text-align: left; } .promises td { white-space: normal; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; } svg { width: 100%; max-width: 760px; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; } svg .own { font-weight: 700; }
.user { fill: var(--user); } .kernel { fill: var(--kernel); } .p50 { fill: var(--p50); } .p99 { fill: var(--p99); }
.spread { stroke: currentColor; stroke-width: 1.5; opacity: .6; }
.met td:last-child { color: #2d8a4e; } .broken td:last-child { color: #c43c3c; font-weight: 700; }
.noise td:last-child { color: #b8860b; }
pre { font-size: 12px; overflow-x: auto; background: #8881; padding: .8rem; } .key { font-size: 13px; }
";

/// The whole page.
pub fn report(facts: &Facts, outcomes: &[Outcome], verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>perf compare</title><style>{STYLE}</style></head><body>\n<h1>perf compare</h1>\n\
         <p class=\"key\">CPU is user (dark) and kernel time (light) of all processes of a contender, per unit, at saturation. \
         Latency is P50 (dark) and P99 (light) at a rate that all hold, from when each request was meant to be sent. \
         Bars are medians, lines reach from the least run to the most. Less is better.</p>\n"
    );
    if !verdicts.is_empty() {
        text.push_str("<h2>Promises</h2>\n");
        promises(&mut text, verdicts);
    }
    for outcome in outcomes {
        section(&mut text, outcome);
    }
    text.push_str("<h2>The machine</h2>\n<ul>\n");
    for (name, fact) in facts {
        let _ = writeln!(text, "<li>{}: {}</li>", escaped(name), escaped(fact));
    }
    text.push_str("</ul>\n");
    configurations(&mut text, outcomes);
    text.push_str("</body></html>\n");
    text
}

fn promises(text: &mut String, verdicts: &[Verdict]) {
    let table = table::promises(verdicts);
    let _ = write!(text, "<div class=\"scroll promises\"><table>{}", cells("th", &table.head));
    for (row, verdict) in table.rows.iter().zip(verdicts) {
        let class = match verdict.state {
            State::Met => "met",
            State::Broken => "broken",
            State::Noise | State::Open => "noise",
        };
        let _ = write!(text, "{}", cells("td", row).replacen("<tr>", &format!("<tr class=\"{class}\">"), 1));
    }
    text.push_str("</table></div>\n");
}

fn section(text: &mut String, outcome: &Outcome) {
    let scenario = outcome.scenario;
    let _ = write!(text, "<h2 id=\"{0}\">{0}</h2>\n<p>{1}.</p>\n", scenario.name, escaped(scenario.what));
    if !outcome.runs.is_empty() {
        charts(text, outcome);
        draw(text, &table::figures(outcome));
        draw(text, &table::ratios(outcome));
    }
    let remarks = outcome.remarks();
    if !remarks.is_empty() {
        let items: String = remarks.iter().map(|remark| format!("<li>{}</li>", escaped(remark))).collect();
        let _ = writeln!(text, "<ul>{items}</ul>");
    }
}

fn charts(text: &mut String, outcome: &Outcome) {
    let unit = outcome.scenario.unit.name();
    let rows = |paced: bool, whole: fn(&Run) -> f64, parts: &[(Figure, &'static str)], digits: usize| -> Vec<Row> {
        let row = |shown: &super::outcome::Shown| {
            let spread = outcome.spread(shown.who, paced, whole)?;
            let median = |figure: Figure| outcome.spread(shown.who, paced, figure).map_or(0.0, |spread| spread.median);
            let Spread { median: middle, least, most } = spread;
            Some(Row {
                name: shown.who.name().to_owned(),
                parts: parts.iter().map(|(figure, class)| (median(*figure).max(0.0), *class)).collect(),
                spread: Some(spread),
                says: format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})"),
                own: shown.who.is_lockgate(),
            })
        };
        outcome.shown.iter().filter_map(row).collect()
    };
    if outcome.scenario.unit == Unit::Stream {
        let memory = rows(false, |run| run.kib_per_stream, &[(|run| run.kib_per_stream, "user")], 2);
        text.push_str(&bars("KiB of all processes per stream", &memory));
        return;
    }
    let cpu = rows(false, Run::cpu_us, &[(|run| run.user_us, "user"), (|run| run.system_us, "kernel")], 2);
    text.push_str(&bars(&format!("CPU µs per {unit}"), &cpu));
    if let Some(rate) = outcome.rate {
        let parts: &[(Figure, &'static str)] =
            &[(|run| run.found.p50, "p50"), (|run| run.found.p99 - run.found.p50, "p99")];
        let latency = rows(true, |run| run.found.p99, parts, 0);
        text.push_str(&bars(&format!("P50 and P99 in µs at {:.0} a second", rate.floor()), &latency));
    }
}

type Figure = fn(&Run) -> f64;

fn draw(text: &mut String, table: &Table) {
    let rows: String = table.rows.iter().map(|row| cells("td", row)).collect();
    let _ = writeln!(text, "<div class=\"scroll\"><table>{}{rows}</table></div>", cells("th", &table.head));
}

/// A row.
fn cells(tag: &str, row: &[String]) -> String {
    let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
    format!("<tr>{cells}</tr>\n")
}

/// Each contender's, once for each way it was set up.
fn configurations(text: &mut String, outcomes: &[Outcome]) {
    text.push_str("<h2>Configurations</h2>\n<p>As written for the first scenario of each kind; ports differ, DIR is a temporary folder.</p>\n");
    let mut first = BTreeMap::new();
    for outcome in outcomes {
        for shown in &outcome.shown {
            let setup = format!("{:?} {:?}", outcome.scenario.setup.door, outcome.scenario.setup.feature);
            first.entry((shown.who.name(), setup)).or_insert((outcome.scenario.name, shown));
        }
    }
    for ((name, _), (scenario, shown)) in first {
        let lines: Vec<&str> = shown.configuration.lines().collect();
        let mut configuration = lines[..lines.len().min(CONFIGURATION_LINES)].join("\n");
        if lines.len() > CONFIGURATION_LINES {
            let _ = write!(configuration, "\n… {} more lines of the same kind", lines.len() - CONFIGURATION_LINES);
        }
        let _ = writeln!(
            text,
            "<details><summary>{name}, {scenario}: {}</summary><pre>{}</pre></details>",
            escaped(&shown.what),
            escaped(&configuration)
        );
    }
}
