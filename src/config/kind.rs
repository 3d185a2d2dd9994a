//! Kinds of values: what a setting accepts, how it is written in TOML, and what is said when a
//! value is refused. The plain kinds are here, the others beside the types they make.
//!
//! Refuses to guess: a number in quotes is not a number, and a value is never clamped.

use std::path::PathBuf;

use toml::de::DeValue;

use super::error::{Wrong, cited, nearest, quoted};

/// What a setting accepts.
pub(super) trait Kind {
    /// What an accepted value becomes.
    type Value;

    /// The value, or everything that is wrong with it.
    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<Wrong>>;

    /// `value` in TOML; `read` of this gives `value` again.
    fn show(&self, value: &Self::Value) -> String;

    /// The accepted values as a noun phrase, for messages and documentation.
    fn allowed(&self) -> String;

    /// What to say of a value of another type.
    fn mistyped(&self, value: &DeValue<'_>) -> Vec<Wrong> {
        Wrong::one(format!("expected {}, found {}", self.allowed(), a_type(value)))
    }
}

/// The TOML type of a value, with its article.
pub(super) fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A TOML integer of any size that fits; `None` beyond.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn read(&self, value: &DeValue<'_>) -> Result<bool, Vec<Wrong>> {
        value.as_bool().ok_or_else(|| self.mistyped(value))
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }
}

/// A whole number within limits, both included.
pub(super) struct Count {
    pub min: usize,
    pub max: usize,
}

impl Kind for Count {
    type Value = usize;

    fn read(&self, value: &DeValue<'_>) -> Result<usize, Vec<Wrong>> {
        if !value.is_integer() {
            return Err(self.mistyped(value));
        }
        let count = integer(value).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| (self.min..=self.max).contains(count));
        count.ok_or_else(|| Wrong::one(format!("out of range; allowed is {}", self.allowed())))
    }

    fn show(&self, value: &usize) -> String {
        value.to_string()
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// One word of a closed set.
pub(super) struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, value: &DeValue<'_>) -> Result<T, Vec<Wrong>> {
        let Some(word) = value.as_str() else {
            return Err(self.mistyped(value));
        };
        let chosen = self.0.iter().find(|(name, _)| *name == word);
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let reason = format!("{} is not one of the choices; allowed is {}", cited(word), self.allowed());
            let nearest = nearest(word, self.0.iter().map(|(name, _)| *name));
            vec![Wrong { nearest, ..Wrong::new(reason) }]
        })
    }

    fn show(&self, value: &T) -> String {
        let name = self.0.iter().find(|(_, choice)| choice == value).map_or("", |(name, _)| *name);
        quoted(name)
    }

    fn allowed(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| quoted(name)).collect();
        match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            _ => names.concat(),
        }
    }
}

/// Text of 1 to 1,024 bytes that another room interprets.
pub(super) struct Text;

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        if text.trim().is_empty() || text.len() > 1024 {
            return Err(Wrong::one(format!("expected {}", self.allowed())));
        }
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        "a text of 1 to 1024 bytes".to_owned()
    }
}

/// Text of at most `max` bytes that somebody else interprets; it may be empty.
pub(super) struct AnyText {
    pub max: usize,
}

impl Kind for AnyText {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let text = value.as_str().ok_or_else(|| self.mistyped(value))?;
        if text.len() > self.max || text.contains('\0') {
            return Err(Wrong::one(format!("expected {}", self.allowed())));
        }
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        format!("a text of at most {} bytes without NUL", self.max)
    }
}

/// A name as in a DNS label: 1 to 63 of `a`–`z`, `0`–`9` and `-`. Safe in paths, headers, metrics.
pub(super) struct Label;

impl Label {
    /// The rule for names, wherever they stand: as a value or in a header.
    pub(super) fn check(name: &str) -> Result<(), String> {
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=63).contains(&name.len()) && name.bytes().all(is_legal) {
            return Ok(());
        }
        Err(format!("{} is not a valid name; allowed is {}", cited(name), Self.allowed()))
    }
}

impl Kind for Label {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Result<String, Vec<Wrong>> {
        let name = value.as_str().ok_or_else(|| self.mistyped(value))?;
        Self::check(name).map(|()| name.to_owned()).map_err(Wrong::one)
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }

    fn allowed(&self) -> String {
        "a name of 1 to 63 of the characters a-z, 0-9 and -".to_owned()
    }
}

