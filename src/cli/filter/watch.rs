//! What a tool sees of a filter at work: its lines, its callbacks and host calls, and how it died.

use std::sync::Mutex;
use std::time::Duration;

use crate::filters::{HostCall, Level, Observer};

/// Events kept of one run; a filter that does more is seen up to here.
const EVENTS_MAX: usize = 100_000;

/// Something a filter did.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A callback began: its name, its arguments.
    Begin(&'static str, String),
    /// It called the host.
    Call(HostCall),
    /// It returned, or trapped: its name, the result, the time.
    End(&'static str, String, Duration),
    /// It wrote a line.
    Line(Level, String),
    /// Its VM died: the kind, and everything known.
    Died(&'static str, String),
}

/// Keeps what happens.
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    /// Callbacks and host calls too.
    traces: bool,
}

impl Recorder {
    /// Everything.
    pub(super) fn tracing() -> Self {
        Self { events: Mutex::default(), traces: true }
    }

    /// Lines and deaths only.
    pub(super) fn quiet() -> Self {
        Self { events: Mutex::default(), traces: false }
    }

    /// What has happened since the last time.
    pub(super) fn take(&self) -> Vec<Event> {
        self.events.lock().map(|mut events| std::mem::take(&mut *events)).unwrap_or_default()
    }

    fn keep(&self, event: Event) {
        if let Ok(mut events) = self.events.lock()
            && events.len() < EVENTS_MAX
        {
            events.push(event);
        }
    }
}

impl Observer for Recorder {
    fn line(&self, level: Level, text: &str) {
        self.keep(Event::Line(level, text.to_owned()));
    }

    fn begin(&self, callback: &'static str, about: &str) {
        self.keep(Event::Begin(callback, about.to_owned()));
    }

    fn host_call(&self, call: HostCall) {
        self.keep(Event::Call(call));
    }

    fn end(&self, callback: &'static str, result: &str, took: Duration) {
        self.keep(Event::End(callback, result.to_owned(), took));
    }

    fn died(&self, reason: &'static str, detail: &str) {
        self.keep(Event::Died(reason, detail.to_owned()));
    }

    fn traces(&self) -> bool {
        self.traces
    }
}

/// The lines among `events`, as they are shown.
pub(super) fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::Line(level, text) => Some(format!("{}: {text}", level.word())),
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

/// How it died, if it did: the kind, and everything known.
pub(super) fn death(events: &[Event]) -> Option<(&'static str, &str)> {
    events.iter().find_map(|event| match event {
        Event::Died(reason, detail) => Some((*reason, &**detail)),
        _ => None,
    })
}

/// Whether it answered itself.
pub(super) fn replied(events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::Call(call) if call.name == "proxy_send_local_response" && call.status == 0))
}
