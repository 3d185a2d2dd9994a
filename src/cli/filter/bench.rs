//! `lockgate filter bench`: what a filter costs, by callback and by exchange.
//!
//! Three filters of one module run the same exchange: one whose callbacks are timed, one whose host
//! calls are counted, one that nobody watches; only the last one's times count for the exchange.
//! Two modules take turns, so that a busy machine is busy for both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::Failure;
use super::chunks::Chunking;
use super::cost::{Clock, Counter, Spread};
use super::scripted::Script;
use super::show::{short, size, time};
use super::subject::{Given, GivenUpstreams, Subject};
use super::trial::{End, Exchange, Stage, Trial};

/// Exchanges before another module has its turn.
const TURN: usize = 100;

/// Instances that are started to know how long that takes.
const STARTS: usize = 50;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The module: a file, or builtin:NAME.
    #[arg(value_name = "FILE.wasm")]
    module: String,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    upstreams: GivenUpstreams,
    /// The client's request.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The backend's response; without it, an empty 200.
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// How bodies arrive: all, a number of bytes, random, random:MAX.
    #[arg(long, value_name = "HOW", default_value = "16384", value_parser = Chunking::parse)]
    chunks: Chunking,
    /// Exchanges to measure.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    requests: u32,
    /// Another module, set up the same way, to take turns with.
    #[arg(long, value_name = "OTHER.wasm")]
    compare: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One module under measurement.
struct Side {
    name: String,
    unwatched: Trial,
    timed: (Trial, Arc<Clock>),
    counted: (Trial, Arc<Counter>),
    exchanges: Vec<Duration>,
    starts: Vec<Duration>,
    memory: i64,
}

/// What was measured.
struct Measured {
    name: String,
    callbacks: BTreeMap<&'static str, Spread>,
    exchange: Spread,
    start: Spread,
    host_calls: f64,
    bytes: f64,
    memory: (i64, i64),
}

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        eprintln!("note: this lockgate was built without optimisation; its times say nothing about the proxy");
    }
    let exchange = super::run::read(&arguments.request, arguments.response.as_deref())?;
    let stage = Stage::new().map_err(Failure::Failed)?;
    let modules = [Some(&arguments.module), arguments.compare.as_ref()].into_iter().flatten();
    let (measured, bare) = stage.run(async {
        let mut sides = Vec::new();
        for module in modules {
            sides.push(Side::start(module, arguments)?);
        }
        measure(sides, &exchange, arguments).await
    })?;
    if arguments.json {
        let sides: Vec<_> = measured.iter().map(Measured::json).collect();
        let requests = arguments.requests;
        say!("{:#}", json!({"requests": requests, "without_filter": spread(&bare), "modules": sides}));
    } else {
        print(&measured, &bare);
    }
    Ok(())
}

/// Measures all sides, in turns, and what an exchange costs without a filter.
async fn measure(
    mut sides: Vec<Side>,
    exchange: &Exchange,
    arguments: &Arguments,
) -> Result<(Vec<Measured>, Spread), Failure> {
    let chunks = arguments.chunks;
    for side in &mut sides {
        // Touches every page and says what is wrong before anything is measured.
        for trial in [&side.unwatched, &side.timed.0, &side.counted.0] {
            if let End::Failed(code, _, why) = trial.exchange(exchange, chunks).await.end {
                return Err(Failure::Failed(format!("{}: {code}: {why}", side.name)));
            }
        }
        side.memory = side.unwatched.memory();
        side.timed.1.take();
        side.counted.1.take();
    }
    let requests = arguments.requests as usize;
    let mut bare = Vec::with_capacity(requests);
    let mut done = 0;
    while done < requests {
        let turn = TURN.min(requests - done);
        for side in &mut sides {
            for _ in 0..turn {
                let began = Instant::now();
                side.unwatched.exchange(exchange, chunks).await;
                side.exchanges.push(began.elapsed());
            }
            for _ in 0..turn {
                side.timed.0.exchange(exchange, chunks).await;
            }
        }
        if let Some(side) = sides.first() {
            for _ in 0..turn {
                let began = Instant::now();
                side.unwatched.unfiltered(exchange, chunks).await;
                bare.push(began.elapsed());
            }
        }
        done += turn;
    }
    let mut measured = Vec::new();
    for side in sides {
        measured.push(side.finish(exchange, chunks).await);
    }
    Ok((measured, Spread::of(bare)))
}