/// A path; nothing is opened here.
pub(super) struct File;

impl Kind for File {
    type Value = PathBuf;

    fn read(&self, value: &DeValue<'_>) -> Result<PathBuf, Vec<Wrong>> {
        let path = value.as_str().ok_or_else(|| self.mistyped(value))?;
        if path.is_empty() || path.contains('\0') {
            return Err(Wrong::one(format!("{} is not {}", cited(path), self.allowed())));
        }
        Ok(PathBuf::from(path))
    }

    fn show(&self, value: &PathBuf) -> String {
        quoted(&value.to_string_lossy())
    }

    fn allowed(&self) -> String {
        "a path, relative to this file or absolute".to_owned()
    }
}

/// A kind that may be left out by writing a word for it, such as `""` or `"off"`.
pub(super) struct Unless<K>(pub &'static str, pub K);

impl<K: Kind> Kind for Unless<K> {
    type Value = Option<K::Value>;

    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<Wrong>> {
        match value.as_str() {
            Some(word) if word == self.0 => Ok(None),
            Some(_) => self.1.read(value).map(Some),
            None if value.is_integer() => self.1.read(value).map(Some),
            None => Err(self.mistyped(value)),
        }
    }

    fn show(&self, value: &Self::Value) -> String {
        match value {
            Some(value) => self.1.show(value),
            None => quoted(self.0),
        }
    }

    fn allowed(&self) -> String {
        format!("{}, or {}", self.1.allowed(), quoted(self.0))
    }
}

/// Reads `toml` as a value of `kind`; what a file would say, for the tests of all kinds.
#[cfg(test)]
pub(super) fn read_literal<K: Kind>(kind: &K, toml: &str) -> Result<K::Value, String> {
    let value = DeValue::parse(toml).map_err(|error| error.message().to_owned())?;
    kind.read(value.get_ref()).map_err(|wrongs| {
        let reasons: Vec<_> = wrongs.into_iter().map(|wrong| wrong.reason).collect();
        reasons.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_and_within_limits() {
        let kind = Count { min: 1, max: 256 };
        assert_eq!(read_literal(&kind, "1"), Ok(1));
        assert_eq!(read_literal(&kind, "0x1_0"), Ok(16));
        for (bad, reason) in [
            ("0", "out of range; allowed is a whole number from 1 to 256"),
            ("-1", "out of range; allowed is a whole number from 1 to 256"),
            ("257", "out of range; allowed is a whole number from 1 to 256"),
            ("99999999999999999999999999999999999999999999", "out of range; allowed is a whole number from 1 to 256"),
            ("\"4\"", "expected a whole number from 1 to 256, found a string"),
            ("4.0", "expected a whole number from 1 to 256, found a float"),
        ] {
            assert_eq!(read_literal(&kind, bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn choices_names_and_paths_say_what_is_allowed() {
        let choice = Choice(&[("auto", 1), ("human", 2), ("json", 3)]);
        assert_eq!(read_literal(&choice, "\"json\""), Ok(3));
        let reason = "\"JSON\" is not one of the choices; allowed is \"auto\", \"human\" or \"json\"";
        assert_eq!(read_literal(&choice, "\"JSON\""), Err(reason.to_owned()));
        assert_eq!(read_literal(&Label, "\"shop-2\"").as_deref(), Ok("shop-2"));
        for bad in ["\"\"", "\"Shop\"", "\"a b\"", "\"a.b\"", &quoted(&"a".repeat(64)), "1"] {
            assert!(read_literal(&Label, bad).is_err(), "{bad}");
        }
        assert!(read_literal(&File, "\"\"").is_err());
        assert!(read_literal(&File, r#""a\u0000b""#).is_err());
        assert_eq!(read_literal(&Unless("off", File), "\"off\""), Ok(None));
        assert!(read_literal(&Unless("off", File), "false").is_err());
        assert!(read_literal(&Text, "\" \"").is_err());
        assert_eq!(read_literal(&AnyText { max: 2 }, "\"\"").as_deref(), Ok(""));
        assert!(read_literal(&AnyText { max: 2 }, "\"abc\"").is_err());
        assert!(read_literal(&AnyText { max: 2 }, r#""\u0000""#).is_err());
        let count = Unless("", Count { min: 1, max: 9 });
        assert_eq!(read_literal(&count, "3"), Ok(Some(3)));
        assert_eq!(read_literal(&count, "\"\""), Ok(None));
    }
}
