//! Content codings (RFC 9110, 8.4): what a body is coded with, what a client accepts, and the way
//! there and back for filters that ask for decoded bodies.
//!
//! ```text
//!   backend ──▶ Decoder (last coding first) ──▶ filters ──▶ Encoder (same list) ──▶ client
//! ```
//!
//! Sans I/O: no clock, no threads, no waiting. It refuses codings it does not know: such a body is
//! not touched, and the host counts it. It changes no field but `Accept-Encoding`.

mod accept;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use accept::{accepts, limit_accept_encoding};
pub use decode::{DecodeError, Decoder};
pub use encode::{EncodeError, Encoder, Levels};

use http::header::{self, HeaderMap, HeaderName};

/// Codings one on top of the other. One is the rule, two an accident of some middleware; each
/// more multiplies what a bomb expands to, and costs another decoder's memory.
pub const STACKED_MAX: usize = 3;

/// A content coding that can be undone and redone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip` and its old name `x-gzip` (RFC 1952; RFC 9110, 8.4.1.3).
    Gzip,
    /// `deflate`: the zlib format (RFC 1950; RFC 9110, 8.4.1.2). Some servers send bare deflate
    /// (RFC 1951) under that name: that is read too, but never written.
    Deflate,
    /// `br` (RFC 7932), without the large windows that are no part of it.
    Brotli,
    /// `zstd` (RFC 8878), with windows of at most 8 MiB (RFC 9659).
    Zstd,
}

/// Why a `Content-Encoding` cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// A coding that is none of [`Coding`], as the sender spelt it.
    Coding(String),
    /// More than [`STACKED_MAX`] codings.
    Stacked,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Coding(name) => write!(f, "unknown content coding {name:?}"),
            Self::Stacked => write!(f, "more than {STACKED_MAX} content codings"),
        }
    }
}

impl std::error::Error for Unknown {}

impl Coding {
    /// All codings, in the order in which `*` of an `Accept-Encoding` is spelt out.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// The coding's registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The codings of all `Content-Encoding` fields, in the order in which they were applied.
    /// `identity` and empty elements are none.
    ///
    /// # Errors
    ///
    /// The first coding that is not known, or too many of them: the body has to pass as it is.
    pub fn list(headers: &HeaderMap) -> Result<Vec<Self>, Unknown> {
        let mut codings = Vec::new();
        for name in elements(headers, &header::CONTENT_ENCODING) {
            if name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            let coding = Self::named(name).ok_or_else(|| Unknown::Coding(String::from_utf8_lossy(name).into()))?;
            if codings.len() == STACKED_MAX {
                return Err(Unknown::Stacked);
            }
            codings.push(coding);
        }
        Ok(codings)
    }

    /// The coding of this name (case-insensitive).
    fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// The elements of a comma-separated field, over all its lines, without the empty ones.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}
