//! Hosts and names to the apps that have them: one hash, one comparison, no allocation.
//!
//! Keys come from the operator's configuration only, so the hash needs no secret; what is looked
//! up comes from anybody and is never stored.

use hashbrown::HashTable;

use crate::idn;

/// A map from host names, compared without case, to lists of apps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    table: HashTable<(Vec<u8>, Vec<u16>)>,
}

impl Index {
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn insert(&mut self, key: &[u8], app: u16) {
        let same = |entry: &(Vec<u8>, Vec<u16>)| entry.0.eq_ignore_ascii_case(key);
        let entry = self.table.entry(hash(key), same, |entry| hash(&entry.0));
        entry.or_insert_with(|| (key.to_vec(), Vec::new())).into_mut().1.push(app);
    }

    /// The apps of this host, in the order they were inserted.
    pub(crate) fn find(&self, key: &[u8]) -> &[u16] {
        if self.table.is_empty() {
            return &[];
        }
        let found = self.table.find(hash(key), |entry| same(&entry.0, key) || entry.0.eq_ignore_ascii_case(key));
        found.map_or(&[], |entry| &entry.1)
    }

    /// As [`Index::find`], with a host that may be written in Unicode.
    pub(crate) fn host(&self, host: &[u8]) -> &[u16] {
        if host.is_ascii() || self.table.is_empty() {
            return self.find(host);
        }
        idn::lower(host).map_or(&[], |lower| self.find(lower.as_bytes()))
    }
}

/// Byte for byte, eight at a time.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| word(a) == word(b))
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// Eight bytes at a time. Setting the bit that makes letters small also folds some other bytes
/// together; the comparison tells them apart.
fn hash(key: &[u8]) -> u64 {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ (word | SMALL)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (words, rest) = key.as_chunks::<8>();
    let hash = words.iter().fold(key.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let hash = mix(hash, rest);
    hash ^ (hash >> 32)
}
