//! The configuration files of edge and connector: one table of settings, read strictly.
//!
//! ```text
//!   settings! tables ─┬─▶ the structs and their defaults       (edge, app, connector)
//!                     ├─▶ reading and checking, every fault told (parse, reader, rules)
//!                     ├─▶ the commented example file            (example)
//!                     └─▶ docs/configuration.md                 (reference)
//! ```
//!
//! Refuses to half-apply a file: the result is a whole configuration or the list of everything
//! wrong with it, each fault with its line and column. Opens no file, no socket and no certificate.

mod address;
mod app;
mod cidr;
mod connector;
mod duration;
mod edge;
mod error;
mod example;
mod kind;
mod parse;
mod published_path;
mod published_url;
mod reader;
mod reference;
mod rules;
mod schema;
mod size;
mod unbuilt;

pub use app::{AppSettings, BackendProtocol, CookieSettings, LOCAL_GROUP};
pub use cidr::Cidr;
pub use connector::{ConnectorConfig, ConnectorLimits};
pub use edge::{CertificateFiles, EdgeConfig, LimitSettings, Listen, Log, LogFormat};
pub use error::ConfigError;
pub use example::{example_connector, example_edge};
pub use parse::{parse_connector, parse_edge};
pub use published_url::{PublishedUrl, Scheme};
pub use reference::reference_markdown;
pub use unbuilt::PreAuthentication;
