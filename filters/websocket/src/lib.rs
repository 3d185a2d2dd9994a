//! Who may open a WebSocket, and on request what may pass through it.
//!
//! ```text
//! request headers ─▶ handshake::judge ─▶ Pass | Accept | Refuse(403, 400, 426)
//! data, with `inspect` only ─▶ frames::Inspector, one per direction ─▶ nothing | Violation
//! ```
//!
//! Handshakes are HTTP/1.1 `Upgrade: websocket` and HTTP/2 extended CONNECT (RFC 8441). Without
//! `inspect` the data phase is not looked at: set `phases = ["request_headers"]` for this filter, so
//! that the host does not call it. With `inspect` it needs `request_body`, `response_headers` and
//! `response_body` as well, and the host's `upgrade_data`.
//!
//! It refuses to translate: the handshake's `Origin` is header-translation's, and this filter has
//! to stand before that in the chain to see the origin the user came from. It does not decompress:
//! it takes extensions out of the handshake, or measures what is on the wire.

pub mod config;
pub mod frames;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod handshake;

pub use config::{Inspect, Policy, policy};
pub use frames::{Inspector, Sender, Violation};
pub use handshake::{Refusal, Verdict, judge};
