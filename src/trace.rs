//! Logs: `tracing` for events, and one access line for each request.
//!
//! ```text
//!   worker: line ─▶ its buffer ──32 KiB or 200 ms──▶ one writer thread ─▶ standard output
//! ```
//!
//! Access lines do not pass through `tracing`: a lock and an allocation per field on the hot path
//! buy nothing there. When the writer cannot keep up, lines are dropped and counted; a request
//! never waits for a log. Everything a client sent is escaped, so that no line can be forged.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use prometheus::IntCounter;
use time::OffsetDateTime;
use tracing_subscriber::EnvFilter;

/// Filled buffers waiting for the writer: 256 × 32 KiB = 8 MiB.
const BUFFERS: usize = 256;
/// A worker's buffer is handed over at this size …
const BUFFER_BYTES: usize = 32 * 1024;
/// … or at this age.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Human on a terminal, JSON otherwise.
    #[must_use]
    pub fn automatic() -> Self {
        if std::io::stdout().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Sets up `tracing` for the process; called once, by `main`'s role. Events go to standard error.
pub fn start(format: Format, level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        Format::Human => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Where access lines go; shared by all workers.
#[derive(Clone)]
pub struct AccessSink {
    format: Format,
    full: SyncSender<Vec<u8>>,
    dropped: IntCounter,
}

impl AccessSink {
    /// Starts the writer thread; it ends with the last sink.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(format: Format, dropped: IntCounter) -> std::io::Result<Self> {
        let (full, waiting) = sync_channel::<Vec<u8>>(BUFFERS);
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            let mut output = std::io::stdout();
            for lines in waiting {
                // A closed or full output must not stop the proxy.
                let _ = output.write_all(&lines).and_then(|()| output.flush());
            }
        })?;
        Ok(Self { format, full, dropped })
    }
}

/// One worker's half of the access log.
pub struct AccessLog {
    sink: AccessSink,
    lines: RefCell<Vec<u8>>,
}

/// What is said about one request. Times are in seconds.
pub struct Line<'a> {
    /// The app's name; empty when no app was found.
    pub app: &'a str,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// `HTTP/1.1` …
    pub version: &'a str,
    /// The status sent.
    pub status: u16,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Until the response head.
    pub first_byte: f64,
    /// Until the last byte.
    pub total: f64,
    /// The connector's name; empty for a local app.
    pub connector: &'a str,
    /// The request id.
    pub id: &'a str,
    /// Who broke and why, in full; the client saw less.
    pub fault: Option<(&'static str, &'static str, &'a str)>,
}

impl AccessLog {
    /// A worker's half; a task of this worker hands its lines over in time.
    #[must_use]
    pub fn start(sink: AccessSink) -> Rc<Self> {
        let log = Rc::new(Self { sink, lines: RefCell::default() });
        let weak = Rc::downgrade(&log);
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(FLUSH_INTERVAL);
            loop {
                tick.tick().await;
                let Some(log) = weak.upgrade() else { return };
                log.flush();
            }
        });
        log
    }

    /// Adds a line.
    pub fn write(&self, line: &Line<'_>) {
        let mut lines = self.lines.borrow_mut();
        let mut text = String::with_capacity(320);
        match self.sink.format {
            Format::Json => json(&mut text, line),
            Format::Human => human(&mut text, line),
        }
        lines.extend_from_slice(text.as_bytes());
        let full = lines.len() >= BUFFER_BYTES;
        drop(lines);
        if full {
            self.flush();
        }
    }

    fn flush(&self) {
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        if lines.is_empty() {
            return;
        }
        if let Err(refused) = self.sink.full.try_send(lines) {
            let (std::sync::mpsc::TrySendError::Full(lines) | std::sync::mpsc::TrySendError::Disconnected(lines)) =
                refused;
            let count = memchr::memchr_iter(b'\n', &lines).count();
            self.sink.dropped.inc_by(count as u64);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn json(text: &mut String, line: &Line<'_>) {
    let _ =
        write!(text, "{{\"time\":\"{}\",\"kind\":\"access\",\"id\":\"{}\",\"app\":\"{}\"", now(), line.id, line.app);
    let _ = write!(text, ",\"client\":\"{}\",\"method\":\"", line.client);
    escape(text, line.method);
    text.push_str("\",\"host\":\"");
    escape(text, line.host);
    text.push_str("\",\"target\":\"");
    escape(text, line.target);
    let _ = write!(
        text,
        "\",\"version\":\"{}\",\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"first_byte\":{:.6},\"total\":{:.6}",
        line.version, line.status, line.bytes_in, line.bytes_out, line.first_byte, line.total
    );
    text.push_str(",\"connector\":\"");
    escape(text, line.connector);
    text.push('"');
    if let Some((side, reason, detail)) = line.fault {
        let _ = write!(text, ",\"side\":\"{side}\",\"reason\":\"{reason}\",\"detail\":\"");
        escape(text, detail);
        text.push('"');
    }
    text.push_str("}\n");
}

fn human(text: &mut String, line: &Line<'_>) {
    let _ = write!(text, "{} {} ", now(), line.status);
    escape(text, line.method);
    text.push(' ');
    escape(text, line.host);
    escape(text, line.target);
    let _ = write!(
        text,
        " {} {:.1}ms {}B app={} via={} client={} id={}",
        line.version,
        line.total * 1000.0,
        line.bytes_out,
        if line.app.is_empty() { "-" } else { line.app },
        if line.connector.is_empty() { "-" } else { line.connector },
        line.client,
        line.id
    );
    if let Some((side, reason, detail)) = line.fault {
        let _ = write!(text, " {side} broke: {reason}: ");
        escape(text, detail);
    }
    text.push('\n');
}

/// JSON string escaping (RFC 8259, 7); also everything a terminal might obey.
fn escape(text: &mut String, raw: &str) {
    for character in raw.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            character if character.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            character => text.push(character),
        }
    }
}

/// RFC 3339 with milliseconds, in UTC.
fn now() -> impl std::fmt::Display {
    let now = OffsetDateTime::now_utc();
    Timestamp(now)
}

struct Timestamp(OffsetDateTime);

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_cannot_forge_a_line() {
        let line = Line {
            app: "a",
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            method: "GET",
            host: "h\r\n",
            target: "/\"\u{1b}[31m\\",
            version: "HTTP/1.1",
            status: 200,
            bytes_in: 0,
            bytes_out: 5,
            first_byte: 0.001,
            total: 0.002,
            connector: "c",
            id: "0",
            fault: Some(("backend", "refused", "x\ny")),
        };
        let mut text = String::new();
        json(&mut text, &line);
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(parsed["target"], "/\"\u{1b}[31m\\");
        assert_eq!(parsed["detail"], "x\ny");
        assert_eq!(text.matches('\n').count(), 1);
        text.clear();
        human(&mut text, &line);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
    }
}
