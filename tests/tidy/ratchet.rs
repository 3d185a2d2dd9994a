//! Lengths that may only shrink: above `soft` by a listed row, above `hard` not at all.
//!
//! ```text
//!        soft                row−20  row     hard
//! no row │ add a row, or split                │ split it
//! a row  │ remove it │ lower it │ fine │ grew │
//! ```

use std::collections::BTreeMap;

/// One kind of length, in lines.
pub(crate) struct Ratchet {
    pub(crate) what: &'static str,
    pub(crate) soft: usize,
    pub(crate) hard: usize,
    /// What is longer than `soft` today, and by how much it is.
    pub(crate) rows: &'static [(&'static str, usize)],
}

impl Ratchet {
    /// How far below its row a length may sink before the row has to follow.
    const SLACK: usize = 20;

    pub(crate) fn hold(&self, lengths: &BTreeMap<String, usize>) -> Vec<String> {
        let long = lengths.iter().filter(|(_, lines)| **lines > self.soft);
        let long = long.filter_map(|(name, lines)| self.verdict(name, *lines));
        let is_done = |name| lengths.get(name).is_none_or(|lines| *lines <= self.soft);
        let done = self.rows.iter().filter(|row| is_done(row.0));
        let done =
            done.map(|(name, _)| format!("{name}: no longer above {}; remove its row in tests/tidy.rs", self.soft));
        long.chain(done).collect()
    }

    /// What is wrong with a length above `soft`.
    fn verdict(&self, name: &str, lines: usize) -> Option<String> {
        let Ratchet { what, soft, hard, rows } = self;
        let row = rows.iter().find(|row| row.0 == name).map(|row| row.1);
        let rule = match row {
            _ if lines > *hard => format!("more than {hard}; split it"),
            None => format!(
                "more than {soft}; split it, or, if it reads better whole, add the row \
                 (\"{name}\", {lines}) to tests/tidy.rs"
            ),
            Some(row) if lines > row => format!("its row says {row}; it may only shrink, split it"),
            Some(row) if lines + Self::SLACK < row => {
                format!("its row says {row}; lower it to {lines} in tests/tidy.rs")
            }
            Some(_) => return None,
        };
        Some(format!("{name}: this {what} has {lines} lines, {rule}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_may_only_shrink() {
        let ratchet = Ratchet { what: "file", soft: 350, hard: 600, rows: &[("listed", 400)] };
        let hold = |name: &str, lines| ratchet.hold(&BTreeMap::from([(name.to_owned(), lines)]));
        for (name, lines, expected) in [
            ("listed", 400, ""),
            ("listed", 380, ""),
            ("listed", 379, "lower it to 379"),
            ("listed", 401, "may only shrink"),
            ("listed", 350, "remove its row"),
            ("listed", 601, "more than 600"),
        ] {
            let found = hold(name, lines);
            assert_eq!(found.is_empty(), expected.is_empty(), "{lines}: {found:?}");
            assert!(found.concat().contains(expected), "{lines}: {found:?}");
        }
        let beside = |lines| {
            let both = [("listed".to_owned(), 400), ("other".to_owned(), lines)];
            ratchet.hold(&BTreeMap::from(both)).concat()
        };
        assert_eq!(beside(350), "");
        assert!(beside(351).contains("add the row (\"other\", 351)"));
        assert!(hold("other", 100).concat().contains("listed: no longer above 350"));
    }
}
