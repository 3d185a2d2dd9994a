//! A case of a YAML file: what goes in, how it is cut, what is expected.
//!
//! Field values and bodies are text; in a field value every character up to U+00FF is one byte, so
//! `"caf\xe9"` is what it is in HTTP. An unknown key is a fault: a misspelt expectation would hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::Deserialize;
use serde_json::Value;

use super::super::chunks::Chunking;
use super::super::message::{RequestText, ResponseText, encoded};
use super::super::scripted::{Answer, Script};
use super::super::trial::Exchange;

/// A field's value: text, a number, a list of values, or in an expectation null for absent.
pub(super) type Fields = BTreeMap<String, Value>;

/// As it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// The module, relative to the file.
    pub(super) module: Option<PathBuf>,
    /// The configuration: text as it is, anything else as JSON.
    config: Option<Value>,
    config_file: Option<PathBuf>,
    #[serde(default)]
    request: Request,
    #[serde(default)]
    response: Response,
    chunk_sizes: Option<Vec<Value>>,
    /// The exchange so many times in one filter; the last is judged.
    #[serde(default = "once")]
    pub(super) repeat: u32,
    #[serde(default)]
    upstreams: BTreeMap<String, Upstream>,
    /// Fields whose values may differ from one chunking to another.
    #[serde(default)]
    pub(super) varies: Vec<String>,
    #[serde(default)]
    pub(super) expect: Expect,
    /// Where the file is.
    #[serde(skip)]
    pub(super) directory: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    headers: Fields,
    body: Option<String>,
    body_file: Option<PathBuf>,
    trailers: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Response {
    status: Option<u16>,
    headers: Fields,
    body: Option<String>,
    body_file: Option<PathBuf>,
    trailers: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Upstream {
    timeout: bool,
    status: Option<u16>,
    headers: Fields,
    body: Option<String>,
    body_file: Option<PathBuf>,
}

/// What has to come out. Bodies are compared without their content coding.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// The filter answers itself, before the backend's response is there.
    pub(super) local_response: Option<Answered>,
    /// What the backend gets; `:method`, `:path` and `:authority` count as fields.
    pub(super) request_headers: Fields,
    pub(super) request_body: Option<String>,
    /// What the client gets.
    pub(super) status: Option<u16>,
    pub(super) response_headers: Fields,
    pub(super) body: Option<String>,
    pub(super) body_contains: OneOrMore,
    pub(super) body_lacks: OneOrMore,
    /// The proxy's error code, `filter-failed` and the like.
    pub(super) failed: Option<String>,
    /// A line of the filter's log contains this.
    pub(super) log_contains: OneOrMore,
}

/// What a local response has to be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answered {
    pub(super) status: Option<u16>,
    pub(super) headers: Fields,
    pub(super) body: Option<String>,
    pub(super) body_contains: OneOrMore,
    pub(super) body_lacks: OneOrMore,
}

/// A text, or a list of them.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Texts")]
pub(super) struct OneOrMore(pub(super) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    More(Vec<String>),
}

impl From<Texts> for OneOrMore {
    fn from(texts: Texts) -> Self {
        Self(match texts {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        })
    }
}

fn once() -> u32 {
    1
}

/// The cases of a file.
pub(super) fn read(file: &Path) -> Result<Vec<Case>, String> {
    let fault = |error: String| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
    let documents = Yaml::load_from_str(&text).map_err(|error| fault(error.to_string()))?;
    let mut cases = Vec::new();
    for document in &documents {
        let Yaml::Sequence(listed) = document else {
            return Err(fault("expected a list of cases, each with `- name: …`".into()));
        };
        for (at, listed) in listed.iter().enumerate() {
            let value = json(listed).map_err(|error| fault(format!("case {}: {error}", at + 1)))?;
            let name = value.get("name").and_then(Value::as_str).map_or_else(|| (at + 1).to_string(), str::to_owned);
            let mut case: Case =
                serde_json::from_value(value).map_err(|error| fault(format!("case {name}: {error}")))?;
            case.directory = file.parent().unwrap_or(Path::new("")).to_path_buf();
            cases.push(case);
        }
    }
    Ok(cases)
}

