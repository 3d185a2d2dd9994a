//! What the operator writes: API keys, a JSON Web Key Set, and which claims become which headers. Refuses keys without
//! an algorithm: a key is for one (RFC 8725, section 3.1).

use crate::signature::Key;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The configuration.
#[derive(Debug)]
pub struct Config {
    /// For `WWW-Authenticate`.
    pub realm: String,
    /// The header an API key comes in.
    pub key_header: String,
    /// Names and SHA-256 hashes of the API keys.
    pub api_keys: Vec<(String, [u8; 32])>,
    /// Keys of tokens.
    pub token_keys: Vec<Key>,
    /// What a token has to say.
    pub claims: Claims,
    /// Claim to header, lower case. `sub` is also the name of an API key.
    pub headers: BTreeMap<String, String>,
    /// Paths that need no credentials; with `*` at the end, beginnings of paths.
    pub public: Vec<String>,
    /// Whether the application gets to see the credentials.
    pub forward_credentials: bool,
}

/// What a token has to say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// `iss`, exactly.
    pub issuer: Option<String>,
    /// `aud`, or one of them.
    pub audience: Option<String>,
    /// How far clocks may differ.
    pub leeway_seconds: u32,
    /// Whether a token without `exp` is good; it is not, unless said.
    pub allow_without_expiry: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "default_realm")]
    realm: String,
    #[serde(default = "default_key_header")]
    key_header: String,
    /// Name to `sha256:` and hexadecimal digits.
    #[serde(default)]
    api_keys: BTreeMap<String, String>,
    #[serde(default)]
    jwks: Jwks,
    #[serde(default)]
    claims: Claims,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    public: Vec<String>,
    #[serde(default)]
    forward_credentials: bool,
}

#[derive(Default, Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

fn default_realm() -> String {
    "api".to_owned()
}

fn default_key_header() -> String {
    "x-api-key".to_owned()
}

impl Config {
    /// Reads a configuration; the error is for the operator, and holds no key.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if written.api_keys.is_empty() && written.jwks.keys.is_empty() {
            return Err("neither `api_keys` nor `jwks` has a key".to_owned());
        }
        if !written.realm.chars().all(|c| c == ' ' || c.is_ascii_graphic() && c != '"' && c != '\\') {
            return Err("`realm` has characters that cannot be quoted".to_owned());
        }
        let api_keys = written.api_keys.into_iter().map(|(name, hash)| match parse_hash(&hash) {
            Some(_) if !is_header_value(&name) => Err(format!("the API key name {name:?} fits in no header")),
            Some(hash) => Ok((name, hash)),
            None => Err(format!("the API key of {name:?} is not `sha256:` and 64 hexadecimal digits")),
        });
        let token_keys = written.jwks.keys.iter().enumerate();
        let token_keys =
            token_keys.map(|(at, key)| Key::parse(key).map_err(|error| format!("key {at} of `jwks`: {error}")));
        let headers = written.headers.into_iter().map(|(claim, header)| match header_name(&header) {
            Some(name) => Ok((claim, name)),
            None => Err(format!("{header:?} is no header name to set")),
        });
        Ok(Self {
            realm: written.realm,
            key_header: header_name(&written.key_header).ok_or("`key_header` is no header name")?,
            api_keys: api_keys.collect::<Result<_, _>>()?,
            token_keys: token_keys.collect::<Result<_, _>>()?,
            claims: written.claims,
            headers: headers.collect::<Result<_, _>>()?,
            public: written.public,
            forward_credentials: written.forward_credentials,
        })
    }
}

/// A header name in lower case; none for those a filter must not make of a claim.
fn header_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let framing = ["content-length", "transfer-encoding", "connection", "host", "te", "upgrade", "trailer"];
    (token && !framing.contains(&name.as_str())).then_some(name)
}

/// Whether text may be sent as a header value as it is.
pub fn is_header_value(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn wrong_configurations_are_refused() {
        for wrong in [
            "",
            "{}",
            r#"{"api_keys": {"ci": "secret"}}"#,
            r#"{"api_keys": {"ci": "sha256:00"}}"#,
            r#"{"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}"#,
            r#"{"jwks": {"keys": [{"kty": "oct", "alg": "none", "k": "c2VjcmV0"}]}}"#,
            r#"{"jwks": {"keys": []}}"#,
            r#"{"typo": 1}"#,
        ] {
            assert!(Config::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let key = format!(r#""api_keys": {{"ci": "sha256:{}"}}"#, "0".repeat(64));
        assert!(Config::parse(format!("{{{key}}}").as_bytes()).is_ok());
        for wrong in [r#""headers": {"sub": "content-length"}"#, r#""headers": {"sub": "a b"}"#, r#""realm": "a\"b""#] {
            assert!(Config::parse(format!("{{{key}, {wrong}}}").as_bytes()).is_err(), "{wrong}");
        }
    }
}
