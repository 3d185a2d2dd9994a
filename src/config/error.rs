//! What is wrong with a configuration file, and exactly where.
//!
//! Refuses to stop at the first fault and to speak of byte offsets: people read lines and columns.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// One fault of a configuration file.
///
/// Displays as `lockgate.toml:12:1: app[1].extenal_url: unknown setting; did you mean "external_url"?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named to the parser.
    pub file: PathBuf,
    /// Line of the offending key or value, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Dotted path of the setting, lists counted from 0 (`app[1].external_url`); empty for a fault
    /// of the file as such, such as broken TOML.
    pub key: String,
    /// What is wrong and, where that can be said, what is allowed.
    pub reason: String,
    /// The valid word that is nearest to the one written.
    pub nearest: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {}?", quoted(nearest)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What one setting's value is refused for; the reader adds the setting's path.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The part of the value that is meant, as what follows the setting's path (`[3]`, `.name`),
    /// with its byte offset; `None` means the value as a whole.
    pub part: Option<(String, usize)>,
    pub reason: String,
    pub nearest: Option<String>,
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { part: None, reason: reason.into(), nearest: None }
    }

    /// A fault of the element `index` of a list.
    pub(super) fn in_element(self, index: usize, offset: usize) -> Self {
        self.inside(format!("[{index}]"), offset)
    }

    /// A fault of what stands under `key` in a table.
    pub(super) fn under(self, key: &str, offset: usize) -> Self {
        self.inside(format!(".{key}"), offset)
    }

    /// The innermost place is the one that is shown; the path to it grows from its front.
    fn inside(self, outer: String, offset: usize) -> Self {
        let part = match self.part {
            Some((inner, offset)) => (outer + &inner, offset),
            None => (outer, offset),
        };
        Self { part: Some(part), ..self }
    }

    pub(super) fn one(reason: impl Into<String>) -> Vec<Self> {
        vec![Self::new(reason)]
    }
}

struct Fault {
    offset: usize,
    key: String,
    wrong: Wrong,
}

/// Everything learned while reading one file: where each setting stands, and what is wrong.
#[derive(Default)]
pub(super) struct Findings {
    places: BTreeMap<String, usize>,
    faults: Vec<Fault>,
}

impl Findings {
    /// Remembers where the value of `key` stands.
    pub(super) fn place(&mut self, key: &str, offset: usize) {
        self.places.insert(key.to_owned(), offset);
    }

    /// Records a fault at a byte offset.
    pub(super) fn fault(&mut self, offset: usize, key: &str, wrong: Wrong) {
        self.faults.push(Fault { offset, key: key.to_owned(), wrong });
    }

    /// Records a fault at the place of `key`, or at the start of the file if it is not written.
    pub(super) fn fault_at(&mut self, key: &str, reason: impl Into<String>) {
        self.wrong_at(key, Wrong::new(reason));
    }

    /// As [`Findings::fault_at`], with what was probably meant.
    pub(super) fn wrong_at(&mut self, key: &str, wrong: Wrong) {
        let offset = self.places.get(key).copied().unwrap_or(0);
        self.fault(offset, key, wrong);
    }

    /// Records a fault of `key` together with `other`, at whichever is written, `key` first: either
    /// may be a default. Nothing is recorded if one of them is at fault by itself.
    pub(super) fn fault_between(&mut self, key: &str, other: &str, reason: impl Into<String>) {
        if !self.is_faulty(key) && !self.is_faulty(other) {
            self.fault_at(if self.is_sound(key) { key } else { other }, reason);
        }
    }

    /// Whether `key` is written in the file and nothing has been said against it yet. Rules that
    /// compare settings look only at such, so that one mistake is told once.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        self.places.contains_key(key) && !self.is_faulty(key)
    }

    /// Whether something has been said against `key`.
    fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    /// The line on which `key` is written.
    pub(super) fn line_of(&self, key: &str, text: &str) -> usize {
        position(text, self.places.get(key).copied().unwrap_or(0)).0
    }

    /// All faults in the order of the file; empty means the file is good.
    pub(super) fn into_errors(mut self, file: &Path, text: &str) -> Vec<ConfigError> {
        self.faults.sort_by_key(|fault| fault.offset);
        let to_error = |Fault { offset, key, wrong }| {
            let (line, column) = position(text, offset);
            ConfigError { file: file.to_owned(), line, column, key, reason: wrong.reason, nearest: wrong.nearest }
        };
        self.faults.into_iter().map(to_error).collect()
    }
}

/// Line and column (in characters), both from 1, of a byte offset; one past the end is the end.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
    let column = 1 + before[line_start..].chars().filter(|&char| char != '\u{feff}').count();
    (line, column)
}

/// `text` as a TOML basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            _ if char.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// `text` quoted for a message, at most 80 characters of it.
pub(super) fn cited(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", quoted(&text[..end])),
        None => quoted(text),
    }
}

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers: one edit for
/// every three characters, transpositions counting as one.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if word.len() > 80 {
        return None;
    }
    let slips = word.chars().count().div_ceil(3);
    let distances = candidates.into_iter().map(|candidate| (strsim::osa_distance(word, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= slips && distance < candidate.chars().count()).then(|| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a = 1\nbü = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, 10), (2, 4), "the two bytes of ü are one column");
        assert_eq!(position(text, 8), (2, 2), "inside ü");
        assert_eq!(position(text, 999), (3, 1));
        assert_eq!(position("\u{feff}a", 3), (1, 1), "a byte order mark has no width");
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn only_slips_of_the_fingers_have_a_nearest() {
        let words = ["external_url", "internal_url", "name"];
        for (word, expected) in [
            ("extenal_url", Some("external_url")),
            ("nmae", Some("name")),
            ("intrenal_url", Some("internal_url")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words).as_deref(), expected, "{word}");
        }
    }

    #[test]
    fn display_names_place_key_reason_and_nearest() {
        let mut error = ConfigError {
            file: "lockgate.toml".into(),
            line: 12,
            column: 1,
            key: "app[1].extenal_url".into(),
            reason: "unknown setting".into(),
            nearest: Some("external_url".into()),
        };
        let expected = "lockgate.toml:12:1: app[1].extenal_url: unknown setting; did you mean \"external_url\"?";
        assert_eq!(error.to_string(), expected);
        error.key.clear();
        error.nearest = None;
        assert_eq!(error.to_string(), "lockgate.toml:12:1: unknown setting");
    }

    #[test]
    fn citations_are_short_and_printable() {
        assert_eq!(cited("a\"\u{7}\n"), "\"a\\\"\\u0007\\u000A\"");
        assert!(cited(&"ü".repeat(500)).chars().count() < 90);
    }
}
