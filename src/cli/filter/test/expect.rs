//! Whether what came out of a filter is what was expected; every difference, a line each.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::super::message::{RequestText, ResponseText, decoded, text_of};
use super::super::trial::{End, Outcome};
use super::super::watch::{Event, lines};
use super::case::{Answered, Expect, Fields, OneOrMore, plain, value_bytes};

/// Bytes of a body that a difference shows.
const SHOWN: usize = 400;

impl Expect {
    /// What is not as expected.
    pub(super) fn differences(&self, outcome: &Outcome, events: &[Event]) -> Vec<String> {
        let mut differences = Vec::new();
        self.end(&outcome.end, &mut differences);
        self.sent(outcome.request.as_ref(), &mut differences);
        let log = lines(events);
        for wanted in &self.log_contains.0 {
            if !log.iter().any(|line| line.contains(wanted)) {
                differences.push(format!("log: no line contains {wanted:?}"));
            }
        }
        differences
    }

    fn end(&self, end: &End, differences: &mut Vec<String>) {
        match (end, &self.local_response, &self.failed) {
            (End::Failed(code, ..), _, Some(wanted)) if code == wanted => {}
            (End::Failed(code, _, why), _, wanted) => {
                let wanted = wanted.as_deref().unwrap_or("no failure");
                differences.push(format!("expected {wanted}, got failed {code}: {why}"));
            }
            (_, _, Some(wanted)) => differences.push(format!("expected failed {wanted}, got {}", in_short(end))),
            (End::Reply(reply), Some(wanted), _) => wanted.differences(reply, differences),
            // A filter that answers in place of a response that is there already.
            (End::Response(response), Some(wanted), _) if wanted.status == Some(response.status.as_u16()) => {
                wanted.differences(response, differences);
            }
            (End::Response(_), Some(_), _) => {
                differences.push(format!("expected a local response, got {}", in_short(end)));
            }
            (End::Reply(_), None, _) if self.says_nothing() => {}
            (End::Reply(_), None, _) => {
                differences.push(format!("expected no local response, got {}", in_short(end)));
            }
            (End::Response(response), None, _) => {
                status(self.status, response, differences);
                fields("response_headers", &self.response_headers, |name| values(&response.headers, name), differences);
                let wanted = (&self.body, &self.body_contains, &self.body_lacks);
                body("body", wanted, &decoded(&response.headers, &response.body), differences);
            }
        }
    }

    fn says_nothing(&self) -> bool {
        let Self { request_headers, request_body, status, response_headers, body, body_contains, body_lacks, .. } =
            self;
        request_headers.is_empty()
            && response_headers.is_empty()
            && (request_body, status, body) == (&None, &None, &None)
            && body_contains.0.is_empty()
            && body_lacks.0.is_empty()
    }

    fn sent(&self, request: Option<&RequestText>, differences: &mut Vec<String>) {
        let Some(request) = request else {
            if self.local_response.is_none() && (!self.request_headers.is_empty() || self.request_body.is_some()) {
                differences.push("the backend was not asked".into());
            }
            return;
        };
        let values = |name: &str| match name {
            ":method" => vec![request.method.to_string()],
            ":path" => vec![request.path.to_string()],
            ":authority" | "host" => vec![text_of(&request.authority)],
            name => values(&request.headers, name),
        };
        fields("request_headers", &self.request_headers, values, differences);
        let none = OneOrMore::default();
        let sent = decoded(&request.headers, &request.body);
        body("request_body", (&self.request_body, &none, &none), &sent, differences);
    }
}

impl Answered {
    fn differences(&self, reply: &ResponseText, differences: &mut Vec<String>) {
        status(self.status, reply, differences);
        fields("local_response headers", &self.headers, |name| values(&reply.headers, name), differences);
        let wanted = (&self.body, &self.body_contains, &self.body_lacks);
        body("local_response body", wanted, &decoded(&reply.headers, &reply.body), differences);
    }
}

/// A response in a few words.
pub(super) fn in_short(end: &End) -> String {
    match end {
        End::Response(response) => format!("the response, {}", response.status),
        End::Reply(reply) => {
            let body = String::from_utf8_lossy(&reply.body);
            format!("a local response, {} {:?}", reply.status, body.chars().take(80).collect::<String>())
        }
        End::Failed(code, _, why) => format!("failed {code}: {why}"),
    }
}

