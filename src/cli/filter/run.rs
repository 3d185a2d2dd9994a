//! `lockgate filter run`: one exchange through a filter, and what it made of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::Failure;
use super::chunks::Chunking;
use super::envoy;
use super::message::{RequestText, ResponseText, decoded, text_of};
use super::show::{Line, Paint, diff, message_lines, trace};
use super::subject::{Given, GivenUpstreams, Subject};
use super::trial::{End, Exchange, Outcome, Stage, Trial};
use super::watch::{Event, Recorder, death, lines, replied};
use crate::filters::Status;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The module: a file, or builtin:NAME.
    #[arg(value_name = "FILE.wasm")]
    module: String,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    upstreams: GivenUpstreams,
    /// The client's request: a start line, fields, an empty line, the body.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The backend's response; without it, an empty 200.
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// How bodies arrive: all, a number of bytes, random, random:MAX.
    #[arg(long, value_name = "HOW", default_value = "all", value_parser = Chunking::parse)]
    chunks: Chunking,
    /// Print every callback and host call, with status, bytes and time.
    #[arg(long)]
    trace: bool,
    /// Run the same in another proxy as well, and print where the two differ; exit code 1 if they do.
    #[arg(long, value_name = "PROXY", value_parser = ["envoy"], conflicts_with = "json")]
    against: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let envoy = arguments.against.as_ref().map(|_| envoy::found()).transpose().map_err(Failure::Failed)?;
    let script = arguments.upstreams.script()?;
    let subject = Subject::read(&arguments.module, &arguments.given, &script)?;
    let exchange = read(&arguments.request, arguments.response.as_deref())?;
    let module = subject.compile().map_err(Failure::Failed)?;
    let recorder = Arc::new(Recorder::tracing());
    let stage = Stage::new().map_err(Failure::Failed)?;
    let ran = stage.run(async {
        let watched = (Some(recorder.clone() as Arc<_>), script.clone());
        let trial = Trial::start(&module, subject.settings.clone(), watched)?;
        let started = recorder.take();
        let outcome = trial.exchange(&exchange, arguments.chunks).await;
        Ok((trial.notes.clone(), started, outcome))
    });
    let (notes, started, outcome) =
        ran.map_err(|reason: String| Failure::Failed(format!("{}: {reason}", subject.origin)))?;
    let ran = Ran { notes, started, events: recorder.take(), outcome };
    if arguments.json {
        say!("{:#}", ran.json());
    } else {
        ran.print(&exchange, arguments);
    }
    if let Some(envoy) = envoy {
        let asked = (&exchange, &script);
        let same = envoy::compare(&envoy, &subject, asked, &ran.outcome).map_err(Failure::Failed)?;
        return if same { Ok(()) } else { Err(Failure::Failed("Envoy's result is another".into())) };
    }
    match &ran.outcome.end {
        End::Failed(code, _, why) => Err(Failure::Failed(format!("{code}: {}", ran.reason(why)))),
        End::Response(_) | End::Reply(_) => Ok(()),
    }
}

/// Reads the messages of an exchange.
pub(super) fn read(request: &Path, response: Option<&Path>) -> Result<Exchange, Failure> {
    let text =
        |file: &Path| std::fs::read(file).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())));
    let told = |file: &Path, error: String| Failure::Failed(format!("{}: {error}", file.display()));
    let asked = RequestText::parse(&text(request)?).map_err(|error| told(request, error))?;
    let response = match response {
        Some(file) => ResponseText::parse(&text(file)?).map_err(|error| told(file, error))?,
        None => ResponseText::default(),
    };
    Ok(Exchange { request: asked, response })
}

struct Ran {
    notes: Vec<String>,
    started: Vec<Event>,
    events: Vec<Event>,
    outcome: Outcome,
}

impl Ran {
    /// Why it failed, with what is known of the death of its VM.
    fn reason<'a>(&'a self, why: &'a str) -> &'a str {
        death(&self.events).map_or(why, |(_, detail)| detail)
    }

