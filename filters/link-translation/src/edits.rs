//! What is to be changed in a piece of text: byte ranges and what takes their place.
//!
//! Everything else of a body is passed on as it came. That is why no part of this filter writes
//! HTML or CSS: they only say which bytes are an internal address. It refuses to look at the text.

use std::ops::Range;

#[derive(Debug)]
struct Edit {
    place: Range<usize>,
    text: Range<usize>,
}

/// Edits of one piece of text, in its order, none touching another.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    list: Vec<Edit>,
    /// The new texts, one after another: one allocation for all, kept from piece to piece.
    text: Vec<u8>,
    /// Added to every place: where the part being looked at begins in the piece.
    base: usize,
}

impl Edits {
    /// Puts `text` in the place of these bytes of the current part.
    pub(crate) fn replace(&mut self, place: Range<usize>, text: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        let place = place.start + self.base..place.end + self.base;
        debug_assert!(self.list.last().is_none_or(|last| last.place.end <= place.start), "edits come in order");
        self.list.push(Edit { place, text: start..self.text.len() });
    }

    /// Looks at a part that begins at `start` of the current one.
    pub(crate) fn within<T>(&mut self, start: usize, look: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.base;
        self.base += start;
        let result = look(self);
        self.base = outer;
        result
    }

    /// The places and the new texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[u8])> {
        self.list.iter().map(|edit| (edit.place.clone(), self.text.get(edit.text.clone()).unwrap_or_default()))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Appends the piece from `from` on with its edits made, and forgets them.
    pub(crate) fn splice(&mut self, piece: &[u8], from: usize, out: &mut Vec<u8>) {
        let mut copied = from;
        for (place, text) in self.iter() {
            // A token may have been passed on in part before it was seen to matter, see `look`.
            let Some(before) = piece.get(copied..place.start) else { continue };
            out.extend_from_slice(before);
            out.extend_from_slice(text);
            copied = place.end;
        }
        out.extend_from_slice(piece.get(copied..).unwrap_or_default());
        self.list.clear();
        self.text.clear();
    }
}
