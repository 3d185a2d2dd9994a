//! Telling quickly that a name is none of a list.
//!
//! Most names of a page mean nothing here. Their length and first letter say so without their being
//! compared or even read in lower case. It refuses to say that a name *is* on the list.

/// For each first letter, as its low five bits, the lengths of the names that begin with it.
#[derive(Debug)]
pub(super) struct Names([u32; 32]);

impl Names {
    /// Of names shorter than 32 bytes.
    pub(super) const fn new(names: &[&[u8]]) -> Self {
        let mut lengths = [0; 32];
        let mut i = 0;
        while i < names.len() {
            lengths[(names[i][0] & 31) as usize] |= 1 << names[i].len();
            i += 1;
        }
        Names(lengths)
    }

    /// Whether the list may have this name, in any case.
    pub(super) fn may_have(&self, name: &[u8]) -> bool {
        let Some(first) = name.first() else { return false };
        let lengths = self.0.get(usize::from(first & 31)).copied().unwrap_or_default();
        name.len() < 32 && lengths >> name.len() & 1 == 1
    }
}
