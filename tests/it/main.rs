//! The integration tests: a small world of edge, connectors and scripted backends in one process,
//! with real sockets and real TLS, ports from the system, deadlines instead of sleeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod backend;
mod client;
mod forwarder;
mod frames;
mod gate;
mod load;
#[cfg(target_os = "linux")]
mod memory;
mod slow_uploads;
mod socket;
mod world;

mod admin;
mod backend_faults;
mod backend_reuse;
mod bodies;
mod check_links;
mod cli;
mod corpus;
mod crowding;
mod drain;
mod enrol;
mod errors;
mod filter_admin;
mod filter_tools;
mod filters;
mod forwarding;
mod framing;
mod heads;
mod http2;
mod http2_malformed;
mod interim;
mod limits;
mod links;
mod no_io_uring;
mod reload;
mod seam;
mod streaming;
mod translation;
mod upgrade;
mod websocket;

#[path = "../conformance/mod.rs"]
mod conformance;

#[path = "../hostile/mod.rs"]
mod hostile;

#[path = "../fuzz/mod.rs"]
mod fuzz;
