//! HTTP/1.1 on the wire (RFC 9112): strict parsing without I/O, and the connection around it.
//!
//! ```text
//!   bytes ─▶ lines (CRLF only) ─▶ request | response head ─▶ framing ─▶ body decoder
//! ```
//!
//! hyper's server resolves ambiguous framing by itself and hides what it resolved; a proxy must
//! refuse it (RFC 9112, 11.2). So the parser is ours: it accepts exactly one reading of a message
//! or none, and nothing it has not understood leaves the process.

pub mod chunked;
pub mod conn;
pub mod encode;
pub mod lines;
mod output;
pub mod request;
pub mod response;
pub mod writer;

use std::borrow::Cow;

pub use conn::{Conn, Inbound, Shared};

use crate::error::{Error, Kind};

/// How a message's body is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

/// Why bytes were refused: always the end of the connection they came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status and code of the answer.
    pub kind: Kind,
    /// The rule that was broken, with its clause.
    pub rule: Cow<'static, str>,
}

impl Reject {
    /// A violation of the grammar.
    #[must_use]
    pub const fn grammar(rule: &'static str) -> Self {
        Self { kind: Kind::BadRequest, rule: Cow::Borrowed(rule) }
    }

    /// Another kind of refusal.
    #[must_use]
    pub const fn of(kind: Kind, rule: &'static str) -> Self {
        Self { kind, rule: Cow::Borrowed(rule) }
    }
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        Self::new(reject.kind, reject.rule)
    }
}
