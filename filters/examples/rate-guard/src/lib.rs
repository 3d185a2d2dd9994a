//! Limits the size of requests and how many a client may send.
//!
//! ```text
//! adapter.rs (SDK) ──► size.rs: declared and counted length ──► 413
//!        │ shared data, compare-and-swap
//!        └──────────► client.rs: whose request is it? ──► bucket.rs: is there a token? ──► 429 with Retry-After
//! ```
//!
//! The buckets are in shared data, so that all workers count together; how many there are is fixed, because shared data
//! cannot be deleted. It refuses to be exact under contention: after a few lost races a request is let through.

pub mod bucket;
pub mod client;
pub mod config;
pub mod size;

#[cfg(target_arch = "wasm32")]
mod adapter;
