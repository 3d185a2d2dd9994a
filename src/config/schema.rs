//! The form of the one table of settings: [`settings!`] turns a list of settings into a struct,
//! its defaults, its reader and its description, so that the four cannot disagree.
//!
//! ```text
//! settings! {
//!     /// What this section is about.
//!     pub struct Door {
//!         /// One line of meaning: the field's documentation and the operator's.
//!         optional idle_timeout: Duration = Duration::from_secs(75), Time::up_to(DAY);
//!         required name: String = "front".to_owned(), Label;     // the value is an example only
//!     }
//!     tables { /// Meaning. log: Log = Log::default(), in "log"; }
//!     lists  { /// Meaning. keys: Key, in "key"; }
//!     maps   { /// Meaning. rooms: Room, in "room"; }              // [room.NAME]
//! }
//! ```
//!
//! Refuses a setting without meaning, kind and value: the macro does not match one.

use super::kind::Kind;
use super::reader::Reader;

/// A table of the file that the [`settings!`] macro has described.
pub(super) trait Section: Sized {
    /// The defaults, with example values where a setting is required.
    fn template() -> Self;

    /// The description of this section, with the values of `self` as the defaults.
    fn shape(&self) -> Shape;

    /// Reads the section; what is not written keeps the value of `template`.
    fn read(template: Self, reader: &mut Reader<'_, '_>) -> Self;
}

/// Description of a section.
pub(super) struct Shape {
    pub about: String,
    pub settings: Vec<Setting>,
    pub tables: Vec<SubTable>,
}

/// Description of one setting.
pub(super) struct Setting {
    pub key: &'static str,
    pub meaning: String,
    /// What values are allowed, as a noun phrase.
    pub allowed: String,
    /// The default in TOML, or an example of a required value.
    pub literal: String,
    pub is_required: bool,
}

/// Description of a table inside a section.
pub(super) struct SubTable {
    pub key: &'static str,
    pub meaning: String,
    pub form: Form,
    pub shape: Shape,
}

/// How often a table may stand in a section, and so how its header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[key]`, once.
    Single,
    /// `[[key]]`, any number of times.
    List,
    /// `[key.NAME]`, once for each name.
    Named,
}

/// What stands for the name of a table in headers that are not of a file.
pub(super) const NAME: &str = "NAME";

impl Setting {
    pub(super) fn optional<K: Kind>(key: &'static str, meaning: &str, kind: &K, default: &K::Value) -> Self {
        let (meaning, allowed, literal) = (meaning.trim().to_owned(), kind.allowed(), kind.show(default));
        Self { key, meaning, allowed, literal, is_required: false }
    }

    pub(super) fn required<K: Kind>(key: &'static str, meaning: &str, kind: &K, example: &K::Value) -> Self {
        Self { is_required: true, ..Self::optional(key, meaning, kind, example) }
    }
}

impl SubTable {
    /// `path.key`, with [`NAME`] for the name where there is one.
    pub(super) fn path_below(&self, path: &str) -> String {
        let path = join(path, self.key);
        if self.form == Form::Named { join(&path, NAME) } else { path }
    }
}

impl Shape {
    /// Every key that may stand in this section.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().map(|setting| setting.key).chain(self.tables.iter().map(|table| table.key))
    }

    /// Where below this section `key` is at home: `belongs in [limits]`, or `is written as [app.cookies]`.
    pub(super) fn homes_of(&self, key: &str) -> Vec<String> {
        let mut homes = Vec::new();
        self.collect_homes(key, "", &mut homes);
        homes
    }

    fn collect_homes(&self, key: &str, path: &str, homes: &mut Vec<String>) {
        for table in &self.tables {
            let path = table.path_below(path);
            if table.shape.settings.iter().any(|setting| setting.key == key) {
                homes.push(format!("belongs in {}", header(&path, table.form)));
            }
            if table.key == key {
                homes.push(format!("is written as {}", header(&path, table.form)));
            }
            table.shape.collect_homes(key, &path, homes);
        }
    }
}

/// `path.key`, or `key` at the root.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The header of the table at `path`, as [`SubTable::path_below`] gives it.
pub(super) fn header(path: &str, form: Form) -> String {
    if form == Form::List { format!("[[{path}]]") } else { format!("[{path}]") }
}

/// See the head of this file.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $meaning:literal])+
                $presence:ident $field:ident: $type:ty = $value:expr, $kind:expr;
            )*
        }
        $( tables { $(
            $(#[doc = $table_meaning:literal])+
            $table:ident: $table_type:ty = $table_value:expr, in $table_key:literal;
        )* } )?
        $( lists { $(
            $(#[doc = $list_meaning:literal])+
            $list:ident: $list_type:ty, in $list_key:literal;
        )* } )?
        $( maps { $(
            $(#[doc = $map_meaning:literal])+
            $map:ident: $map_type:ty, in $map_key:literal;
        )* } )?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $meaning])+ pub $field: $type, )*
            $( $( $(#[doc = $table_meaning])+ pub $table: $table_type, )* )?
            $( $( $(#[doc = $list_meaning])+ pub $list: Vec<$list_type>, )* )?
            $( $( $(#[doc = $map_meaning])+ pub $map: std::collections::BTreeMap<String, $map_type>, )* )?
        }

        impl $crate::config::schema::Section for $name {
            fn template() -> Self {
                Self {
                    $( $field: $value, )*
                    $( $( $table: $table_value, )* )?
                    $( $( $list: Vec::new(), )* )?
                    $( $( $map: std::collections::BTreeMap::new(), )* )?
                }
            }

            fn shape(&self) -> $crate::config::schema::Shape {
                use $crate::config::schema::{Setting, Shape};
                Shape {
                    about: concat!($($about),+).trim().to_owned(),
                    settings: vec![
                        $( Setting::$presence(stringify!($field), concat!($($meaning),+), &$kind, &self.$field), )*
                    ],
                    tables: vec![
                        $( $( $crate::config::schema::SubTable {
                            key: $table_key,
                            meaning: concat!($($table_meaning),+).trim().to_owned(),
                            form: $crate::config::schema::Form::Single,
                            shape: self.$table.shape(),
                        }, )* )?
                        $( $( $crate::config::schema::SubTable {
                            key: $list_key,
                            meaning: concat!($($list_meaning),+).trim().to_owned(),
                            form: $crate::config::schema::Form::List,
                            shape: <$list_type>::template().shape(),
                        }, )* )?
                        $( $( $crate::config::schema::SubTable {
                            key: $map_key,
                            meaning: concat!($($map_meaning),+).trim().to_owned(),
                            form: $crate::config::schema::Form::Named,
                            shape: <$map_type>::template().shape(),
                        }, )* )?
                    ],
                }
            }

            fn read(template: Self, reader: &mut $crate::config::reader::Reader<'_, '_>) -> Self {
                Self {
                    $( $field: reader.$presence(stringify!($field), &$kind, template.$field), )*
                    $( $( $table: reader.table($table_key, template.$table), )* )?
                    $( $( $list: reader.list($list_key), )* )?
                    $( $( $map: reader.map($map_key), )* )?
                }
            }
        }
    };
}

pub(super) use settings;
