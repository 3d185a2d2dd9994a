//! Which internal URL is which external one: the table of all published apps, read by
//! header-translation and by link translation.
//!
//! ```text
//! value ─▶ url::read ─▶ host ─▶ Index ─▶ apps with that host ─▶ scheme, port, path border ─▶ the best
//!             └ relative, opaque, user information: untouched            └ none: untouched
//! ```
//!
//! Whole origins and path prefixes on a segment border are mapped, never substrings. The scheme and
//! the port must be the configured ones: `http` is not taken for `https`, as nginx (`proxy_redirect`)
//! and Apache (`ProxyPassReverse`) do not either; `ws` and `wss` stand for `http` and `https`.
//! What is already external has no internal host and stays as it is.
//!
//! It refuses to resolve: relative URLs, `..`, percent-encoding and entities are the caller's.

mod choice;
mod idn;
mod index;
mod place;
mod table;
pub mod url;

pub use place::Place;
pub use table::{AppId, AppUrls, Hit, Refused, Side, Start, Table};