    fn print(&self, exchange: &Exchange, arguments: &Arguments) {
        let paint = Paint::new();
        for note in &self.notes {
            eprintln!("note: {note}");
        }
        if arguments.trace {
            say!("# start\n{}", trace(&self.started));
            say!("# exchange\n{}", trace(&self.events));
        } else {
            for line in lines(&self.started).iter().chain(&lines(&self.events)) {
                eprintln!("it said {line}");
            }
        }
        let before = request_lines(&exchange.request);
        match &self.outcome.request {
            Some(request) => section(&paint, "request to the backend", &before, &request_lines(request)),
            None => say!("# request: the backend is not asked"),
        }
        match &self.outcome.end {
            End::Response(response) => {
                let invented = if arguments.response.is_none() { " (to an empty 200, which was invented)" } else { "" };
                let by = if replied(&self.events) { ", replaced by the filter's own" } else { "" };
                let head = format!("response to the client{invented}{by}");
                section(&paint, &head, &response_lines(&exchange.response), &response_lines(response));
            }
            End::Reply(reply) => section(&paint, "local response to the client", &[], &response_lines(reply)),
            End::Failed(code, status, _) => say!("# {}", paint.verdict(false, &format!("failed: {status} ({code})"))),
        }
    }

    fn json(&self) -> Value {
        let request = self.outcome.request.as_ref().map(|request| {
            json!({
                "method": request.method.as_str(), "path": request.path.as_str(),
                "authority": text_of(&request.authority), "headers": pairs(&request.headers),
                "body": String::from_utf8_lossy(&decoded(&request.headers, &request.body)),
                "trailers": pairs(&request.trailers),
            })
        });
        let response = |response: &ResponseText| {
            json!({
                "status": response.status.as_u16(), "headers": pairs(&response.headers),
                "body": String::from_utf8_lossy(&decoded(&response.headers, &response.body)),
                "trailers": pairs(&response.trailers),
            })
        };
        let mut told = json!({
            "request": request, "notes": self.notes, "log": lines(&self.events),
            "trace": self.events.iter().filter_map(event).collect::<Vec<_>>(),
        });
        let (key, value) = match &self.outcome.end {
            End::Response(found) => ("response", response(found)),
            End::Reply(found) => ("local_response", response(found)),
            End::Failed(code, status, why) => {
                ("failed", json!({"code": code, "status": status.as_u16(), "reason": self.reason(why)}))
            }
        };
        told[key] = value;
        told
    }
}

fn pairs(headers: &http::HeaderMap) -> Vec<[String; 2]> {
    headers.iter().map(|(name, value)| [name.to_string(), text_of(value)]).collect()
}

fn event(event: &Event) -> Option<Value> {
    let nanoseconds = |took: &std::time::Duration| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Some(match event {
        Event::Begin(callback, arguments) => json!({"callback": callback, "arguments": arguments}),
        Event::Call(call) => json!({
            "call": call.name, "about": call.about, "status": Status::name_of(call.status), "bytes": call.bytes,
            "ns": nanoseconds(&call.took),
        }),
        Event::End(callback, result, took) => json!({"returned": callback, "result": result, "ns": nanoseconds(took)}),
        Event::Died(reason, detail) => json!({"died": reason, "detail": detail}),
        Event::Line(..) => return None,
    })
}

pub(super) fn request_lines(request: &RequestText) -> Vec<String> {
    message_lines(request.head(), &request.headers, &request.body, &request.trailers)
}

pub(super) fn response_lines(response: &ResponseText) -> Vec<String> {
    message_lines(response.head(), &response.headers, &response.body, &response.trailers)
}

fn section(paint: &Paint, title: &str, before: &[String], after: &[String]) {
    let lines = diff(before, after);
    let unchanged = lines.iter().all(|line| matches!(line, Line::Same(_)));
    say!("# {title}{}", if unchanged { ": unchanged" } else { "" });
    for line in &lines {
        say!("{}", paint.line(line));
    }
}
