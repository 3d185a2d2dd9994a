//! Who a request is from, and what the application is told. Refuses guesses: two credentials, or one that is neither a
//! key nor a token, are none.

use crate::config::{Config, is_header_value};
use crate::jwt::{self, Refusal};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What to do with a request that may pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Headers to remove, by the names the client sent.
    pub remove: Vec<String>,
    /// Headers to set then.
    pub set: Vec<(String, String)>,
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has no credentials.
    Missing,
    /// More than one.
    Several,
    /// An API key nobody has.
    Key,
    /// A token that is no good.
    Token(Refusal),
    /// A claim that fits in no header.
    Claim,
}

impl Denial {
    /// The challenge of the 401 (RFC 6750, section 3).
    pub fn challenge(self, config: &Config) -> String {
        let scheme = if config.token_keys.is_empty() { "ApiKey" } else { "Bearer" };
        let error = match (self, scheme) {
            (Self::Missing, _) | (_, "ApiKey") => "",
            (Self::Several, _) => r#", error="invalid_request""#,
            _ => r#", error="invalid_token""#,
        };
        format!(r#"{scheme} realm="{}"{error}"#, config.realm)
    }
}

/// Decides about a request by its path, its headers and the time.
pub fn decide(config: &Config, path: &[u8], headers: &[(String, Vec<u8>)], now_seconds: u64) -> Result<Entry, Denial> {
    let mut remove = look_alikes(config, headers);
    if is_public(config, path) {
        return Ok(Entry { remove, set: Vec::new() });
    }
    let mut credentials = Vec::new();
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("authorization") {
            credentials.push((true, value));
        } else if name.eq_ignore_ascii_case(&config.key_header) {
            credentials.push((false, value));
        }
    }
    let set = match credentials.as_slice() {
        [] => return Err(Denial::Missing),
        [(true, value)] => {
            let token = bearer(value).ok_or(Denial::Token(Refusal::Malformed))?;
            let claims = jwt::verify(token, &config.token_keys, &config.claims, now_seconds).map_err(Denial::Token)?;
            config
                .headers
                .iter()
                .filter_map(|(claim, header)| Some((header, claims.get(claim)?)))
                .map(|(header, value)| Ok((header.clone(), header_value(value).ok_or(Denial::Claim)?)))
                .collect::<Result<Vec<_>, _>>()?
        }
        [(false, key)] => {
            let name = key_owner(config, key).ok_or(Denial::Key)?;
            config.headers.get("sub").map(|header| (header.clone(), name.to_owned())).into_iter().collect()
        }
        _ => return Err(Denial::Several),
    };
    if !config.forward_credentials {
        remove.extend(["authorization".to_owned(), config.key_header.clone()]);
    }
    Ok(Entry { remove, set })
}

/// The headers of a request that an application could take for ours: `X_User` and `x-user` are one in CGI and WSGI.
fn look_alikes(config: &Config, headers: &[(String, Vec<u8>)]) -> Vec<String> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let ours: Vec<String> = config.headers.values().map(|name| plain(name)).collect();
    let mut found: Vec<String> =
        headers.iter().filter(|(name, _)| ours.contains(&plain(name))).map(|(name, _)| name.clone()).collect();
    found.dedup();
    found
}

/// Whether a path is public. One that could mean another path (dots, encoded or doubled slashes) is not.
fn is_public(config: &Config, path: &[u8]) -> bool {
    let path = path.split(|&byte| byte == b'?' || byte == b'#').next().unwrap_or_default();
    let plain = path.iter().all(|byte| byte.is_ascii_graphic() && !b"%\\;".contains(byte))
        && !path.windows(2).any(|pair| pair == b"//" || pair == b"/.");
    plain
        && config.public.iter().any(|public| match public.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning.as_bytes()),
            None => path == public.as_bytes(),
        })
}

/// The token of an `Authorization` value.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The name of the owner of an API key. Compares hashes, all of them, in constant time.
fn key_owner<'c>(config: &'c Config, key: &[u8]) -> Option<&'c str> {
    let hash: [u8; 32] = Sha256::digest(key.trim_ascii()).into();
    let mut owner = None;
    for (name, expected) in &config.api_keys {
        let equal: Choice = hash.ct_eq(expected);
        if bool::from(equal) {
            owner = Some(name.as_str());
        }
    }
    owner
}

/// A claim as a header value: text, numbers and truth values; `None` for what could be taken for something else.
fn header_value(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    is_header_value(&text).then_some(text)
}