impl Side {
    fn start(module: &str, arguments: &Arguments) -> Result<Self, Failure> {
        let script = arguments.upstreams.script()?;
        let mut subject = Subject::read(module, &arguments.given, &script)?;
        subject.be_patient();
        let compiled = subject.compile().map_err(Failure::Failed)?;
        let start = |observer: Option<Arc<dyn crate::filters::Observer>>| {
            let script = Script { calls: Arc::default(), ..script.clone() };
            let told = |reason: String| Failure::Failed(format!("{module}: {reason}"));
            Trial::start(&compiled, subject.settings.clone(), (observer, script)).map_err(told)
        };
        let (clock, counter) = (Arc::new(Clock::default()), Arc::new(Counter::default()));
        let side = Self {
            name: module.to_owned(),
            unwatched: start(None)?,
            timed: (start(Some(clock.clone()))?, clock),
            counted: (start(Some(counter.clone()))?, counter),
            exchanges: Vec::new(),
            starts: Vec::new(),
            memory: 0,
        };
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let _ = side.unwatched.plugin.take_spare();
            starts.extend(side.unwatched.plugin.stock_one().map_err(Failure::Failed)?);
        }
        Ok(Self { starts, ..side })
    }

    async fn finish(self, exchange: &Exchange, chunks: Chunking) -> Measured {
        for _ in 0..TURN {
            self.counted.0.exchange(exchange, chunks).await;
        }
        let (calls, bytes) = self.counted.1.take();
        #[expect(clippy::cast_precision_loss, reason = "a mean of small numbers")]
        let mean = |sum: u64| sum as f64 / TURN as f64;
        let times = self.timed.1.take();
        Measured {
            name: self.name,
            callbacks: times.into_iter().map(|(name, times)| (short(name), Spread::of(times))).collect(),
            exchange: Spread::of(self.exchanges),
            start: Spread::of(self.starts),
            host_calls: mean(calls),
            bytes: mean(bytes),
            memory: (self.memory, self.unwatched.memory()),
        }
    }
}

fn spread(spread: &Spread) -> serde_json::Value {
    let nanoseconds = |took: Duration| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    json!({"count": spread.count, "p50_ns": nanoseconds(spread.p50), "p99_ns": nanoseconds(spread.p99)})
}

impl Measured {
    fn json(&self) -> serde_json::Value {
        json!({
            "module": self.name,
            "callbacks": self.callbacks.iter().map(|(name, times)| (*name, spread(times))).collect::<BTreeMap<_, _>>(),
            "exchange": spread(&self.exchange), "start": spread(&self.start),
            "host_calls": self.host_calls, "bytes": self.bytes,
            "memory_bytes": {"first": self.memory.0, "last": self.memory.1},
        })
    }
}

fn print(measured: &[Measured], bare: &Spread) {
    let line = |name: &str, spread: Option<&Spread>| {
        let Some(spread) = spread else { return };
        say!("{name:<24} {:>10} {:>10} {:>9}", time(spread.p50), time(spread.p99), spread.count);
    };
    for side in measured {
        say!("{:<24} {:>10} {:>10} {:>9}", side.name.rsplit('/').next().unwrap_or(&side.name), "p50", "p99", "times");
        for (name, times) in &side.callbacks {
            line(name, Some(times));
        }
        line("exchange", Some(&side.exchange));
        line("  without a filter", Some(bare));
        line("start of an instance", Some(&side.start));
        say!("{:<24} {:.1} an exchange, with {:.0} B", "host calls", side.host_calls, side.bytes);
        let bytes = |bytes: i64| size(u64::try_from(bytes).unwrap_or(0));
        let (first, last) = side.memory;
        say!("{:<24} {}, at the end {}\n", "memory", bytes(first), bytes(last));
    }
    let [one, other] = measured else { return };
    say!("the second against the first:");
    let ratio = |name: &str, one: &Spread, other: &Spread| {
        if !one.p50.is_zero() {
            say!("{name:<24} {:>10.2} ×", other.p50.as_secs_f64() / one.p50.as_secs_f64());
        }
    };
    for (name, times) in &one.callbacks {
        if let Some(others) = other.callbacks.get(name) {
            ratio(name, times, others);
        }
    }
    ratio("exchange", &one.exchange, &other.exchange);
    ratio("start of an instance", &one.start, &other.start);
}
