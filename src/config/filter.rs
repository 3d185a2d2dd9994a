//! The settings of one filter, `[filter.NAME]`: its code, what it is told, what it may do and use.
//!
//! Refuses by default what a filter could harm others with: calls out, shared data, protected
//! headers. What the settings do is done in the room of the filters.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use super::collection::{Entries, List};
use super::duration::{HOUR, Time};
use super::field::{Field, FieldOrPseudo};
use super::kind::{AnyText, Choice, Count, Switch, Unless};
use super::module_source::{Module, ModuleSource};
use super::payload::{Given, Payload};
use super::schema::{Section, settings};
use super::size::Size;
use super::upstream::{Service, Upstream};

/// What a request may find in the VM that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// One VM per worker, many streams: what a filter keeps in its globals, all of them see.
    Worker,
    /// A fresh VM for each stream.
    Stream,
}

/// How a filter sees a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// Not at all.
    None,
    /// Chunk by chunk, as it comes.
    Stream,
    /// As a whole, up to the limit of the buffer.
    Buffer,
    /// Chunk by chunk, without its content coding (RFC 9110, 8.4).
    Decoded,
}

/// What waits while a filter has paused at the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersPause {
    /// Everything: no callback of the body runs.
    Stop,
    /// The headers only: callbacks of the body run, the first that continues releases them.
    Hold,
}

/// How a filter sees header values that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderBytes {
    /// With U+FFFD in place of what is not UTF-8.
    Lossy,
    /// Not at all: the request is refused.
    Reject,
    /// As they are.
    Raw,
}

/// Severity of a filter's log line; the numbers are those of Proxy-Wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FilterLogLevel {
    /// `trace`.
    Trace = 0,
    /// `debug`.
    Debug = 1,
    /// `info`.
    Info = 2,
    /// `warn`.
    Warn = 3,
    /// `error`.
    Error = 4,
    /// `critical`.
    Critical = 5,
}

/// An identifier; no SDK has a limit, 255 bytes are a screen wide twice.
pub(super) const ROOT_ID: AnyText = AnyText { max: 255 };
/// `none`, `stream`, `buffer`, `decoded`, or `""` for "not said here".
pub(super) const BODY_MODE: Unless<Choice<BodyMode>> = Unless(
    "",
    Choice(&[
        ("none", BodyMode::None),
        ("stream", BodyMode::Stream),
        ("buffer", BodyMode::Buffer),
        ("decoded", BodyMode::Decoded),
    ]),
);
/// Up to all the memory that wasm32 can address.
pub(super) const MEMORY: Size = Size { min: 1 << 20, max: 4 << 30 };
/// A callback blocks its worker: below 1 ms the clock is noise, above 60 s nobody waits any more.
pub(super) const DEADLINE: Time = Time { min: Duration::from_millis(1), max: Duration::from_secs(60) };
/// Of a body kept in memory.
pub(super) const BODY_BUFFER: Size = Size { min: 1 << 10, max: 1 << 30 };
/// Names of fields in one list.
pub(super) const PROTECTED_HEADERS: List<FieldOrPseudo> = List { max: 64, of: FieldOrPseudo };

const ISOLATION: Choice<Isolation> = Choice(&[("worker", Isolation::Worker), ("stream", Isolation::Stream)]);
const HEADERS_PAUSE: Choice<HeadersPause> = Choice(&[("stop", HeadersPause::Stop), ("hold", HeadersPause::Hold)]);
const HEADER_BYTES: Choice<HeaderBytes> =
    Choice(&[("lossy", HeaderBytes::Lossy), ("reject", HeaderBytes::Reject), ("raw", HeaderBytes::Raw)]);
const LOG_LEVEL: Choice<FilterLogLevel> = Choice(&[
    ("trace", FilterLogLevel::Trace),
    ("debug", FilterLogLevel::Debug),
    ("info", FilterLogLevel::Info),
    ("warn", FilterLogLevel::Warn),
    ("error", FilterLogLevel::Error),
    ("critical", FilterLogLevel::Critical),
]);
/// Names of fields that concern a filter.
pub(super) const FIELDS: List<Field> = List { max: 64, of: Field };
const ENVIRONMENT: Entries<AnyText> = Entries { max: 64, not_in_key: "=", of: AnyText { max: 4096 } };
const UPSTREAMS: Entries<Service> = Entries { max: 64, not_in_key: "", of: Service };

