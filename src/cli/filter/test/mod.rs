//! `lockgate filter test`: cases of YAML files in the real host, each under every chunking.
//!
//! ```text
//!   FILE.yaml ─▶ Case ─▶ one filter per chunking ─▶ Outcome ─┬▶ as expected?
//!                                                            └▶ the same for every chunking?
//!   the module ─▶ odd messages, ten thousand requests ─▶ still alive, no larger?
//! ```
//!
//! A case never sees what another has left in the filter. Deadlines are ten times those of the
//! settings: a test must not fail because the machine is busy.

mod case;
mod checks;
mod expect;
mod find;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::super::Failure;
use super::chunks::Chunking;
use super::scripted::Script;
use super::show::{Paint, time};
use super::subject::{Given, Subject, grant};
use super::trial::{Exchange, Stage, Trial};
use super::watch::{Recorder, death, lines};
use crate::filters::{Module, Settings};
use case::Case;
use expect::Essence;

/// Log lines shown of a failure.
const LINES_SHOWN: usize = 5;

#[derive(clap::Args)]
#[command(after_help = FORMAT)]
pub(in crate::cli) struct Arguments {
    /// Files with cases, or directories whose `tests` is searched for .yaml files, or they themselves if there is none.
    #[arg(value_name = "DIR|FILE.yaml", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The module, for all cases; else `module:` in the case, or what was built beside the filter.toml.
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<String>,
    /// The operator's table, as in lockgate.toml; without it, the filter is granted what it asks for.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Run the cases with this in their name only.
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Leave out the ten thousand requests that show whether memory grows.
    #[arg(long)]
    quick: bool,
}

const FORMAT: &str = r#"A case:
  - name: rewrites links whatever the chunking
    config: { text: Staging }             # or a text, or config_file: config.json
    request: { method: GET, path: /, headers: { host: a.example, x-name: "caf\xe9" }, body: "…" }
    response: { status: 200, headers: { content-type: text/html, content-encoding: gzip }, body_file: page.html }
    upstreams: { auth: { status: 200, body: "…" }, slow: { timeout: true } }
    chunk_sizes: [all, 1, 7, 16384, random:64]     # the default
    repeat: 3                             # so many times in one filter; the last is judged
    varies: [x-request-id]                # fields that may differ between chunkings
    expect:
      request_headers: { x-user: alice, authorization: null, ":path": /new }     # null: absent
      request_body: "…"
      status: 200
      response_headers: { content-length: null }
      body: "…"                           # or body_contains, body_lacks: a text or a list
      # in place of these: local_response: { status: 401, headers: {…}, body: "…" }, or failed: filter-failed

Bodies are written and compared without their content coding. Always checked: nothing traps or exceeds its deadline,
every chunking has the same result, odd messages (not UTF-8, no body, HEAD, 304, trailers) do no harm, and memory is
no larger after 10,000 requests than after 1,000."#;

/// What goes into a filter, and what its upstreams answer.
type Input = (Exchange, Script);

/// A filter with the configuration of one case.
struct Prepared<'a> {
    module: &'a Arc<Module>,
    settings: Settings,
}

impl Prepared<'_> {
    fn start(&self, recorder: &Arc<Recorder>, script: Script) -> Result<Trial, String> {
        Trial::start(self.module, self.settings.clone(), (Some(recorder.clone()), script))
    }
}

/// What is counted and shown.
struct Tally {
    paint: Paint,
    passed: usize,
    failed: usize,
}

impl Tally {
    fn pass(&mut self, name: &str, detail: &str) {
        self.passed += 1;
        say!("  {}  {name}  {detail}", self.paint.verdict(true, "ok  "));
    }

    fn fail(&mut self, name: &str, details: &[String]) {
        self.failed += 1;
        say!("  {}  {name}", self.paint.verdict(false, "FAIL"));
        for detail in details {
            say!("        {}", detail.replace('\n', "\n        "));
        }
    }
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = find::cases(&arguments.paths).map_err(Failure::Failed)?;
    let stage = Stage::new().map_err(Failure::Failed)?;
    let mut tally = Tally { paint: Paint::new(), passed: 0, failed: 0 };
    for file in &files {
        let mut cases = case::read(file).map_err(Failure::Failed)?;
        if let Some(part) = &arguments.case {
            cases.retain(|case| case.name.contains(part));
        }
        let mut groups: Vec<(String, Vec<Case>)> = Vec::new();
        for case in cases {
            let module = module_of(&case, file, arguments)?;
            match groups.iter_mut().find(|(of, _)| *of == module) {
                Some((_, group)) => group.push(case),
                None => groups.push((module, vec![case])),
            }
        }
        for (module, cases) in groups {
            say!("{} ({module})", file.display());
            let subject = subject(&module, file, arguments)?;
            let compiled = subject.compile().map_err(Failure::Failed)?;
            stage.run(run_all(&subject, &compiled, &cases, arguments.quick, &mut tally));
        }
    }
    let Tally { passed, failed, .. } = tally;
    match (passed, failed) {
        (0, 0) => Err(Failure::Failed("no case was run".into())),
        (_, 0) => {
            say!("{passed} passed");
            Ok(())
        }
        _ => Err(Failure::Failed(format!("{passed} passed, {failed} failed"))),
    }
}

