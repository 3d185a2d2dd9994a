//! Whether a token is good: RFC 7515 compact form, RFC 7519 claims, with the practices of RFC 8725.
//!
//! Refuses critical extensions, encrypted and unsecured tokens, and to tell the client which check failed; the reason
//! is for the log.

use crate::config::Claims;
use crate::signature::{Key, base64url};
use serde_json::{Map, Value};

/// Longest token, in bytes; larger than any proxy lets a header be.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Why a token is no good; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no token in compact form.
    Malformed,
    /// No key has this name and algorithm.
    NoKey,
    /// The header asks for an extension.
    Critical,
    /// No signature of ours.
    Signature,
    /// It has no end, or is past it.
    Expired,
    /// Its time has not come.
    NotYet,
    /// Another issuer's.
    Issuer,
    /// For somebody else.
    Audience,
}

/// Checks a token and returns its claims.
pub fn verify(token: &[u8], keys: &[Key], claims: &Claims, now_seconds: u64) -> Result<Map<String, Value>, Refusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed);
    };
    let message = &token[..header.len() + 1 + payload.len()];
    let header = object(header).ok_or(Refusal::Malformed)?;
    let signature = base64url(signature).ok_or(Refusal::Malformed)?;
    if header.contains_key("crit") {
        return Err(Refusal::Critical);
    }
    // The token names its key; which algorithm that is for, the key says, never the token.
    let (algorithm, id) = (header.get("alg").and_then(Value::as_str), header.get("kid"));
    let mut candidates =
        keys.iter().filter(|key| Some(key.algorithm()) == algorithm).filter(|key| match (&key.id, id) {
            (Some(key), Some(id)) => id.as_str() == Some(key),
            _ => true,
        });
    let mut tried = false;
    let good = candidates.any(|key| {
        tried = true;
        key.verifies(message, &signature)
    });
    if !good {
        return Err(if tried { Refusal::Signature } else { Refusal::NoKey });
    }
    let payload = object(payload).ok_or(Refusal::Malformed)?;
    check(&payload, claims, now_seconds).map(|()| payload)
}

fn object(part: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(&base64url(part)?).ok()
}

fn check(payload: &Map<String, Value>, claims: &Claims, now_seconds: u64) -> Result<(), Refusal> {
    let leeway = f64::from(claims.leeway_seconds);
    let now = now_seconds as f64;
    let time = |name: &str, refusal| match payload.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(refusal),
    };
    match time("exp", Refusal::Expired)? {
        Some(end) if now >= end + leeway => return Err(Refusal::Expired),
        None if !claims.allow_without_expiry => return Err(Refusal::Expired),
        _ => {}
    }
    for name in ["nbf", "iat"] {
        if time(name, Refusal::NotYet)?.is_some_and(|start| now + leeway < start) {
            return Err(Refusal::NotYet);
        }
    }
    if let Some(issuer) = &claims.issuer
        && payload.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Refusal::Issuer);
    }
    if let Some(audience) = &claims.audience {
        let named = match payload.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
            _ => false,
        };
        if !named {
            return Err(Refusal::Audience);
        }
    }
    Ok(())
}
