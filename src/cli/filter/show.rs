//! How tools show what happened: two texts as a diff, a run as a trace.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::message::{decoded, lines_of};
use super::watch::Event;
use crate::filters::{HostCall, Status};

/// Lines of a body that are compared one by one; above that only its size is told.
const LINES_MAX: usize = 2000;

/// A line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Same(String),
    Out(String),
    In(String),
}

/// `after` against `before`, line by line.
pub(super) fn diff(before: &[String], after: &[String]) -> Vec<Line> {
    // Lengths of the longest common subsequences of all tails.
    let mut lengths = vec![vec![0_u32; after.len() + 1]; before.len() + 1];
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            lengths[i][j] =
                if old == new { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                lines.push(Line::Same(old.clone()));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old), new) if new.is_none() || lengths[i + 1][j] >= lengths[i][j + 1] => {
                lines.push(Line::Out(old.clone()));
                i += 1;
            }
            (_, Some(new)) => {
                lines.push(Line::In(new.clone()));
                j += 1;
            }
            (_, None) => break,
        }
    }
    lines
}

/// A body as lines: decoded, with what is not text escaped.
pub(super) fn body_lines(headers: &HeaderMap, body: &Bytes) -> Vec<String> {
    if body.is_empty() {
        return Vec::new();
    }
    let plain = decoded(headers, body);
    let text = match std::str::from_utf8(&plain) {
        Ok(text) => text.to_owned(),
        Err(_) => return vec![format!("({} bytes that are not text)", body.len())],
    };
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() > LINES_MAX { vec![format!("({} bytes, {} lines)", body.len(), lines.len())] } else { lines }
}

/// A head, a body and trailers as lines.
pub(super) fn message_lines(head: Vec<String>, headers: &HeaderMap, body: &Bytes, trailers: &HeaderMap) -> Vec<String> {
    let mut lines = head;
    let body = body_lines(headers, body);
    if !body.is_empty() {
        lines.push(String::new());
        lines.extend(body);
    }
    if !trailers.is_empty() {
        lines.push(String::new());
        lines.extend(lines_of(trailers).into_iter().map(|line| format!("(trailer) {line}")));
    }
    lines
}

/// Colours, for a terminal.
pub(super) struct Paint(bool);

impl Paint {
    /// If standard output is a terminal, and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A line of a diff; what is the same stands back.
    pub(super) fn line(&self, line: &Line) -> String {
        match line {
            Line::Same(text) => self.wrap("2", &format!("  {text}")),
            Line::Out(text) => self.wrap("31", &format!("- {text}")),
            Line::In(text) => self.wrap("32", &format!("+ {text}")),
        }
    }

    /// Good or bad.
    pub(super) fn verdict(&self, good: bool, text: &str) -> String {
        self.wrap(if good { "32" } else { "31" }, text)
    }
}

/// A time with three digits that count.
pub(super) fn time(took: Duration) -> String {
    let nanoseconds = took.as_nanos();
    let shown = |whole: u128, unit: &str| {
        #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
        let value = nanoseconds as f64 / whole as f64;
        if value < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
    };
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => shown(1_000, "µs"),
        1_000_000..1_000_000_000 => shown(1_000_000, "ms"),
        _ => shown(1_000_000_000, "s"),
    }
}

/// A number of bytes.
pub(super) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", of(1 << 10)),
        _ => format!("{:.1} MiB", of(1 << 20)),
    }
}

/// What happened, a callback after the other with its host calls.
pub(super) fn trace(events: &[Event]) -> String {
    let mut text = String::new();
    for (at, event) in events.iter().enumerate() {
        let _ = match event {
            Event::Begin(callback, arguments) => {
                let took = events[at..].iter().find_map(|event| match event {
                    Event::End(ended, _, took) if ended == callback => Some(time(*took)),
                    _ => None,
                });
                let head = format!("{} {}", short(callback), named(callback, arguments));
                writeln!(text, "{head:<66} {:>9}", took.unwrap_or_default())
            }
            Event::Call(call) => writeln!(text, "{}", told(call)),
            Event::End(callback, result, _) => writeln!(text, "  → {}", meaning(callback, result)),
            Event::Line(level, line) => writeln!(text, "  {}: {line}", level.word()),
            Event::Died(reason, detail) => writeln!(text, "  died ({reason}): {detail}"),
        };
    }
    text
}

fn told(call: &HostCall) -> String {
    let HostCall { name, about, status, bytes, took } = call;
    let head = format!("  {}({})", name.strip_prefix("proxy_").unwrap_or(name), cut(about));
    let bytes = if *bytes == 0 { String::new() } else { format!("{bytes} B") };
    format!("{head:<66} {:>9}  {:<12} {bytes}", time(*took), Status::name_of(*status)).trim_end().to_owned()
}

/// A token does not fill the screen, nor stand in a log of a build as a whole.
fn cut(about: &str) -> String {
    if about.chars().count() <= 100 {
        return about.to_owned();
    }
    about.chars().take(97).chain("…".chars()).collect()
}

/// A callback without what all have in common.
pub(super) fn short(callback: &str) -> &str {
    callback.strip_prefix("proxy_on_").unwrap_or(callback)
}

/// The arguments of a callback, `(2, 12, 1)`, with their names.
fn named(callback: &str, arguments: &str) -> String {
    let names: &[&str] = match short(callback) {
        "context_create" => &["ctx", "parent"],
        "vm_start" | "configure" => &["ctx", "bytes"],
        "request_headers" | "response_headers" => &["ctx", "n", "eos"],
        "request_body" | "response_body" => &["ctx", "bytes", "eos"],
        "request_trailers" | "response_trailers" => &["ctx", "n"],
        "http_call_response" => &["ctx", "call", "n", "bytes", "trailers"],
        "queue_ready" => &["ctx", "queue"],
        _ => &["ctx"],
    };
    let values = arguments.trim_matches(['(', ')', ',']).split(", ");
    let pairs = values.enumerate().map(|(at, value)| match names.get(at) {
        Some(name) => format!("{name}={value}"),
        None => value.to_owned(),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// What a callback answered, in words.
fn meaning<'a>(callback: &str, result: &'a str) -> &'a str {
    match (short(callback), result) {
        (_, "()") => "return",
        ("vm_start" | "configure" | "done", "0") => "false",
        ("vm_start" | "configure" | "done", "1") => "true",
        (_, "0") => "CONTINUE",
        (_, "1") => "PAUSE",
        (_, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_keeps_what_is_common() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let shown = |before: &str, after: &str| {
            let paint = Paint(false);
            diff(&lines(before), &lines(after)).iter().map(|line| paint.line(line)).collect::<Vec<_>>().join("|")
        };
        assert_eq!(shown("a b c", "a x c"), "  a|- b|+ x|  c");
        assert_eq!(shown("a", "b"), "- a|+ b");
        assert_eq!(shown("a b", "a b c d"), "  a|  b|+ c|+ d");
    }

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!([1, 2345, 65_432_100].map(|n| time(Duration::from_nanos(n))), ["1 ns", "2.35 µs", "65.4 ms"]);
        assert_eq!([12, 1536, 3 << 20].map(size), ["12 B", "1.5 KiB", "3.0 MiB"]);
    }
}
