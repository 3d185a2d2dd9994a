//! The office, off the request path: who may join, what a connector is called, which certificate it carries.
//!
//! ```text
//!  lockgate token create ──► store (token, hash of its secret) ──► join token, shown once
//!  connector: key + CSR  ──► desk ─► enrol ──► ca signs ──► store redeems the token ──► certificate
//!  connector: link       ──► desk ─► store: known, not revoked ──► the worker of its slot
//!  operator, Prometheus  ──► admin port
//! ```
//!
//! Refuses to see a connector's private key, and to keep a join token's secret.

pub mod admin;
pub mod ca;
pub mod desk;
pub mod enrol;
pub mod self_signed;
pub mod store;
