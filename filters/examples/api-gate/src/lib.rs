//! Lets in who has an API key or a JSON Web Token, and tells the application who that is.
//!
//! ```text
//! adapter.rs (SDK) ──► gate.rs: who is it? ──► api key: compared in constant time
//!                        │                 └─► jwt.rs: header, key, signature, claims ──► signature.rs
//!                        ▼
//!      Entry { remove look-alikes, set headers }  or  401 with WWW-Authenticate
//! ```
//!
//! It refuses `none`, algorithms no key is for, tokens without an end, and two credentials at once; and it never lets a
//! client's own `X-User` through, on no path.

pub mod config;
pub mod gate;
pub mod jwt;
pub mod signature;

#[cfg(test)]
mod tests;

#[cfg(target_arch = "wasm32")]
mod adapter;
