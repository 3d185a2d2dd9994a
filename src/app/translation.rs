//! What the two translations read: every published app with its two URLs, and what is translated in its bodies.
//!
//! It refuses to translate anything itself; the tables are read by `filters/header-translation` and
//! `filters/link-translation`.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::config::{AppSettings, EdgeConfig};

/// Bytes of the digest that are in an `ETag`: two tables that share 64 bits are no one's luck.
const VERSION_BYTES: usize = 8;

/// The configuration of `header-translation`.
pub(super) fn of_headers(config: &EdgeConfig) -> Bytes {
    let apps: Vec<Value> = config.apps.iter().map(urls).collect();
    Bytes::from(json!({ "apps": apps }).to_string())
}

/// The configuration of `link-translation`. Its version changes with every word of it: a body that was
/// translated by another table is another body.
pub(super) fn of_links(config: &EdgeConfig) -> Bytes {
    let apps = Value::Array(config.apps.iter().map(links).collect());
    let digest = digest(&SHA256, format!("{} {apps}", env!("CARGO_PKG_VERSION")).as_bytes());
    let version: String = digest.as_ref().iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Bytes::from(json!({ "version": version, "apps": apps }).to_string())
}

fn urls(app: &AppSettings) -> Value {
    json!({
        "name": app.name,
        "external": app.external_url.to_string(),
        "internal": app.internal_url.to_string(),
    })
}

fn links(app: &AppSettings) -> Value {
    let mut value = urls(app);
    let also: Vec<Value> = app.translate_also.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
    value["translate"] = app.translate_urls_in_body.into();
    value["translate_scripts"] = app.translate_urls_in_scripts.into();
    value["translate_event_streams"] = app.translate_urls_in_event_streams.into();
    value["attributes"] = app.translate_attributes.clone().into();
    value["mappings"] = also.into();
    value
}
