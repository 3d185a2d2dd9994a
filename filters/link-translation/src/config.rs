//! The configuration: every published app with its two URLs and what is translated in its bodies, as
//! the proxy writes it.
//!
//! It refuses unknown keys: a proxy and a filter of different versions must not half understand each
//! other.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use origins::{AppId, AppUrls, Refused, Table};
use serde::Deserialize;

use crate::links::delimits;

/// 1 MiB: what one stream may hold back, see [`crate::Body`].
const HELD_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    version: String,
    apps: Vec<App>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    name: String,
    external: String,
    internal: String,
    #[serde(default = "yes")]
    translate: bool,
    #[serde(default)]
    translate_scripts: bool,
    #[serde(default)]
    translate_event_streams: bool,
    #[serde(default)]
    attributes: Vec<String>,
    #[serde(default)]
    mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { held: HELD_BYTES_MAX }
    }
}

fn yes() -> bool {
    true
}

/// What is translated in the bodies of one app.
#[derive(Debug, Default)]
pub struct Options {
    /// Its bodies are translated at all.
    pub translate: bool,
    /// JavaScript and JSON too.
    pub scripts: bool,
    /// Event streams too.
    pub event_streams: bool,
    /// Further attributes that hold a URL, in lower case: `data-url`, `hx-get`.
    pub attributes: Vec<Vec<u8>>,
    /// Mappings of this app alone, asked before the table.
    pub extra: Option<Table>,
}

/// All that streams share.
#[derive(Debug)]
pub struct Maps {
    /// All published apps.
    pub table: Table,
    /// Changes when anything above does; ETags carry it.
    pub version: String,
    /// Bytes that all streams hold now.
    pub(crate) kept: Rc<Cell<usize>>,
    /// Bytes one stream may hold back.
    pub held_bytes_max: usize,
    options: Vec<Options>,
    /// Some external path has a byte that ends a string or an attribute.
    pub(crate) has_delimiters: bool,
    /// [`Table::longest`] of the longest of the tables.
    pub(crate) window: usize,
}

/// Why a configuration was refused, in words for the log.
#[derive(Debug)]
pub enum Invalid {
    /// Not the JSON that is expected.
    Shape(serde_json::Error),
    /// The JSON is right, an app or one of its mappings is not.
    App(Refused),
    /// The version cannot stand in an ETag.
    Version,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Invalid::Shape(error) => write!(f, "configuration refused: {error}"),
            Invalid::App(error) => write!(f, "configuration refused: {error}"),
            Invalid::Version => f.write_str("configuration refused: `version` must be ASCII letters and digits"),
        }
    }
}

impl std::error::Error for Invalid {}

impl Maps {
    /// Bytes that all bodies hold now.
    pub fn kept(&self) -> usize {
        self.kept.get()
    }

    /// Reads the configuration; `filters/README.md` has an example.
    pub fn read(json: &[u8]) -> Result<Self, Invalid> {
        let read: Configuration = serde_json::from_slice(json).map_err(Invalid::Shape)?;
        if read.version.is_empty() || !read.version.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Invalid::Version);
        }
        let urls = |app: &'_ App| (app.name.clone(), app.external.clone(), app.internal.clone());
        let table = table(&read.apps.iter().map(urls).collect::<Vec<_>>()).map_err(Invalid::App)?;
        let mapped = read.apps.iter().flat_map(|app| &app.mappings).map(|mapping| &mapping.to);
        let mut external = read.apps.iter().map(|app| &app.external).chain(mapped);
        let has_delimiters = external.any(|url| url.bytes().any(delimits));
        let options: Result<Vec<_>, _> = read.apps.into_iter().map(App::options).collect();
        let options = options.map_err(Invalid::App)?;
        let windows = options.iter().filter_map(|options| options.extra.as_ref()).map(Table::longest);
        let window = windows.chain([table.longest()]).max().unwrap_or_default();
        let held_bytes_max = read.limits.held.max(window);
        Ok(Maps { kept: Rc::default(), table, version: read.version, held_bytes_max, options, has_delimiters, window })
    }

    /// What is translated in the bodies of this app.
    pub fn options(&self, app: AppId) -> &Options {
        // An AppId comes from the table, and the options were made of the same list.
        &self.options[app.index()]
    }
}

impl App {
    fn options(self) -> Result<Options, Refused> {
        let name = |index: usize| format!("{}, mapping {}", self.name, index + 1);
        let row = |(index, mapping): (usize, &Mapping)| (name(index), mapping.to.clone(), mapping.from.clone());
        let mappings: Vec<_> = self.mappings.iter().enumerate().map(row).collect();
        Ok(Options {
            translate: self.translate,
            scripts: self.translate_scripts,
            event_streams: self.translate_event_streams,
            attributes: self.attributes.iter().map(|name| name.to_ascii_lowercase().into_bytes()).collect(),
            extra: if mappings.is_empty() { None } else { Some(table(&mappings)?) },
        })
    }
}

/// A table of rows of name, external and internal URL.
fn table(rows: &[(String, String, String)]) -> Result<Table, Refused> {
    let urls: Vec<_> = rows.iter().map(|(name, external, internal)| AppUrls { name, external, internal }).collect();
    Table::new(&urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_configuration_is_read() {
        let json = br#"{"version":"3f","apps":[
            {"name":"wiki","external":"https://app.example/","internal":"http://10.0.0.1:3000/","translate_scripts":true,
             "attributes":["Data-URL"],"mappings":[{"from":"http://old.corp/","to":"https://app.example/old/"}]},
            {"name":"blog","external":"https://blog.example/","internal":"http://blog.corp/","translate":false}
        ],"limits":{"held":65536}}"#;
        let maps = Maps::read(json).unwrap();
        let options = maps.options(maps.table.app(b"wiki").unwrap());
        assert!(options.translate && options.scripts && !options.event_streams && options.extra.is_some());
        assert_eq!(options.attributes, [b"data-url"]);
        assert!(!maps.options(maps.table.app(b"blog").unwrap()).translate);
        assert_eq!((maps.version.as_str(), maps.held_bytes_max), ("3f", 65536));
    }

    #[test]
    fn a_wrong_one_is_refused_in_words() {
        for (json, expected) in [
            ("", "configuration refused: EOF"),
            (r#"{"apps":[]}"#, "configuration refused: missing field `version`"),
            (r#"{"version":"a b","apps":[]}"#, "configuration refused: `version` must be"),
            (r#"{"version":"a","apps":[],"x":1}"#, "configuration refused: unknown field `x`"),
            (
                r#"{"version":"a","apps":[{"name":"a","external":"https://a/","internal":"b"}]}"#,
                "configuration refused: app `a`: `internal`",
            ),
            (
                r#"{"version":"a","apps":[{"name":"a","external":"https://a/","internal":"http://b/",
                    "mappings":[{"from":"c","to":"https://d/"}]}]}"#,
                "configuration refused: app `a, mapping 1`: `internal`",
            ),
        ] {
            let refused = Maps::read(json.as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
