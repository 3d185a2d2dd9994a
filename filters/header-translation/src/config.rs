//! The configuration: every published app with its two URLs, as the proxy writes it.
//!
//! It refuses unknown keys: a proxy and a filter of different versions must not half understand each
//! other.

use std::fmt;

use origins::{AppUrls, Refused, Table};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    apps: Vec<App>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    name: String,
    external: String,
    internal: String,
}

impl App {
    fn urls(&self) -> AppUrls<'_> {
        AppUrls { name: &self.name, external: &self.external, internal: &self.internal }
    }
}

/// Why a configuration was refused, in words for the log.
#[derive(Debug)]
pub enum Invalid {
    /// Not the JSON that is expected.
    Shape(serde_json::Error),
    /// The JSON is right, an app is not.
    App(Refused),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Invalid::Shape(error) => write!(f, "configuration refused: {error}"),
            Invalid::App(error) => write!(f, "configuration refused: {error}"),
        }
    }
}

impl std::error::Error for Invalid {}

/// Reads `{"apps": [{"name": …, "external": …, "internal": …}, …]}`.
pub fn table(json: &[u8]) -> Result<Table, Invalid> {
    let read: Configuration = serde_json::from_slice(json).map_err(Invalid::Shape)?;
    let apps: Vec<_> = read.apps.iter().map(App::urls).collect();
    Table::new(&apps).map_err(Invalid::App)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_configuration_is_read() {
        let json =
            br#"{"apps":[{"name":"wiki","external":"https://app.example/","internal":"http://10.0.0.1:3000/"}]}"#;
        assert!(table(json).unwrap().app(b"wiki").is_some());
    }

    #[test]
    fn a_wrong_one_is_refused_in_words() {
        for (json, expected) in [
            ("", "configuration refused: EOF"),
            ("{}", "configuration refused: missing field `apps`"),
            (r#"{"apps":[],"x":1}"#, "configuration refused: unknown field `x`"),
            (
                r#"{"apps":[{"name":"a","external":"https://a/","url":""}]}"#,
                "configuration refused: unknown field `url`",
            ),
            (
                r#"{"apps":[{"name":"a","external":"https://a/","internal":"b"}]}"#,
                "configuration refused: app `a`: `internal`",
            ),
        ] {
            let refused = table(json.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