settings! {
    /// A filter: a Proxy-Wasm module with its configuration, limits and capabilities.
    pub struct FilterSettings {
        /// The filter's code.
        required module: ModuleSource = ModuleSource::Builtin("header-rewrite".to_owned()), Module;
        /// What the filter reads as its plugin configuration; a table may also be written as [filter.NAME.configuration].
        optional configuration: Payload = Payload::default(), Given;
        /// What the filter reads as its VM configuration when it starts.
        optional vm_configuration: Payload = Payload::default(), Given;
        /// Which of the module's filters to run, where it has several; most have one, and "" is right.
        optional root_id: String = String::new(), ROOT_ID;
        /// Lets requests pass without the filter when it fails; false answers 503.
        optional fail_open: bool = false, Switch;
        /// "worker" runs one VM per worker for all requests, "stream" a fresh one for each, so that nothing is carried from
        /// one request to another, for 10 to 20 µs each (1 ms for Go).
        optional isolation: Isolation = Isolation::Worker, ISOLATION;
        /// How the filter sees bodies of requests: not at all, chunk by chunk, as a whole, or chunk by chunk and
        /// decompressed; "" means what filter.toml beside the module says, else "none".
        optional request_body: Option<BodyMode> = None, BODY_MODE;
        /// The same for bodies of responses.
        optional response_body: Option<BodyMode> = None, BODY_MODE;
        /// The filter may change how long a body is, so Content-Length is dropped; what filter.toml says counts as well.
        optional rewrites_body: bool = false, Switch;
        /// What waits while the filter has paused at the headers: "stop" is everything, "hold" the headers only, so that
        /// the filter can decide on them after it has seen the body.
        optional headers_pause: HeadersPause = HeadersPause::Stop, HEADERS_PAUSE;
        /// Header values that are not UTF-8, which kill filters written for text: "lossy" shows the filter U+FFFD and leaves
        /// what passes as it is, "reject" refuses the request, "raw" shows the bytes, as built-in filters see them anyway.
        optional header_bytes: HeaderBytes = HeaderBytes::Lossy, HEADER_BYTES;
        /// Calls the filter only for requests that carry one of these fields; [] means for every one.
        optional request_fields: Vec<HeaderName> = Vec::new(), FIELDS;
        /// Calls the filter only for responses that carry one of these fields; [] means for every one.
        optional response_fields: Vec<HeaderName> = Vec::new(), FIELDS;
        /// Environment variables that the filter sees; of Lockgate's own it sees none.
        optional environment: BTreeMap<String, String> = BTreeMap::new(), ENVIRONMENT;
        /// The services that the filter may call, by the names it calls them, and nothing else:
        /// { auth = "http://auth.corp:8080" }.
        optional upstreams: BTreeMap<String, Upstream> = BTreeMap::new(), UPSTREAMS;
        /// What the filter's own log lines must reach to be written; log.level applies to them as well.
        optional log_level: FilterLogLevel = FilterLogLevel::Info, LOG_LEVEL;
    }
    tables {
        /// What the filter may use; a limit reached is counted and named.
        limits: FilterLimits = FilterLimits::template(), in "limits";
        /// What the filter may do. A filter that needs more than it is granted is refused, or told so when it asks.
        capabilities: FilterCapabilities = FilterCapabilities::template(), in "capabilities";
    }
}

settings! {
    /// Limits of one filter.
    pub struct FilterLimits {
        /// Memory of one VM, of which there is one per worker and a spare; filters in Go take 13 MiB, the largest seen 62.
        optional memory: usize = 64 << 20, MEMORY;
        /// One callback about headers, trailers or a call's response, in time of the processor; most take microseconds, and
        /// nobody notices 20 ms.
        optional header_deadline: Duration = Duration::from_millis(20), DEADLINE;
        /// One callback about a piece of a body; 64 KiB in 50 ms are 1.3 MB/s, slow even for an interpreter.
        optional body_deadline: Duration = Duration::from_millis(50), DEADLINE;
        /// Start and configuration of a VM, off the workers; loading a large rule set takes a second.
        optional start_deadline: Duration = Duration::from_secs(5), DEADLINE;
        /// Bytes of one request's body that wait for the filter; larger than forms, smaller than uploads.
        optional request_buffer: usize = 1 << 20, BODY_BUFFER;
        /// Bytes of one response's body that wait for the filter; pages are larger than forms.
        optional response_buffer: usize = 4 << 20, BODY_BUFFER;
        /// Log lines per second, the rest is dropped and counted; more than a person can read.
        optional log_lines_per_second: usize = 100, Count { min: 0, max: 100_000 };
        /// Calls out under way for one request; one or two are usual, and 16 still fan out.
        optional http_calls_per_stream: usize = 16, Count { min: 0, max: 1024 };
        /// Calls out under way for all requests together; more would only queue at the service.
        optional http_calls: usize = 256, Count { min: 0, max: 65_536 };
        /// Bytes of the body of one call's response, kept as a whole; tokens and key sets are far smaller.
        optional http_call_response: usize = 1 << 20, BODY_BUFFER;
        /// The longest time that the filter may give a call; a person who waits longer has left.
        optional http_call_timeout: Duration = Duration::from_secs(30), Time::up_to(HOUR);
        /// Bytes of keys and values in the shared data; counters and small caches, not a database.
        optional shared_data: usize = 1 << 20, Size { min: 1 << 10, max: 1 << 30 };
        /// Keys in the shared data; 100 bytes each fill the default size.
        optional shared_data_keys: usize = 10_000, Count { min: 1, max: 1_000_000 };
        /// Items in each queue; seconds of work at the usual rates.
        optional queue_items: usize = 1_000, Count { min: 1, max: 1_000_000 };
        /// Metrics that the filter may define; more than a dashboard shows, too few to drown a scrape.
        optional metrics: usize = 1_000, Count { min: 0, max: 100_000 };
        /// Bytes of the headers of a response that the filter makes itself; the most that clients take.
        optional local_response_headers: usize = 64 << 10, Size { min: 1 << 10, max: 1 << 20 };
    }
}

