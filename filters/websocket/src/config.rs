//! The operator's policy. Everything is optional; nothing given means everything passes that is a
//! correct handshake.
//!
//! ```json
//! {"origins": ["same", "https://app.example", "https://*.example.com"], "allow_missing_origin": true,
//!  "subprotocols": ["graphql-ws"],
//!  "inspect": {"max_message": 1048576, "max_frame": 65536, "allow": ["text", "binary"], "compression": "strip"}}
//! ```
//!
//! It refuses unknown keys, lists that let nothing through, and origins with a path.

use origins::url::{self, Form, Port};
use serde::Deserialize;

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Nothing: any.
    pub(crate) origins: Option<Vec<Allowed>>,
    pub(crate) allow_missing_origin: bool,
    /// Nothing: any. Otherwise one of these must be asked for.
    pub(crate) subprotocols: Option<Vec<String>>,
    /// Nothing: the data phase is not looked at.
    pub inspect: Option<Inspect>,
}

/// An entry of `origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// The origin the request itself goes to.
    Same,
    Exactly(Origin),
    /// Any host below this one, at any depth.
    Below(Origin),
}

/// A web origin, in lower case and with its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    pub(crate) host: Vec<u8>,
    pub(crate) port: u16,
}

/// What the frames of an accepted WebSocket may be. Sizes are payload bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspect {
    /// A whole message, over all its frames.
    #[serde(default)]
    pub max_message: Option<u64>,
    /// One frame.
    #[serde(default)]
    pub max_frame: Option<u64>,
    /// Which messages pass.
    #[serde(default = "both")]
    pub allow: Vec<Kind>,
    /// `keep` measures compressed sizes when the ends agree on permessage-deflate.
    #[serde(default)]
    pub compression: Compression,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Anything else.
    Binary,
}

/// What becomes of the extensions a handshake offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// They are taken out: sizes are true.
    #[default]
    Strip,
    /// They stay: sizes are those on the wire.
    Keep,
}

fn both() -> Vec<Kind> {
    vec![Kind::Text, Kind::Binary]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    origins: Option<Vec<String>>,
    #[serde(default = "yes")]
    allow_missing_origin: bool,
    subprotocols: Option<Vec<String>>,
    inspect: Option<Inspect>,
}

/// Browsers always send `Origin`; who does not is no browser and cannot be lured.
fn yes() -> bool {
    true
}

/// Reads a policy; no bytes are an empty one. The error is one line for the log.
pub fn policy(json: &[u8]) -> Result<Policy, String> {
    let json = if json.trim_ascii().is_empty() { b"{}" } else { json };
    let read: Configuration =
        serde_json::from_slice(json).map_err(|error| format!("configuration refused: {error}"))?;
    let refused = |key: &str, reason: &str| format!("configuration refused: `{key}`: {reason}");
    if read.origins.as_ref().is_some_and(Vec::is_empty) {
        return Err(refused("origins", "an empty list lets nobody in; leave it out to let everybody in"));
    }
    if read.subprotocols.as_ref().is_some_and(|list| list.is_empty() || !list.iter().all(|name| token(name))) {
        return Err(refused("subprotocols", "must be a list of at least one name, each an HTTP token"));
    }
    if read.inspect.as_ref().is_some_and(|inspect| inspect.allow.is_empty()) {
        return Err(refused("inspect.allow", "an empty list lets no message through"));
    }
    let allowed = |text: &String| {
        allowed(text).ok_or_else(|| {
            refused("origins", &format!("{text:?} is not \"same\", http(s)://host[:port] or http(s)://*.host"))
        })
    };
    let origins = read.origins.map(|list| list.iter().map(allowed).collect::<Result<_, _>>()).transpose()?;
    let Configuration { allow_missing_origin, subprotocols, inspect, .. } = read;
    Ok(Policy { origins, allow_missing_origin, subprotocols, inspect })
}

fn token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn allowed(text: &str) -> Option<Allowed> {
    if text == "same" {
        return Some(Allowed::Same);
    }
    let mut origin = Origin::read(text.as_bytes())?;
    match origin.host.strip_prefix(b"*.").map(<[u8]>::to_vec) {
        Some(parent) => {
            origin.host = parent;
            (!origin.host.is_empty() && !origin.host.contains(&b'*')).then_some(Allowed::Below(origin))
        }
        None => (!origin.host.contains(&b'*')).then_some(Allowed::Exactly(origin)),
    }
}

impl Origin {
    /// An origin as `Origin` fields have it; nothing for `null` and what is more than an origin.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let Form::Origin(split) = url::read(text) else { return None };
        let scheme = split.scheme.filter(|scheme| !scheme.socket && split.rest.is_empty())?;
        Some(Origin::new(scheme.secure, split.host, split.port))
    }

    pub(crate) fn new(secure: bool, host: &[u8], port: Port) -> Self {
        let port = match port {
            Port::Number(port) => port,
            Port::Default | Port::Any => {
                if secure {
                    443
                } else {
                    80
                }
            }
        };
        Origin { secure, host: host.to_ascii_lowercase(), port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read() {
        let json = br#"{"origins":["same","https://A.example:443","http://*.b"],"subprotocols":["x"],
                        "inspect":{"max_message":5,"allow":["text"],"compression":"keep"}}"#;
        let policy = policy(json).unwrap();
        let origin = |secure, host: &str, port| Origin { secure, host: host.into(), port };
        let expected =
            [Allowed::Same, Allowed::Exactly(origin(true, "a.example", 443)), Allowed::Below(origin(false, "b", 80))];
        assert_eq!(policy.origins.unwrap(), expected);
        assert!(policy.allow_missing_origin);
        assert_eq!(policy.inspect.unwrap().compression, Compression::Keep);
        assert!(super::policy(b" ").unwrap().inspect.is_none());
    }

    #[test]
    fn a_wrong_one_is_refused_in_words() {
        for (json, expected) in [
            (r#"{"origin":[]}"#, "configuration refused: unknown field `origin`"),
            (r#"{"origins":[]}"#, "configuration refused: `origins`: an empty list"),
            (r#"{"origins":["https://a/"]}"#, "configuration refused: `origins`: \"https://a/\" is not"),
            (r#"{"origins":["wss://a"]}"#, "configuration refused: `origins`: \"wss://a\" is not"),
            (r#"{"origins":["https://a.*.b"]}"#, "configuration refused: `origins`: \"https://a.*.b\" is not"),
            (r#"{"subprotocols":[]}"#, "configuration refused: `subprotocols`: must be"),
            (r#"{"subprotocols":["a b"]}"#, "configuration refused: `subprotocols`: must be"),
            (r#"{"inspect":{"allow":[]}}"#, "configuration refused: `inspect.allow`: an empty list"),
            (r#"{"inspect":{"allow":["json"]}}"#, "configuration refused: unknown variant `json`"),
        ] {
            let refused = policy(json.as_bytes()).unwrap_err();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
