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
mod session;
mod table;
mod verdict;

use std::path::{Path, PathBuf};

use crate::children::Nursery;
use crate::json::Json;
use crate::machine;
use crate::options::{self, Backend, Options};
use crate::peers::Certificate;
use crate::scenarios::{SCENARIOS, Scenario};
use outcome::Outcome;
use session::Session;
use verdict::{State, Verdict};

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
        nursery,
    };
    let began = std::time::Instant::now();
    let mut facts = machine::facts(options);
    facts.push(("load average before", format!("{:.2}", machine::load_average())));
    facts.push(("asked", asked(options)));
    let mut outcomes = Vec::new();
    for (at, scenario) in selected.iter().enumerate() {
        let number = format!("[{}/{} {:.0} s]", at + 1, selected.len(), began.elapsed().as_secs_f64());
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
    let known = |name: &String| SCENARIOS.iter().flat_map(|scenario| scenario.who).any(|who| who.name() == *name);
    if let Some(unknown) = options.who.iter().find(|name| !known(name)) {
        return Err(format!("--who {unknown}: no such contender; perf compare --list names them"));
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