settings! {
    /// What one filter may do besides reading and changing the messages that pass.
    pub struct FilterCapabilities {
        /// Reads and writes data that outlives a request and is shared between VMs.
        optional shared_data: bool = false, Switch;
        /// Makes queues and passes messages through them.
        optional queues: bool = false, Switch;
        /// Answers requests itself, in place of the app.
        optional local_response: bool = true, Switch;
        /// Protected headers that the filter may change all the same; credentials
        /// among them it may then see as well.
        optional protected_headers: Vec<String> = Vec::new(), PROTECTED_HEADERS;
        /// Calls Lockgate's own functions beyond Proxy-Wasm; all of them only compute.
        optional foreign_functions: bool = true, Switch;
    }
}

impl FilterSettings {
    /// A filter with the defaults of the file.
    #[must_use]
    pub fn new(module: ModuleSource) -> Self {
        Self { module, ..Self::template() }
    }

    /// Relative paths become relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let ModuleSource::File(file) = &mut self.module {
            *file = directory.join(&*file);
        }
    }
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self::template()
    }
}

impl Default for FilterCapabilities {
    fn default() -> Self {
        Self::template()
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_edge;
    use super::*;

    const APP: &str = "[[app]]\nname = \"a\"\nexternal_url = \"https://a.test/\"\ninternal_url = \"http://a.corp/\"\n";

    fn faults(text: &str) -> Vec<String> {
        let errors = parse_edge(Path::new("f"), text).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_filter_is_read() {
        let text = format!(
            "{APP}filters = [\"gate\", \"rewrite\"]\n[filter.rewrite]\nmodule = \"builtin:header-rewrite\"\n\
             configuration = '{{\"a\": 1}}'\n[filter.gate]\nmodule = \"gate.wasm\"\nfail_open = true\n\
             isolation = \"stream\"\nresponse_body = \"decoded\"\nrequest_fields = [\"X-Api-Key\"]\n\
             environment = {{ LEVEL = \"1\" }}\nupstreams = {{ \"auth|80\" = \"http://auth.corp:8080\" }}\nlog_level = \"warn\"\n\
             limits = {{ memory = \"4GiB\", header_deadline = \"1ms\" }}\ncapabilities.protected_headers = [\"Authorization\"]\n\
             [filter.gate.configuration]\nrules = [{{ path = \"/b\", allow = false }}]\nfirst = 1\n[filter.gate.configuration.more]\nx = 1.5\n"
        );
        let config = parse_edge(Path::new("/etc/lockgate/l.toml"), &text).unwrap();
        assert_eq!(config.apps[0].filters, ["gate", "rewrite"]);
        let expected = FilterSettings {
            configuration: Payload::from(br#"{"a": 1}"#.to_vec()),
            ..FilterSettings::new(ModuleSource::Builtin("header-rewrite".to_owned()))
        };
        assert_eq!(config.filters["rewrite"], expected);
        let gate = &config.filters["gate"];
        let json = r#"{"rules":[{"path":"/b","allow":false}],"first":1,"more":{"x":1.5}}"#;
        assert_eq!(std::str::from_utf8(gate.configuration.as_bytes()), Ok(json));
        let auth = Upstream { https: false, host: "auth.corp".to_owned(), port: 8080 };
        let expected = FilterSettings {
            configuration: gate.configuration.clone(),
            fail_open: true,
            isolation: Isolation::Stream,
            response_body: Some(BodyMode::Decoded),
            request_fields: vec![HeaderName::from_static("x-api-key")],
            environment: BTreeMap::from([("LEVEL".to_owned(), "1".to_owned())]),
            upstreams: BTreeMap::from([("auth|80".to_owned(), auth)]),
            log_level: FilterLogLevel::Warn,
            limits: FilterLimits {
                memory: 4 << 30,
                header_deadline: Duration::from_millis(1),
                ..FilterLimits::default()
            },
            capabilities: FilterCapabilities {
                protected_headers: vec!["authorization".to_owned()],
                ..FilterCapabilities::default()
            },
            ..FilterSettings::new(ModuleSource::File("/etc/lockgate/gate.wasm".into()))
        };
        assert_eq!(*gate, expected);
    }

    #[test]
    fn each_fault_is_told_with_its_place() {
        let module = "module = \"a.wasm\"";
        for (text, expected) in [
            (
                "[filter.a]",
                "f:1:1: filter.a.module: required setting is missing; write for example module = \"builtin:header-rewrite\"",
            ),
            (
                "[filter.a]\nmodule = \"builtin:websockt\"",
                "f:2:10: filter.a.module: \"builtin:websockt\" is not a builtin filter; allowed is a .wasm file, relative to this file or absolute, or one of \"builtin:header-translation\", \"builtin:header-rewrite\", \"builtin:link-translation\", \"builtin:websocket\"; did you mean \"builtin:websocket\"?",
            ),
            (
                &format!("[filter.A]\n{module}"),
                "f:1:9: filter.A: \"A\" is not a valid name; allowed is a name of 1 to 63 of the characters a-z, 0-9 and -",
            ),
            (
                &format!("[[filter]]\n{module}"),
                "f:1:1: filter: each has a name: write [filter.NAME] instead of [[filter]]",
            ),
            (&format!("[filter]\n{module}"), "f:2:10: filter.module: expected a table, [filter.NAME], found a string"),
            ("filter = 3", "f:1:10: filter: expected tables, [filter.NAME], found an integer"),
            (&format!("{module}\n"), "f:1:1: module: unknown setting here; it belongs in [filter.NAME]"),
            (
                &format!("[filter.a]\n{module}\nmemory = 1"),
                "f:3:1: filter.a.memory: unknown setting here; it belongs in [filter.NAME.limits]",
            ),
            (
                &format!("[filter.a]\n{module}\n[filter.a.limit]"),
                "f:3:11: filter.a.limit: unknown setting; did you mean \"limits\"?",
            ),
            (
                &format!("[filter.a]\n{module}\nupstreams = {{ b = \"http://c/d/\" }}"),
                "f:3:19: filter.a.upstreams.b: a path is not part of it: the filter says which",
            ),
            (
                &format!("[filter.a]\n{module}\nrequest_fields = [\"a\", \"b c\"]"),
                "f:3:24: filter.a.request_fields[1]: \"b c\" is not the name of a field (RFC 9110)",
            ),
            (
                &format!("[filter.a]\n{module}\n[filter.a.configuration]\nx = [nan]"),
                "f:4:6: filter.a.configuration.x[0]: nan cannot be said in JSON; write it as a text",
            ),
            (
                &format!("[filter.a]\n{module}\nlimits.http_calls = 8"),
                "f:3:21: filter.a.limits.http_calls: http_calls_per_stream exceeds http_calls, of which it is a part",
            ),
        ] {
            assert_eq!(faults(text), [expected], "{text}");
        }
    }

    #[test]
    fn a_chain_names_filters_that_are_there_once() {
        let filter = "[filter.gate]\nmodule = \"a.wasm\"\n";
        for (chain, expected) in [
            (
                "[\"gate\", \"gaet\"]",
                "f:5:20: app[0].filters[1]: there is no filter \"gaet\", no [filter.gaet] in this file; did you mean \"gate\"?",
            ),
            ("[\"gate\", \"gate\"]", "f:5:20: app[0].filters[1]: \"gate\" is already in the list"),
            (
                "[\"Gate\"]",
                "f:5:12: app[0].filters[0]: \"Gate\" is not a valid name; allowed is a name of 1 to 63 of the characters a-z, 0-9 and -",
            ),
            (
                "\"gate\"",
                "f:5:11: app[0].filters: expected a list of at most 16, each a name of 1 to 63 of the characters a-z, 0-9 and -, found a string",
            ),
        ] {
            assert_eq!(faults(&format!("{APP}filters = {chain}\n{filter}")), [expected], "{chain}");
        }
        let long: Vec<_> = (0..17).map(|number| format!("\"f{number}\"")).collect();
        let long = faults(&format!("{APP}filters = [{}]\n", long.join(",")));
        assert!(matches!(&long[..], [fault] if fault.contains("17 entries")), "{long:?}");
        let bad = faults(&format!("{APP}filters = [\"gate\"]\n[filter]\ngate = 1\n"));
        assert_eq!(bad, ["f:7:8: filter.gate: expected a table, [filter.NAME], found an integer"], "told once");
    }
}
