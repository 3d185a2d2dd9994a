//! The operator's configuration, read by hand: a refusal names the rule, the key and the reason,
//! which a derived parser cannot.
//!
//! `schema.json` beside this crate describes the same shape; a test holds the two together. It
//! refuses unknown keys, rules without actions, and everything that could not be sent.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::rules::{Action, Phase, Rule, Rules, Status, When};
use crate::template::{Patterns, Template, field_name};

/// Keys by where they stand, as in `schema.json`.
pub(crate) const TOP_KEYS: &[&str] = &["rules"];
pub(crate) const RULE_KEYS: &[&str] = &["on", "when", "do"];
pub(crate) const WHEN_KEYS: &[&str] = &["host", "path", "path_prefix", "method", "status", "header"];
pub(crate) const HEADER_KEYS: &[&str] = &["name", "matches"];
pub(crate) const ACTION_KEYS: &[&str] = &["set", "append", "remove", "rename", "replace"];
pub(crate) const REPLACE_KEYS: &[&str] = &["name", "pattern", "with"];

/// 256 KiB per compiled pattern: enough for a page of alternatives, little beside 64 MiB per instance.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Names that belong to the connection and the framing, which the proxy owns.
const OWNED_BY_PROXY: &[&[u8]] = &[
    b"connection",
    b"content-length",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Key and reason; the rule's number is put before them.
struct Reason(String, String);

type Read<T> = Result<T, Reason>;

fn wrong<T>(key: &str, reason: impl Into<String>) -> Read<T> {
    Err(Reason(key.to_owned(), reason.into()))
}

/// Reads a configuration; the error is one line for the log: rule, key, reason.
pub fn rules(json: &[u8]) -> Result<Rules, String> {
    let value: Value = serde_json::from_slice(json).map_err(|error| format!("configuration is no JSON: {error}"))?;
    let top = |Reason(key, reason): Reason| format!("configuration, `{key}`: {reason}");
    let object = object(&value, "", TOP_KEYS).map_err(top)?;
    let Some(Value::Array(list)) = object.get("rules") else {
        return Err("configuration, `rules`: must be a list of rules".into());
    };
    let read = list.iter().enumerate().map(|(i, value)| {
        rule(value).map_err(|Reason(key, reason)| match key.as_str() {
            "" => format!("rule {}: {reason}", i + 1),
            key => format!("rule {}, `{key}`: {reason}", i + 1),
        })
    });
    read.collect::<Result<_, _>>().map(Rules)
}

fn rule(value: &Value) -> Read<Rule> {
    let fields = object(value, "", RULE_KEYS)?;
    let on = match fields.get("on").and_then(Value::as_str) {
        Some("request") => Phase::Request,
        Some("response") => Phase::Response,
        _ => return wrong("on", "must be \"request\" or \"response\""),
    };
    let when = match fields.get("when") {
        None => When::default(),
        Some(value) => when(value, on)?,
    };
    let Some(Value::Array(list)) = fields.get("do") else { return wrong("do", "must be a list of actions") };
    let mut actions = Vec::new();
    for (i, value) in list.iter().enumerate() {
        action(value, &format!("do[{}]", i + 1), &when, &mut actions)?;
    }
    if actions.is_empty() {
        return wrong("do", "does nothing");
    }
    Ok(Rule { on, when, actions })
}

fn when(value: &Value, on: Phase) -> Read<When> {
    let fields = object(value, "when", WHEN_KEYS)?;
    let read = |key: &str| fields.get(key).map(|value| (value, format!("when.{key}")));
    let mut when = When::default();
    if let Some((value, key)) = read("host") {
        when.host = Some(texts(value, &key)?);
    }
    if let Some((value, key)) = read("path") {
        when.path = Some(path(value, &key)?);
    }
    if let Some((value, key)) = read("path_prefix") {
        when.path_prefix = Some(path(value, &key)?);
    }
    if let Some((value, key)) = read("method") {
        when.method = Some(texts(value, &key)?);
    }
    if let Some((value, key)) = read("status") {
        if on == Phase::Request {
            return wrong(&key, "a request has no status; the rule must be `on = \"response\"`");
        }
        when.status = Some(list(value).iter().map(|value| status(value, &key)).collect::<Read<_>>()?);
    }
    if let Some((value, key)) = read("header") {
        let fields = object(value, &key, HEADER_KEYS)?;
        let pattern = fields.get("matches").map(|value| pattern(value, &format!("{key}.matches"))).transpose()?;
        when.header = Some((name(fields.get("name"), &format!("{key}.name"))?, pattern));
    }
    Ok(when)
}

fn action(value: &Value, at: &str, when: &When, actions: &mut Vec<Action>) -> Read<()> {
    let fields = object(value, at, ACTION_KEYS)?;
    if fields.len() != 1 {
        return wrong(at, format!("must have exactly one of {}", ACTION_KEYS.join(", ")));
    }
    let outer = when.header.as_ref().and_then(|header| header.1.as_ref());
    for (key, value) in fields {
        let at = format!("{at}.{key}");
        match key.as_str() {
            "remove" => {
                for name in texts(value, &at)? {
                    actions.push(Action::Remove(writable(&name, &at)?));
                }
            }
            "replace" => {
                let fields = object(value, &at, REPLACE_KEYS)?;
                let name = writable(text(fields.get("name"), &format!("{at}.name"))?, &format!("{at}.name"))?;
                let Some(value) = fields.get("pattern") else { return wrong(&format!("{at}.pattern"), "is missing") };
                let regex = pattern(value, &format!("{at}.pattern"))?;
                let with = format!("{at}.with");
                let template = template(fields.get("with"), &with, Patterns { outer, inner: Some(&regex) })?;
                actions.push(Action::Replace(name, regex, template));
            }
            _ => {
                let pairs = value.as_object().filter(|pairs| !pairs.is_empty());
                let Some(pairs) = pairs else { return wrong(&at, "must be a table of names and values") };
                for (field, value) in pairs {
                    let at = format!("{at}.{field}");
                    let name = writable(field, &at)?;
                    actions.push(match key.as_str() {
                        "set" => Action::Set(name, template(Some(value), &at, Patterns { outer, inner: None })?),
                        "append" => Action::Append(name, template(Some(value), &at, Patterns { outer, inner: None })?),
                        _ => Action::Rename(name, writable(text(Some(value), &at)?, &at)?),
                    });
                }
            }
        }
    }
    Ok(())
}

fn object<'v>(value: &'v Value, at: &str, keys: &[&str]) -> Read<&'v Map<String, Value>> {
    let Value::Object(fields) = value else { return wrong(at, "must be a table") };
    match fields.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(fields),
        Some(key) => {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            wrong(&at, format!("unknown key; known are {}", keys.join(", ")))
        }
    }
}