/// YAML as JSON; what only YAML has is refused.
fn json(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::Bool(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::String(text.to_string()),
        Yaml::Sequence(list) => Value::Array(list.iter().map(json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut object = serde_json::Map::new();
            for (key, value) in entries {
                let key = match json(key)? {
                    Value::String(key) => key,
                    other => other.to_string(),
                };
                object.insert(key, json(value)?);
            }
            Value::Object(object)
        }
        _ => return Err("tags and aliases have no meaning here".into()),
    })
}

impl Case {
    /// What the filter reads.
    pub(super) fn configuration(&self) -> Result<Bytes, String> {
        match (&self.config, &self.config_file) {
            (Some(_), Some(_)) => Err("it has both config and config_file".into()),
            (Some(Value::String(text)), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (Some(value), None) => Ok(Bytes::from(value.to_string())),
            (None, Some(file)) => super::super::subject::configuration(&self.directory.join(file)),
            (None, None) => Ok(Bytes::new()),
        }
    }

    /// How its bodies are cut.
    pub(super) fn chunkings(&self) -> Result<Vec<Chunking>, String> {
        let Some(sizes) = &self.chunk_sizes else { return Ok(Chunking::DEFAULT.to_vec()) };
        sizes.iter().map(|size| Chunking::parse(&plain(size))).collect()
    }

    /// What its upstreams answer.
    pub(super) fn script(&self) -> Result<Script, String> {
        let mut script = Script::default();
        for (name, upstream) in &self.upstreams {
            let answer = if upstream.timeout {
                Answer::Timeout
            } else {
                let headers = fields(&upstream.headers)?;
                let body = self.body(&headers, upstream.body.as_deref(), upstream.body_file.as_deref())?;
                let status = status(upstream.status)?;
                Answer::Response(Box::new(ResponseText { status, headers, body, trailers: HeaderMap::new() }))
            };
            script.answers.insert(name.clone(), answer);
        }
        Ok(script)
    }

    /// What goes in.
    pub(super) fn exchange(&self) -> Result<Exchange, String> {
        let from = &self.request;
        let mut request = RequestText::default();
        if let Some(method) = &from.method {
            request.method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method:?} is no method"))?;
        }
        if let Some(path) = &from.path {
            request.path = path.parse().map_err(|_| format!("{path:?} is no path"))?;
        }
        request.headers = fields(&from.headers)?;
        if let Some(host) = request.headers.remove(header::HOST) {
            request.authority = host;
        }
        request.body = self.body(&request.headers, from.body.as_deref(), from.body_file.as_deref())?;
        request.trailers = fields(&from.trailers)?;
        let from = &self.response;
        let headers = fields(&from.headers)?;
        let body = self.body(&headers, from.body.as_deref(), from.body_file.as_deref())?;
        let response = ResponseText { status: status(from.status)?, headers, body, trailers: fields(&from.trailers)? };
        Ok(Exchange { request, response })
    }

    /// `body` is put into the content coding its fields name; `body_file` is sent as it is, unless it is
    /// not in that coding yet.
    fn body(&self, headers: &HeaderMap, text: Option<&str>, file: Option<&Path>) -> Result<Bytes, String> {
        match (text, file) {
            (Some(_), Some(_)) => Err("it has both body and body_file".into()),
            (Some(text), None) => encoded(headers, text.as_bytes()),
            (None, None) => Ok(Bytes::new()),
            (None, Some(file)) => {
                let file = self.directory.join(file);
                let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                let coded = bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd");
                if coded { Ok(Bytes::from(bytes)) } else { encoded(headers, &bytes) }
            }
        }
    }
}

fn status(number: Option<u16>) -> Result<StatusCode, String> {
    StatusCode::from_u16(number.unwrap_or(200)).map_err(|_| format!("{number:?} is no status"))
}

/// A scalar as text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The bytes of a value: a character up to U+00FF is one byte, unless there are others beside it.
pub(super) fn value_bytes(text: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn fields(fields: &Fields) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a field"))?;
        let values = match value {
            Value::Array(values) => values.iter().map(plain).collect(),
            Value::Null => Vec::new(),
            value => vec![plain(value)],
        };
        for value in values {
            let bytes = HeaderValue::from_bytes(&value_bytes(&value));
            headers.append(field.clone(), bytes.map_err(|_| format!("{value:?} is no value of {name}"))?);
        }
    }
    Ok(headers)
}
