//! Lists and tables whose elements are all of one kind.
//!
//! Refuses repetitions in a list: twice the same says either nothing or something else than meant.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::error::{Wrong, cited, quoted};
use super::kind::Kind;

/// A list of at most `max` different values.
pub(super) struct List<K> {
    pub max: usize,
    pub of: K,
}

impl<K: Kind> Kind for List<K>
where
    K::Value: PartialEq,
{
    type Value = Vec<K::Value>;

    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<Wrong>> {
        let list = value.as_array().ok_or_else(|| self.mistyped(value))?;
        if list.len() > self.max {
            return Err(Wrong::one(format!("{} entries; allowed is {}", list.len(), self.allowed())));
        }
        let (mut read, mut wrongs) = (Vec::with_capacity(list.len()), Vec::new());
        for (index, element) in list.iter().enumerate() {
            let offset = element.span().start;
            match self.of.read(element.get_ref()) {
                Ok(value) if read.contains(&value) => {
                    let reason = format!("{} is already in the list", self.of.show(&value));
                    wrongs.push(Wrong::new(reason).in_element(index, offset));
                }
                Ok(value) => read.push(value),
                Err(inner) => wrongs.extend(inner.into_iter().map(|wrong| wrong.in_element(index, offset))),
            }
        }
        if wrongs.is_empty() { Ok(read) } else { Err(wrongs) }
    }

    fn show(&self, value: &Self::Value) -> String {
        let shown: Vec<_> = value.iter().map(|value| self.of.show(value)).collect();
        format!("[{}]", shown.join(", "))
    }

    fn allowed(&self) -> String {
        format!("a list of at most {}, each {}", self.max, self.of.allowed())
    }
}

/// A table of at most `max` values under keys of 1 to [`KEY_CHARS_MAX`] printable characters.
pub(super) struct Entries<K> {
    pub max: usize,
    /// Characters that may not be in a key.
    pub not_in_key: &'static str,
    pub of: K,
}

/// More than any name of a service or variable needs.
const KEY_CHARS_MAX: usize = 255;

impl<K: Kind> Entries<K> {
    fn check_key(&self, key: &str) -> Result<(), Wrong> {
        let is_legal = |char: char| !char.is_control() && !self.not_in_key.contains(char);
        if (1..=KEY_CHARS_MAX).contains(&key.chars().count()) && key.chars().all(is_legal) {
            return Ok(());
        }
        let but = if self.not_in_key.is_empty() { String::new() } else { format!(" without {}", self.not_in_key) };
        let reason =
            format!("{} is not a valid key; allowed are 1 to {KEY_CHARS_MAX} printable characters{but}", cited(key));
        Err(Wrong::new(reason))
    }
}

impl<K: Kind> Kind for Entries<K> {
    type Value = BTreeMap<String, K::Value>;

    fn read(&self, value: &DeValue<'_>) -> Result<Self::Value, Vec<Wrong>> {
        let table = value.as_table().ok_or_else(|| self.mistyped(value))?;
        if table.len() > self.max {
            return Err(Wrong::one(format!("{} entries; allowed is {}", table.len(), self.allowed())));
        }
        let (mut read, mut wrongs) = (BTreeMap::new(), Vec::new());
        for (key, value) in table {
            let word = key.get_ref().as_ref();
            if let Err(wrong) = self.check_key(word) {
                wrongs.push(wrong.under(word, key.span().start));
            }
            match self.of.read(value.get_ref()) {
                Ok(value) => {
                    read.insert(word.to_owned(), value);
                }
                Err(inner) => wrongs.extend(inner.into_iter().map(|wrong| wrong.under(word, value.span().start))),
            }
        }
        if wrongs.is_empty() { Ok(read) } else { Err(wrongs) }
    }

    fn show(&self, value: &Self::Value) -> String {
        if value.is_empty() {
            return "{}".to_owned();
        }
        let shown: Vec<_> =
            value.iter().map(|(key, value)| format!("{} = {}", quoted(key), self.of.show(value))).collect();
        format!("{{ {} }}", shown.join(", "))
    }

    fn allowed(&self) -> String {
        format!("a table of at most {}, each {}", self.max, self.of.allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::{AnyText, Label, read_literal};
    use super::*;

    #[test]
    fn lists_are_short_and_without_repetitions() {
        let kind = List { max: 2, of: Label };
        let read = read_literal(&kind, "[\"a\", \"b\"]").unwrap();
        assert_eq!(kind.show(&read), "[\"a\", \"b\"]");
        for (bad, reason) in [
            ("[\"a\", \"a\"]", "\"a\" is already in the list"),
            (
                "[1, 2, 3]",
                "3 entries; allowed is a list of at most 2, each a name of 1 to 63 of the characters a-z, 0-9 and -",
            ),
            ("[1]", "expected a name of 1 to 63 of the characters a-z, 0-9 and -, found an integer"),
        ] {
            assert_eq!(read_literal(&kind, bad), Err(reason.to_owned()), "{bad}");
        }
        assert!(read_literal(&kind, "\"a\"").is_err());
    }

    #[test]
    fn tables_check_keys_and_values() {
        let kind = Entries { max: 2, not_in_key: "=", of: AnyText { max: 4 } };
        let read = read_literal(&kind, "{ b = \"\", \"a b\" = \"x\" }").unwrap();
        assert_eq!(kind.show(&read), "{ \"a b\" = \"x\", \"b\" = \"\" }");
        assert_eq!(read_literal(&kind, &kind.show(&read)), Ok(read));
        assert_eq!(kind.show(&BTreeMap::new()), "{}");
        for bad in
            ["{ \"\" = \"\" }", "{ \"a=b\" = \"\" }", r#"{ "a\u0007" = "" }"#, "{ a = 1 }", "{ a = \"12345\" }", "[]"]
        {
            assert!(read_literal(&kind, bad).is_err(), "{bad}");
        }
        assert!(read_literal(&kind, "{ a = \"\", b = \"\", c = \"\" }").is_err());
    }

    #[test]
    fn faults_name_the_innermost_place() {
        let kind = Entries { max: 2, not_in_key: "", of: List { max: 2, of: Label } };
        let value = DeValue::parse("{ a = [\"b\", 3] }").unwrap();
        let wrongs = kind.read(value.get_ref()).unwrap_err();
        assert_eq!(wrongs[0].part, Some((".a[1]".to_owned(), 12)));
    }
}
