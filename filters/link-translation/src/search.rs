//! Finding one of a few bytes, eight at a time.
//!
//! In the sandbox a loop over single bytes costs a nanosecond a turn and there are no vector
//! instructions unless a build asks for them; 64-bit words are there always. It refuses to allocate.

pub(crate) const ONES: u64 = 0x0101_0101_0101_0101;
pub(crate) const HIGHS: u64 = 0x8080_8080_8080_8080;

/// High bits where the word has this byte. Above a true one there may be false ones.
fn same(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & HIGHS
}

/// The first of these bytes at or behind `from`.
#[inline]
pub(crate) fn find<const N: usize>(text: &[u8], from: usize, bytes: [u8; N]) -> Option<usize> {
    let rest = text.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = bytes.iter().fold(0, |found, &byte| found | same(word, byte));
        if found != 0 {
            return Some(from + i * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let before = rest.len() - tail.len();
    tail.iter().position(|byte| bytes.contains(byte)).map(|at| from + before + at)
}

/// The end of a tag's or attribute's name at or behind `from`: a space, a line end, `/`, `>` or `=`.
/// (`=` ends no tag's name, but nobody writes it in one but to be difficult, see the caller.)
pub(crate) fn name_end(text: &[u8], from: usize) -> Option<usize> {
    let ends = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0c | b'\r' | b'/' | b'>' | b'=');
    let mut at = from;
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        // High bits where a byte is 0x20 or less; no byte carries into the next one.
        let small = !(((word & !HIGHS) + ONES * (0x7f - 0x20)) | word) & HIGHS;
        let found = small | same(word, b'/') | same(word, b'>') | same(word, b'=');
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        // Other control characters are part of a name.
        if text.get(at).is_some_and(|&byte| ends(byte)) {
            return Some(at);
        }
        at += 1;
    }
    text.get(at..)?.iter().position(|&byte| ends(byte)).map(|length| at + length)
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
