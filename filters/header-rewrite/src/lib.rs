//! Header rules for operators: when a request or a response looks like this, set, append, remove,
//! rename or replace that.
//!
//! ```text
//! JSON ─▶ config::rules ─▶ Rules      (once; refused with rule number, key and reason)
//! headers + facts ─▶ Rules::run ─▶ edits for the host + problems for the log
//! ```
//!
//! Rules run in order and see what those before them did. It refuses to emit what could split a
//! message or change its framing: CR, LF, NUL and other control characters, names that are no
//! tokens, pseudo-headers and connection headers. Patterns are linear-time: no back-references, no
//! look-around.

pub mod config;
#[cfg(target_arch = "wasm32")]
mod guest;
mod rules;
mod template;

pub use rules::{Facts, Outcome, Phase, Rules};
