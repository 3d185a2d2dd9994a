//! Which messages concern a filter: those with one of its fields.
//!
//! The built-in translation is in every chain by default, so the answer "no" has to cost next to
//! nothing: one step per field of the message, whatever the number of names.

use http::{HeaderMap, HeaderName};

/// Names of fields; a message with one of them concerns the filter. None named: every message does.
#[derive(Clone, Debug, Default)]
pub struct Concern {
    names: Vec<HeaderName>,
    /// A bit for each name: most fields of a message have none of these bits.
    mask: u64,
}

impl Concern {
    /// Concerned by these names.
    #[must_use]
    pub fn new(names: &[HeaderName]) -> Self {
        Self { names: names.to_vec(), mask: names.iter().fold(0, |mask, name| mask | bit(name)) }
    }

    /// Whether every message concerns the filter.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether `name` is one of the names.
    #[must_use]
    pub fn names(&self, name: &HeaderName) -> bool {
        self.mask & bit(name) != 0 && self.names.contains(name)
    }

    /// Whether a message with these fields concerns the filter.
    #[must_use]
    pub fn has(&self, headers: &HeaderMap) -> bool {
        self.is_everything() || headers.keys().any(|name| self.names(name))
    }
}

fn bit(name: &HeaderName) -> u64 {
    1 << (spread(name.as_str().as_bytes()) & 63)
}

/// A number that differs for most of the names in use; cheaper than a hash.
pub(super) fn spread(name: &[u8]) -> usize {
    let ends = name.first().copied().unwrap_or(0) ^ name.last().copied().unwrap_or(0).rotate_left(3);
    usize::from(ends) + name.len() * 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(number: u8) -> HeaderName {
        const ALL: [&str; 8] = ["location", "link", "x-a", "x-b", "date", "server", "set-cookie", "content-length"];
        HeaderName::from_static(ALL[usize::from(number) % ALL.len()])
    }

    proptest! {
        /// Against the obvious way to do it.
        #[test]
        fn it_is_the_question_whether_one_name_is_there(wanted: Vec<u8>, there: Vec<u8>) {
            let wanted: Vec<HeaderName> = wanted.into_iter().map(name).collect();
            let headers: HeaderMap = there.into_iter().map(|n| (name(n), "1".parse().expect("a value"))).collect();
            let expected = wanted.is_empty() || wanted.iter().any(|name| headers.contains_key(name));
            prop_assert_eq!(Concern::new(&wanted).has(&headers), expected);
        }
    }
}