fn module_of(case: &Case, file: &std::path::Path, arguments: &Arguments) -> Result<String, Failure> {
    if let Some(module) = &arguments.module {
        return Ok(module.clone());
    }
    let found = match &case.module {
        Some(module) if module.to_string_lossy().starts_with("builtin:") => module.clone(),
        Some(module) => case.directory.join(module),
        None => {
            let project = find::project(file);
            let directory = project.file_name().map(|name| name.to_string_lossy().into_owned());
            let manifest = std::fs::read_to_string(project.join("filter.toml")).unwrap_or_default();
            let named = crate::config::parse_manifest(&project.join("filter.toml"), &manifest).ok();
            let name = named.map(|manifest| manifest.name).or(directory).unwrap_or_default();
            find::module(&project, &name).map_err(Failure::Failed)?
        }
    };
    Ok(found.display().to_string())
}

fn subject(module: &str, file: &std::path::Path, arguments: &Arguments) -> Result<Subject, Failure> {
    let manifest = Some(find::project(file).join("filter.toml")).filter(|manifest| manifest.exists());
    let given = Given { config: None, settings: arguments.settings.clone(), manifest };
    let mut subject = Subject::read(module, &given, &Script::default())?;
    subject.be_patient();
    Ok(subject)
}

async fn run_all(subject: &Subject, module: &Arc<Module>, cases: &[Case], quick: bool, tally: &mut Tally) {
    let mut tried: Option<(Prepared<'_>, Vec<Input>)> = None;
    for case in cases {
        let began = Instant::now();
        let (prepared, exchange, chunkings) = match prepare(subject, module, case) {
            Ok(prepared) => prepared,
            Err(fault) => {
                tally.fail(&case.name, &[fault]);
                continue;
            }
        };
        let details = judge(&prepared, case, &exchange, &chunkings).await;
        if details.is_empty() {
            let many = if chunkings.len() == 1 { String::new() } else { format!("{} chunkings, ", chunkings.len()) };
            tally.pass(&case.name, &format!("({many}{})", time(began.elapsed())));
        } else {
            tally.fail(&case.name, &details);
        }
        match &mut tried {
            None => tried = Some((prepared, vec![exchange])),
            // The check of many requests needs one configuration.
            Some((first, exchanges)) if first.settings == prepared.settings => exchanges.push(exchange),
            Some(_) => {}
        }
    }
    let Some((prepared, exchanges)) = tried else { return };
    let faults = checks::stands_odd(&prepared).await;
    if faults.is_empty() {
        tally.pass("always: odd messages", &format!("({})", checks::odd().len()));
    }
    for (name, why) in faults {
        tally.fail(&format!("always: {name}"), &[why]);
    }
    if !quick {
        match checks::stands_many(&prepared, &exchanges).await {
            Ok(found) => tally.pass("always: bounded memory", &format!("({found})")),
            Err(why) => tally.fail("always: bounded memory", &[why]),
        }
    }
}

/// What a case needs: its filter, its messages, how they are cut.
fn prepare<'a>(
    subject: &Subject,
    module: &'a Arc<Module>,
    case: &Case,
) -> Result<(Prepared<'a>, Input, Vec<Chunking>), String> {
    let mut settings = subject.settings.clone();
    settings.configuration = case.configuration()?;
    let (exchange, script) = (case.exchange()?, case.script()?);
    if !subject.granted {
        grant(&mut settings, &subject.manifest, &script);
    }
    let mut chunkings = case.chunkings()?;
    if exchange.request.body.len() <= 1 && exchange.response.body.len() <= 1 {
        // There is nothing to cut.
        chunkings.truncate(1);
    }
    Ok((Prepared { module, settings }, (exchange, script), chunkings))
}

/// Runs a case under every chunking; what is wrong with the first that fails.
async fn judge(
    prepared: &Prepared<'_>,
    case: &Case,
    (exchange, script): &Input,
    chunkings: &[Chunking],
) -> Vec<String> {
    let mut first: Option<(Chunking, Essence)> = None;
    for &chunking in chunkings {
        let recorder = Arc::new(Recorder::tracing());
        let trial = match prepared.start(&recorder, Script { calls: Arc::default(), ..script.clone() }) {
            Ok(trial) => trial,
            Err(reason) => return vec!["it does not start".to_owned(), reason],
        };
        let mut outcome = trial.exchange(exchange, chunking).await;
        for _ in 1..case.repeat {
            outcome = trial.exchange(exchange, chunking).await;
        }
        // The end of its context is part of it.
        drop(trial);
        let events = recorder.take();
        let mut differences = case.expect.differences(&outcome, &events);
        if let Some((_, detail)) = death(&events)
            && case.expect.failed.is_none()
        {
            differences.push(detail.to_owned());
        }
        let essence = Essence::of(&outcome, &case.varies);
        match &first {
            None => first = Some((chunking, essence)),
            Some((other, before)) => {
                let differ = before.differences(&essence);
                differences.extend(differ.iter().map(|line| format!("not the same as with chunks {other}: {line}")));
            }
        }
        if !differences.is_empty() {
            differences.insert(0, format!("with chunks: {chunking}"));
            let said = lines(&events);
            let from = said.len().saturating_sub(LINES_SHOWN);
            differences.extend(said[from..].iter().map(|line| format!("it said {line}")));
            return differences;
        }
    }
    Vec::new()
}
