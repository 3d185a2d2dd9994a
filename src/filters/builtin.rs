//! The filters that are part of this binary: modules like any other, and what they say of themselves.

use bytes::Bytes;

/// A module that is part of this binary.
pub struct Builtin {
    /// Its name behind `builtin:`.
    pub name: &'static str,
    /// The module.
    pub wasm: &'static [u8],
    /// Its `filter.toml`.
    pub manifest: &'static str,
}

macro_rules! builtins {
    ($($name:literal)*) => {
        /// All of them.
        pub const BUILTINS: &[Builtin] = &[$(Builtin {
            name: $name,
            wasm: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            manifest: include_str!(concat!("../../filters/", $name, "/filter.toml")),
        },)*];
    };
}

builtins! { "header-translation" "header-rewrite" "link-translation" "websocket" }

impl Builtin {
    /// The one called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        BUILTINS.iter().find(|builtin| builtin.name == name)
    }

    /// The module, as a filter's source.
    #[must_use]
    pub fn source(&self) -> super::Source {
        super::Source::Bytes(Bytes::from_static(self.wasm))
    }
}
