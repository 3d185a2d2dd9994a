//! Link translation: internal addresses in response bodies become external ones, while they stream.
//!
//! ```text
//!   head ─▶ kind ── not ours ─▶ the host is told to keep the body to itself
//!             └ Body ─┬ html ─┬ attributes ─▶ srcset, css, absolute, html (srcdoc)
//!                     │       └ text ───────▶ css, absolute
//!                     ├ css
//!                     └ absolute (JSON, JavaScript, XML text, events)
//!                            └──▶ Links ─▶ origins::Table ─▶ Edits ─▶ out
//! ```
//!
//! One table of all published apps ([`origins::Table`]) says which address is which. Whole origins,
//! with a path prefix, are translated, never substrings; whatever is no address passes byte for byte,
//! malformed or not. It refuses to decode content codings, which is the host's, to convert charsets,
//! and to touch what it cannot read.

mod absolute;
mod body;
mod borders;
mod config;
mod css;
mod decoded;
mod edits;
mod entities;
mod escapes;
mod etag;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod head;
mod html;
mod kept;
mod kind;
mod lanes;
mod links;
mod look;
mod search;
mod srcset;

pub use body::Body;
pub use config::{Invalid, Maps, Options};
pub use kind::Kind;
