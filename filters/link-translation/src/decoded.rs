//! Text with its escapes resolved, and where each of its bytes was written.
//!
//! ```text
//!   written  h t t p : & # 4 7 ; / h o s t        steps: (6, 10)
//!   text     h t t p : /         / h o s t
//! ```
//!
//! An address is found in the text and replaced where it was written, so that what is no address
//! keeps its escapes. It refuses to know any escape; `entities` and `escapes` do.

use std::ops::Range;

/// Built from left to right by [`Decoded::copy`] and [`Decoded::put`].
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    text: Vec<u8>,
    /// Behind each escape: its end in the text, and its end as written.
    steps: Vec<(usize, usize)>,
    written: usize,
}

impl Decoded {
    /// Bytes that stand for themselves.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.written += bytes.len();
    }

    /// What so many written bytes stand for; nothing if they do not count.
    pub(crate) fn put(&mut self, bytes: &[u8], written: usize) {
        self.text.extend_from_slice(bytes);
        self.written += written;
        self.steps.push((self.text.len(), self.written));
    }

    /// As [`Decoded::put`], of a character by its code; one that is none becomes U+FFFD.
    pub(crate) fn put_code(&mut self, code: u32, written: usize) {
        let character = char::from_u32(code).unwrap_or('\u{fffd}');
        self.put(character.encode_utf8(&mut [0; 4]).as_bytes(), written);
    }

    /// The text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where a range of the text was written.
    pub(crate) fn place(&self, range: Range<usize>) -> Range<usize> {
        self.at(range.start)..self.at(range.end)
    }

    fn at(&self, at: usize) -> usize {
        let behind = self.steps.partition_point(|step| step.0 <= at);
        match behind.checked_sub(1).and_then(|last| self.steps.get(last)) {
            Some((text, written)) => written + (at - text),
            None => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_where_it_was_written() {
        let mut decoded = Decoded::default();
        decoded.copy(b"http:");
        decoded.put(b"/", 5);
        decoded.copy(b"/ho");
        decoded.put(b"", 1);
        decoded.copy(b"st");
        assert_eq!(decoded.text(), b"http://host");
        assert_eq!(decoded.place(0..7), 0..11);
        assert_eq!(decoded.place(5..6), 5..10);
        assert_eq!(decoded.place(7..11), 11..16);
    }
}
