//! Translates the URLs in headers: requests speak of external URLs and the backend knows internal
//! ones, responses the other way round.
//!
//! ```text
//!            Origin Referer Destination If                 external ─▶ internal
//! user ────────────────────────────────────────────────────────────────────────▶ backend
//!      ◀────────────────────────────────────────────────────────────────────────
//!   external ◀─ internal    Location Refresh Link Set-Cookie Content-Security-Policy …
//! ```
//!
//! One table of all published apps ([`origins::Table`]) says which URL is which; [`values`] says
//! where in a field value URLs stand. It refuses to touch what it does not understand: a value it
//! cannot read stays as it is, byte for byte. `Host` and the path are the proxy's.

pub mod config;
mod cookie;
#[cfg(target_arch = "wasm32")]
mod guest;
mod translate;

pub use translate::{Current, REQUEST_FIELDS, RESPONSE_FIELDS, translate_request, translate_response};
