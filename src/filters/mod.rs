//! Room 4: the Proxy-Wasm host. Filters are sandboxed modules; a request meets those of its app in order.
//!
//! ```text
//!   office:  Library ─ compile ─ canary ─▶ Plugin ─ start ─▶ spare Vm
//!   worker:  Host ─ adopts ─▶ Running ◀─ callbacks ─ Passage (one request) ─ Flow (one direction)
//!   guest:   Vm ─ host calls ─▶ abi ─▶ State, with the request's Data lent to it
//! ```
//!
//! A filter that traps, loops or grows costs the requests in its VM and nothing else. The room
//! refuses to give a filter what was not granted, and to let one frame a message: content codings,
//! lengths and framing are the host's.

pub mod abi;
mod before;
mod builtin;
mod cache;
mod chain;
pub mod charset;
pub mod codec;
mod commons;
mod concern;
mod deadline;
mod engine;
mod flow;
mod health;
mod host;
mod library;
mod module;
mod observe;
mod plugin;
mod protection;
mod source;
mod state;
mod status;
mod stream;
mod vm;

pub use abi::{HOST_FUNCTIONS, HostFunction, reference_markdown};
pub use builtin::{BUILTINS, Builtin};
pub use chain::{Chain, Guard, Passage, Passed, When};
pub use codec::{Coding, Decoder, Encoder, Levels};
pub use engine::Engine;
pub use health::Health;
pub use host::{Host, Outbound, Sending};
pub use library::{Fault, Library, Loaded, Source};
pub use module::{Abi, Capability, Module, WASM_BYTES_MAX};
pub use observe::{HostCall, Level, Lines, Observer};
pub use plugin::{BodyMode, FilterLimits, Grants, HeaderBytes, Isolation, Plugin, Settings};
pub use status::Status;
pub use stream::{Data, Facts, LocalReply, Shared, Way};
