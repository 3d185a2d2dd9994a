//! The join token: one line of text an operator carries from the edge to a new connector.
//!
//! ```text
//!  lgj1_ base64url( edge length:2 │ id:8 │ secret:16 │ CA fingerprint:32 │ edge │ checksum:4 )
//!        checksum = the first four bytes of sha256("lgj1_" + everything before it)
//! ```
//!
//! It carries all a connector needs before it trusts anything: where to dial, which CA to believe, and the right to
//! enrol once. Refuses to be printed by `Debug`, and to be half understood: a cut or mistyped token is told apart from
//! one the edge does not know. The edge keeps [`secret_hash`] only.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What every token of this version starts with.
pub const PREFIX: &str = "lgj1_";
/// Longest edge address, in bytes: a DNS name has at most 253, `:65535` adds 6, rounded up to 264.
pub const EDGE_BYTES_MAX: usize = 264;
/// Longest token text that is looked at, in bytes: prefix + ⌈(2 + 8 + 16 + 32 + 264 + 4) × 4 / 3⌉ = 440, and room for
/// the line breaks a mail program adds.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// edge length + id + secret + fingerprint.
const FIXED_BYTES: usize = 2 + 8 + 16 + 32;
const CHECKSUM_BYTES: usize = 4;

/// What lets a connector enrol once.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// `host:port` to dial; an IPv6 address stands in brackets.
    pub edge: String,
    /// SHA-256 of the edge's CA certificate in DER; the connector believes no other CA.
    pub ca_fingerprint: [u8; 32],
    /// Names the token in the store and in the log; no secret.
    pub id: [u8; 8],
    /// The right to enrol. 128 random bits, so one plain SHA-256 is enough to keep it by.
    pub secret: [u8; 16],
}

impl JoinToken {
    /// The token as text: ASCII letters, digits, `-` and `_` only, safe to double-click and to put into a shell.
    ///
    /// An `edge` longer than [`EDGE_BYTES_MAX`] or not `host:port` makes a text that [`JoinToken::decode`] refuses.
    #[must_use]
    pub fn encode(&self) -> String {
        let edge_bytes = u16::try_from(self.edge.len()).unwrap_or(u16::MAX);
        let mut body = Vec::with_capacity(FIXED_BYTES + self.edge.len() + CHECKSUM_BYTES);
        body.extend_from_slice(&edge_bytes.to_be_bytes());
        body.extend_from_slice(&self.id);
        body.extend_from_slice(&self.secret);
        body.extend_from_slice(&self.ca_fingerprint);
        body.extend_from_slice(self.edge.as_bytes());
        let check = checksum(&body);
        body.extend_from_slice(&check);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(body))
    }

    /// Reads a token; white space around and inside it (a wrapped line) is ignored.
    ///
    /// # Errors
    /// [`TokenError`], each with its own mend. Never panics, whatever the text.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Mistyped);
        }
        let text: String = text.split_ascii_whitespace().collect();
        let body = body_of(without_prefix(&text)?)?;
        let (content, check) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenError::Cut)?;
        if checksum(content) != *check {
            return Err(TokenError::Mistyped);
        }
        Self::from_content(content)
    }

    /// `content` passed its checksum, so what is wrong with it now was wrong where the token was made.
    fn from_content(content: &[u8]) -> Result<Self, TokenError> {
        let (_, rest) = content.split_first_chunk::<2>().ok_or(TokenError::Cut)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(TokenError::Cut)?;
        let (secret, rest) = rest.split_first_chunk::<16>().ok_or(TokenError::Cut)?;
        let (ca_fingerprint, edge) = rest.split_first_chunk::<32>().ok_or(TokenError::Cut)?;
        let edge = std::str::from_utf8(edge).map_err(|_| TokenError::EdgeAddress)?;
        if !is_host_port(edge) {
            return Err(TokenError::EdgeAddress);
        }
        Ok(Self { edge: edge.to_owned(), ca_fingerprint: *ca_fingerprint, id: *id, secret: *secret })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("edge", &self.edge)
            .field("ca_fingerprint", &hex(&self.ca_fingerprint))
            .field("id", &hex(&self.id))
            .finish_non_exhaustive()
    }
}

/// Why a text is not a join token, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It does not begin like a join token at all.
    WrongPrefix,
    /// A join token of a Lockgate that writes them differently.
    OtherVersion {
        /// The version it names, as written.
        version: String,
    },
    /// The end is missing.
    Cut,
    /// A character was changed, added or left out.
    Mistyped,
    /// Whole and unchanged, but the edge address in it is not `host:port`.
    EdgeAddress,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPrefix => write!(
                f,
                "this is not a join token: one starts with {PREFIX}; `lockgate token create` on the edge prints it"
            ),
            Self::OtherVersion { version } => write!(
                f,
                "this join token has version {version}, this lockgate reads version 1: install the edge's version here \
                 and try again"
            ),
            Self::Cut => f.write_str("the end of the join token is missing: copy the whole line again"),
            Self::Mistyped => {
                f.write_str("a character of the join token is wrong: copy it again rather than typing it")
            }
            Self::EdgeAddress => f.write_str(
                "the edge address inside the join token is not host:port: set the edge's public address and create a \
                 new token there",
            ),
        }
    }
}

impl std::error::Error for TokenError {}

/// What the edge keeps of a secret: its SHA-256.
#[must_use]
pub fn secret_hash(secret: &[u8; 16]) -> [u8; 32] {
    sha256(secret)
}

/// Reads a token id as printed: 16 hexadecimal digits in either case. `None` for anything else.
#[must_use]
pub fn id_from_hex(text: &str) -> Option<[u8; 8]> {
    let well_formed = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    well_formed.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(u64::to_be_bytes)
}

/// Lower-case hexadecimal digits, two for each byte: how ids, serials and fingerprints are shown.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0x0f)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// SHA-256 of `bytes`.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn without_prefix(text: &str) -> Result<&str, TokenError> {
    if let Some(rest) = text.strip_prefix(PREFIX) {
        return Ok(rest);
    }
    if PREFIX.starts_with(text) && !text.is_empty() {
        return Err(TokenError::Cut);
    }
    let version = text.strip_prefix("lgj").and_then(|rest| rest.split_once('_')).map(|(version, _)| version);
    match version {
        Some(version) if (1..=4).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(TokenError::OtherVersion { version: version.to_owned() })
        }
        _ => Err(TokenError::WrongPrefix),
    }
}

/// The bytes behind the prefix. The length in front tells a missing end from a wrong character.
fn body_of(text: &str) -> Result<Vec<u8>, TokenError> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(TokenError::Mistyped);
    }
    // Three characters hold the two bytes of the length; the low bits of the third belong to the id.
    let head = text.get(..4).ok_or(TokenError::Cut)?;
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Mistyped)?;
    let edge_bytes = head.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
    let edge_bytes = edge_bytes.filter(|bytes| *bytes <= EDGE_BYTES_MAX).ok_or(TokenError::Mistyped)?;
    let characters = ((FIXED_BYTES + edge_bytes + CHECKSUM_BYTES) * 4).div_ceil(3);
    if text.len() < characters {
        return Err(TokenError::Cut);
    }
    URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() == characters).ok_or(TokenError::Mistyped)
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = sha256(&[PREFIX.as_bytes(), content].concat());
    [hash[0], hash[1], hash[2], hash[3]]
}

fn is_host_port(edge: &str) -> bool {
    let Some((host, port)) = edge.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let host_fits = bracketed || !host.contains([':', '[', ']']);
    let visible = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'@');
    let port_fits = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    visible && host_fits && port_fits
}

#[cfg(test)]
mod tests;