fn text<'v>(value: Option<&'v Value>, at: &str) -> Read<&'v str> {
    value.and_then(Value::as_str).map_or_else(|| wrong(at, "must be a text"), Ok)
}

/// One value may stand for a list of one.
fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(list) => list,
        one => std::slice::from_ref(one),
    }
}

fn texts(value: &Value, at: &str) -> Read<Vec<String>> {
    let texts: Vec<_> =
        list(value).iter().map(|value| text(Some(value), at).map(str::to_owned)).collect::<Read<_>>()?;
    if texts.iter().any(String::is_empty) || texts.is_empty() { wrong(at, "must not be empty") } else { Ok(texts) }
}

fn path(value: &Value, at: &str) -> Read<String> {
    let path = text(Some(value), at)?;
    if path.starts_with('/') { Ok(path.to_owned()) } else { wrong(at, "must begin with `/`") }
}

fn status(value: &Value, at: &str) -> Read<Status> {
    let exact =
        value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| (100..600).contains(number));
    let class = match value.as_str().map(str::as_bytes) {
        Some([digit @ b'1'..=b'5', b'x', b'x']) => Some(Status::Class(u16::from(digit - b'0'))),
        _ => None,
    };
    let read = exact.map(Status::Exactly).or(class);
    read.map_or_else(|| wrong(at, format!("{value} is neither a number from 100 to 599 nor \"1xx\" to \"5xx\"")), Ok)
}

fn pattern(value: &Value, at: &str) -> Read<Regex> {
    let pattern = text(Some(value), at)?;
    let built = RegexBuilder::new(pattern).unicode(false).size_limit(PATTERN_BYTES_MAX).build();
    built.or_else(|error| wrong(at, error.to_string().replace('\n', " ")))
}

fn template(value: Option<&Value>, at: &str, patterns: Patterns) -> Read<Template> {
    Template::parse(text(value, at)?, patterns).or_else(|reason| wrong(at, reason))
}

fn name(value: Option<&Value>, at: &str) -> Read<Vec<u8>> {
    field_name(text(value, at)?).map_or_else(|| wrong(at, "is no header name"), Ok)
}

/// The name of a header that rules may write.
fn writable(name: &str, at: &str) -> Read<Vec<u8>> {
    let Some(name) = field_name(name) else { return wrong(at, format!("{name:?} is no header name")) };
    if OWNED_BY_PROXY.contains(&name.as_slice()) {
        return wrong(at, "belongs to the connection; the proxy writes it itself");
    }
    Ok(name)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
