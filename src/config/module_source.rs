//! Where the code of a filter comes from: a file, or Lockgate itself.
//!
//! Refuses files of other kinds by their name, above all compiled code (`.cwasm`), which must
//! never come from outside. Opens nothing.

use std::path::PathBuf;

use toml::de::DeValue;

use super::error::{Wrong, cited, nearest, quoted};
use super::kind::Kind;

/// The filters that are part of Lockgate, as `module` names them after `builtin:`.
pub const BUILTIN_FILTERS: [&str; 4] = ["header-translation", "header-rewrite", "link-translation", "websocket"];

const BUILTIN: &str = "builtin:";

/// The code of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModuleSource {
    /// A `.wasm` file.
    File(PathBuf),
    /// One of [`BUILTIN_FILTERS`].
    Builtin(String),
}

/// `module`.
pub(super) struct Module;

impl Kind for Module {
    type Value = ModuleSource;

    fn read(&self, value: &DeValue<'_>) -> Result<ModuleSource, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        match text.strip_prefix(BUILTIN) {
            Some(name) if BUILTIN_FILTERS.contains(&name) => Ok(ModuleSource::Builtin(name.to_owned())),
            None if text.ends_with(".wasm") && !text.contains('\0') => Ok(ModuleSource::File(PathBuf::from(text))),
            builtin => {
                let what = if builtin.is_some() { "a builtin filter" } else { "a module" };
                let reason = format!("{} is not {what}; allowed is {}", cited(text), self.allowed());
                let name = nearest(builtin.unwrap_or(text), BUILTIN_FILTERS);
                Err(vec![Wrong { nearest: name.map(|name| format!("{BUILTIN}{name}")), ..Wrong::new(reason) }])
            }
        }
    }

    fn show(&self, value: &ModuleSource) -> String {
        match value {
            ModuleSource::File(path) => quoted(&path.to_string_lossy()),
            ModuleSource::Builtin(name) => quoted(&format!("{BUILTIN}{name}")),
        }
    }

    fn allowed(&self) -> String {
        let names = BUILTIN_FILTERS.map(|name| quoted(&format!("{BUILTIN}{name}")));
        format!("a .wasm file, relative to this file or absolute, or one of {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::read_literal;
    use super::*;

    #[test]
    fn modules_are_files_or_builtins() {
        assert_eq!(read_literal(&Module, "\"a/b.wasm\""), Ok(ModuleSource::File("a/b.wasm".into())));
        let builtin = read_literal(&Module, "\"builtin:websocket\"").unwrap();
        assert_eq!(builtin, ModuleSource::Builtin("websocket".to_owned()));
        assert_eq!(Module.show(&builtin), "\"builtin:websocket\"");
    }

    #[test]
    fn what_is_neither_is_told_what_was_meant() {
        for (bad, meant) in [
            ("\"builtin:header-rewite\"", Some("builtin:header-rewrite")),
            ("\"header-rewrite\"", Some("builtin:header-rewrite")),
            ("\"builtin:jwt\"", None),
            ("\"a.cwasm\"", None),
            ("\"\"", None),
            (r#""a\u0000.wasm""#, None),
        ] {
            let value = DeValue::parse(bad).unwrap();
            let wrongs = Module.read(value.get_ref()).unwrap_err();
            assert_eq!(wrongs[0].nearest.as_deref(), meant, "{bad}");
        }
    }
}
