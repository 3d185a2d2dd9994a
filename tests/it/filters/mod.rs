//! Filters through the whole path: a client, the edge, its links or the backend itself, and guests that are
//! written for the case, or built from `filters/`.

mod guest;
mod lab;

mod bodies;
mod calls;
mod chaos;
pub mod codings;
mod commons;
mod failures;
mod guarded;
mod headers;
mod loading;
mod native;
mod pauses;
mod properties;
mod reloads;
mod replies;
mod sockets;
