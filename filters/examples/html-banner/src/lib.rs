//! Puts a banner after `<body …>` of every HTML page: "This is the staging server", "Maintenance on Sunday".
//!
//! ```text
//! adapter.rs (SDK) ──► page.rs: is this response a page? ──► scanner.rs: where is the body? ──► banner.rs: what goes there
//! ```
//!
//! It holds nothing back: the place is found byte by byte, whatever the chunks, and the banner goes in where its chunk
//! passes. It refuses to guess: a page without a `<body>` tag, a part of a page and anything else than HTML stay as
//! they are. Decoding and re-encoding are the host's (`body.response = "decoded"`).

pub mod banner;
pub mod page;
pub mod scanner;

#[cfg(target_arch = "wasm32")]
mod adapter;
