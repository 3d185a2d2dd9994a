//! Who watches a filter at work: a canary that collects its log lines, a tool that prints a trace.
//!
//! In the running proxy nobody does, and then it costs a branch.

use std::sync::Mutex;
use std::time::Duration;

/// The level of a filter's own line (ABI, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 0.
    Trace,
    /// 1.
    Debug,
    /// 2.
    Info,
    /// 3.
    Warn,
    /// 4.
    Error,
    /// 5.
    Critical,
}

impl Level {
    /// All levels, by number.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical];

    /// The word in configuration and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One host call, as told to an observer.
#[derive(Clone, Debug)]
pub struct HostCall {
    /// `proxy_…` or the WASI name.
    pub name: &'static str,
    /// What it was about, for people.
    pub about: String,
    /// The status it answered.
    pub status: u32,
    /// Bytes handed over, in either direction.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
}

/// Watches a filter.
pub trait Observer: Send + Sync {
    /// The filter wrote a line.
    fn line(&self, level: Level, text: &str);

    /// A callback begins.
    fn begin(&self, _callback: &'static str, _about: &str) {}

    /// The callback has called the host.
    fn host_call(&self, _call: HostCall) {}

    /// The callback has returned, or trapped.
    fn end(&self, _callback: &'static str, _result: &str, _took: Duration) {}

    /// The VM died of it: the kind of failure, and what its log line says.
    fn died(&self, _reason: &'static str, _detail: &str) {}

    /// Whether host calls are to be told.
    fn traces(&self) -> bool {
        false
    }

    /// Whether callbacks are to be told.
    fn times(&self) -> bool {
        self.traces()
    }
}

/// Collects log lines: what a canary says is told to the operator.
#[derive(Default)]
pub struct Lines(Mutex<Vec<(Level, String)>>);

/// Lines a canary may say; the rest is dropped.
const LINES_MAX: usize = 100;

impl Lines {
    /// What was said.
    #[must_use]
    pub fn take(&self) -> Vec<(Level, String)> {
        self.0.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }
}

impl Observer for Lines {
    fn line(&self, level: Level, text: &str) {
        if let Ok(mut lines) = self.0.lock()
            && lines.len() < LINES_MAX
        {
            lines.push((level, text.to_owned()));
        }
    }
}
