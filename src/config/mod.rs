//! The configuration files of edge and connector: one table of settings, read strictly.
//!
//! ```text
//!   settings! tables ─┬─▶ the structs and their defaults       (edge, app, filter, connector)
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
mod collection;
mod connector;
mod dial;
mod duration;
mod edge;
mod error;
mod example;
mod field;
mod filter;
mod kind;
mod manifest;
mod module_source;
mod parse;
mod payload;
mod published_path;
mod published_url;
mod reader;
mod reference;
mod rules;
mod schema;
mod size;
mod unbuilt;
mod upstream;

pub use app::{AppSettings, BackendProtocol, CookieSettings, LOCAL_GROUP};
pub use cidr::Cidr;
pub use connector::{ConnectorConfig, ConnectorLimits};
pub use dial::{Destination, DialSettings, Whereabouts};
pub use edge::{CertificateFiles, Compression, EdgeConfig, IoDriver, LimitSettings, Listen, Log, LogFormat};
pub use error::ConfigError;
pub use example::{example_connector, example_edge};
pub use filter::{
    BodyMode, FilterCapabilities, FilterLimits, FilterLogLevel, FilterSettings, HeaderBytes, HeadersPause, Isolation,
};
pub use manifest::{Abi, Manifest, ManifestBody, ManifestCapabilities, ManifestDev, ManifestFields, ManifestLimits};
pub use module_source::{BUILTIN_FILTERS, ModuleSource};
pub use parse::{parse_connector, parse_edge, parse_manifest};
pub use payload::Payload;
pub use published_url::{PublishedUrl, Scheme};
pub use reference::reference_markdown;
pub use unbuilt::PreAuthentication;
pub use upstream::Upstream;