fn status(wanted: Option<u16>, response: &ResponseText, differences: &mut Vec<String>) {
    if let Some(wanted) = wanted
        && wanted != response.status.as_u16()
    {
        differences.push(format!("status: expected {wanted}, got {}", response.status.as_u16()));
    }
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Vec::new() };
    headers.get_all(name).iter().map(text_of).collect()
}

fn fields(what: &str, wanted: &Fields, got: impl Fn(&str) -> Vec<String>, differences: &mut Vec<String>) {
    let text = |value: &Value| {
        let bytes = value_bytes(&plain(value));
        String::from_utf8(bytes).unwrap_or_else(|odd| odd.into_bytes().escape_ascii().to_string())
    };
    for (name, wanted) in wanted {
        let got = got(&name.to_ascii_lowercase());
        let (fits, wanted) = match wanted {
            Value::Null => (got.is_empty(), "it absent".to_owned()),
            Value::Array(list) => {
                let list: Vec<String> = list.iter().map(text).collect();
                (got == list, format!("{list:?}"))
            }
            value => {
                let value = text(value);
                (!got.is_empty() && got.join(", ") == value, format!("{value:?}"))
            }
        };
        if !fits {
            let got = if got.is_empty() { "it absent".to_owned() } else { format!("{:?}", got.join(", ")) };
            differences.push(format!("{what}: {name}: expected {wanted}, got {got}"));
        }
    }
}

type WantedBody<'a> = (&'a Option<String>, &'a OneOrMore, &'a OneOrMore);

fn body(what: &str, (whole, contains, lacks): WantedBody<'_>, got: &Bytes, differences: &mut Vec<String>) {
    let text = String::from_utf8_lossy(got);
    let shown = || {
        let start: String = text.chars().take(SHOWN).collect();
        format!("{start:?}{}", if start.len() < text.len() { " …" } else { "" })
    };
    if let Some(whole) = whole
        && whole.as_bytes() != &got[..]
    {
        differences.push(format!("{what}: expected {whole:?}, got {}", shown()));
    }
    for wanted in &contains.0 {
        if !text.contains(wanted) {
            differences.push(format!("{what}: expected {wanted:?} in {}", shown()));
        }
    }
    for unwanted in &lacks.0 {
        if text.contains(unwanted) {
            differences.push(format!("{what}: expected no {unwanted:?} in {}", shown()));
        }
    }
}

/// What must be the same whatever the chunking: everything, with bodies decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Essence(BTreeMap<&'static str, String>);

impl Essence {
    pub(super) fn of(outcome: &Outcome, varies: &[String]) -> Self {
        let head = |headers: &HeaderMap| {
            let fixed = headers.iter().filter(|(name, _)| !varies.iter().any(|varies| *name == varies.as_str()));
            let mut lines: Vec<String> = fixed.map(|(name, value)| format!("{name}: {}", text_of(value))).collect();
            lines.sort();
            lines.join("\n")
        };
        let body = |headers: &HeaderMap, body: &Bytes| decoded(headers, body).escape_ascii().to_string();
        let mut essence = BTreeMap::new();
        if let (Some(request), End::Response(_)) = (&outcome.request, &outcome.end) {
            essence.insert("the request's line", format!("{} {}", request.method, request.path));
            essence.insert("the request's fields", head(&request.headers));
            essence.insert("the request's body", body(&request.headers, &request.body));
            essence.insert("the request's trailers", head(&request.trailers));
        }
        match &outcome.end {
            End::Response(response) | End::Reply(response) => {
                essence.insert("the status", response.status.to_string());
                essence.insert("the fields", head(&response.headers));
                essence.insert("the body", body(&response.headers, &response.body));
                essence.insert("the trailers", head(&response.trailers));
            }
            End::Failed(code, ..) => drop(essence.insert("the failure", (*code).to_owned())),
        }
        Self(essence)
    }

    /// Where two differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let shown = |text: Option<&String>| match text {
            Some(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            None => "nothing".to_owned(),
        };
        let differ = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        differ.map(|name| format!("{name}: {} and {}", shown(self.0.get(name)), shown(other.0.get(name)))).collect()
    }
}
