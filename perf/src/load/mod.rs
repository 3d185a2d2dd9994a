//! What drives the load, and what it found: wrk and h2load for saturation over plain HTTP/1.1 and
//! HTTP/2, our generator for the rest.
//!
//! Each is a process on the load core. It refuses to believe a run with any error in it.

pub mod h2load;
pub mod own;
pub mod wrk;

/// What one run of a load found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Turns: requests, handshakes, messages.
    pub turns: f64,
    pub seconds: f64,
    /// Of bodies, in the direction that is loaded; 0 where nobody counts them.
    pub body_bytes: f64,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Why the run proves nothing, if so.
    pub void: Option<String>,
}

#[allow(clippy::cast_precision_loss, reason = "counts and microseconds of a run of at most an hour fit 52 bits")]
pub fn real(number: u64) -> f64 {
    number as f64
}
