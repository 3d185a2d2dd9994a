//! Lockgate publishes private web applications through outbound-only connectors.
//!
//! A request walks through rooms in this order; each takes the last room's ticket and gives its
//! own, and only the corridor (`exchange`) branches:
//!
//! ```text
//!   client ─▶ edge ─▶ exchange ─┬▶ routing   which app
//!                               ├▶ auth      who may enter
//!                               ├▶ filters   sandboxed modules, there and back
//!                               └▶ relay     which link ─▶ tunnel ═════ connector ─▶ backend
//!                                            or the backend itself ────────────────▶ backend
//! ```
//!
//! Words: *edge* the public process · *connector* the process beside the applications · *link* one
//! TLS connection a connector opened to an edge · *relay stream* one request on a link · *group*
//! connectors that can stand in for each other · *app* a published application · *backend* its
//! private server.
//!
//! Invariants: a request stays on one worker from accept to answer; nothing is relayed that was
//! not routed and admitted (the types say so); network input never panics; every queue, buffer
//! and wait has a limit in [`limits`].

// The house, top down: a room imports only from rooms below it (`tests/tidy.rs`).
pub mod cli;

pub mod app;
pub mod config;
pub mod sample;

pub mod connector;
pub mod control;
pub mod edge;

pub mod exchange;

pub mod auth;
pub mod filters;
pub mod relay;
pub mod routing;

pub mod backend;
pub mod tunnel;

pub mod drain;
pub mod error;
pub mod http;
pub mod id;
pub mod limits;
pub mod metrics;
pub mod tls;
pub mod trace;

pub mod io;
