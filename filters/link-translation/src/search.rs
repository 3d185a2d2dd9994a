//! Finding one of a few bytes, sixteen at a time.
//!
//! It refuses to allocate.

use crate::lanes::{Found, LANES, Lanes};

/// The first of these bytes at or behind `from`.
#[inline]
pub(crate) fn find<const N: usize>(text: &[u8], from: usize, bytes: [u8; N]) -> Option<usize> {
    let [first, others @ ..] = bytes.as_slice() else { return None };
    let any = |lanes: Lanes| others.iter().fold(lanes.equal(*first), |any, byte| any.or(lanes.equal(*byte)));
    find_lane(text, from, any, |byte| bytes.contains(&byte))
}

/// The end of a tag's or attribute's name at or behind `from`: a space, a line end, `/`, `>` or `=`.
/// (`=` ends no tag's name, but nobody writes it in one but to be difficult, see the caller.)
#[inline]
pub(crate) fn name_end(text: &[u8], from: usize) -> Option<usize> {
    let ends = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0c | b'\r' | b'/' | b'>' | b'=');
    let perhaps = |lanes: Lanes| lanes.at_most(b' ').or(lanes.equal(b'/')).or(lanes.equal(b'>')).or(lanes.equal(b'='));
    let mut at = from;
    loop {
        at = find_lane(text, at, perhaps, ends)?;
        // Other control characters are part of a name.
        if text.get(at).is_some_and(|&byte| ends(byte)) {
            return Some(at);
        }
        at += 1;
    }
}

/// The first byte at or behind `from` that `any` finds among sixteen, or `is` among fewer.
#[inline]
pub(crate) fn find_lane(
    text: &[u8],
    from: usize,
    any: impl Fn(Lanes) -> Found,
    is: impl Fn(u8) -> bool,
) -> Option<usize> {
    let mut at = from;
    while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk::<LANES>()) {
        let bits = any(Lanes::of(bytes)).bits();
        if bits != 0 {
            return Some(at + bits.trailing_zeros() as usize);
        }
        at += LANES;
    }
    text.get(at..)?.iter().position(|&byte| is(byte)).map(|length| at + length)
}

/// Where `needle` begins at or behind `from`.
pub(crate) fn find_word(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at = find(text, at, [first])?;
        if text.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// Whether a text begins with a word in any case, or could if it went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is too short to say.
    Perhaps,
}

/// See [`Begins`]. The word is in lower case.
pub(crate) fn begins(text: &[u8], word: &[u8]) -> Begins {
    let there = text.len().min(word.len());
    match text.iter().zip(word).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
        false => Begins::No,
        true if there == word.len() => Begins::Yes,
        true => Begins::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_loop_finds(text in "[a-f<>=/ \0\x01\n\u{fe}\u{ff}]{0,40}", from in 0..45_usize) {
            let text = text.as_bytes();
            let slow = |bytes: &[u8]| (from..text.len()).find(|&at| bytes.contains(&text[at]));
            prop_assert_eq!(find(text, from, *b"<"), slow(b"<"));
            prop_assert_eq!(find(text, from, *b"<a>"), slow(b"<a>"));
            let ends = |byte: u8| b" \t\n\x0c\r/>=".contains(&byte);
            prop_assert_eq!(name_end(text, from), (from..text.len()).find(|&at| ends(text[at])));
            let word = (from..text.len()).find(|&at| text[at..].starts_with(b"ab"));
            prop_assert_eq!(find_word(text, from, b"ab"), word);
        }
    }
}
