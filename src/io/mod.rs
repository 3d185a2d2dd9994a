//! The ground: worker threads, sockets, scratch buffers and how much memory there is.
//!
//! The only room that knows the platform. It refuses to know what the bytes mean: no TLS, no
//! HTTP, no limits of its own beyond the sizes written beside each constant.

pub mod buffer;
pub mod clock;
pub mod memory;
pub mod socket;
pub mod tcp;
#[cfg(target_os = "linux")]
pub mod uring;
pub mod worker;
