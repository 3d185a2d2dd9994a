//! The serialised form of header maps (ABI, 5): a count, all lengths, then names and values with a NUL each.
//!
//! ```text
//!   u32 count · count × (u32 name, u32 value) · count × (name NUL value NUL)      little-endian
//! ```
//!
//! Refuses malformed input with a reason instead of reading it as an empty list: silently emptying
//! all headers is a trap for authors.

/// Bytes of a list from a guest. As the reference host's `limits.h`.
const BYTES_MAX: usize = 1 << 20;

/// Pairs of a list from a guest. As the reference host's `limits.h`.
const PAIRS_MAX: usize = 1024;

/// A name and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Bytes of the list of these pairs; 0 for an empty one, as the reference host sends it.
pub fn size<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    let sum: usize = pairs.map(|(name, value)| 8 + name.len() + 1 + value.len() + 1).sum();
    if sum == 0 { 0 } else { 4 + sum }
}

/// Writes the list of `pairs` into `to`, which must have exactly [`size`] bytes.
pub fn write<'a, I: Iterator<Item = (&'a [u8], &'a [u8])>>(pairs: impl Fn() -> I, to: &mut [u8]) {
    if to.is_empty() {
        return;
    }
    let count = pairs().count();
    let mut lengths = 4;
    let mut bytes = 4 + 8 * count;
    put(to, 0, count);
    for (name, value) in pairs() {
        put(to, lengths, name.len());
        put(to, lengths + 4, value.len());
        lengths += 8;
        for text in [name, value] {
            if let Some(place) = to.get_mut(bytes..bytes + text.len()) {
                place.copy_from_slice(text);
            }
            bytes += text.len();
            if let Some(nul) = to.get_mut(bytes) {
                *nul = 0;
            }
            bytes += 1;
        }
    }
}

fn put(to: &mut [u8], at: usize, number: usize) {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    if let Some(place) = to.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Reads a list.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Vec<Pair<'_>>, &'static str> {
    if bytes.is_empty() || bytes == [0] {
        return Ok(Vec::new());
    }
    if bytes.len() > BYTES_MAX {
        return Err("a list of pairs of more than 1 MiB");
    }
    let number = |at: usize| -> Option<usize> {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(word)).ok()
    };
    let count = number(0).ok_or("a list of pairs shorter than its count")?;
    if count > PAIRS_MAX {
        return Err("a list of more than 1024 pairs");
    }
    let mut at = 4 + 8 * count;
    let mut text = |length: usize| -> Option<&[u8]> {
        let text = bytes.get(at..at.checked_add(length)?)?;
        at += length;
        let nul = bytes.get(at) == Some(&0);
        at += 1;
        nul.then_some(text)
    };
    let mut pairs = Vec::with_capacity(count);
    for index in 0..count {
        let lengths = (number(4 + 8 * index), number(8 + 8 * index));
        let (Some(name), Some(value)) = lengths else { return Err("a list of pairs shorter than its lengths") };
        let pair = text(name).and_then(|name| Some((name, text(value)?)));
        pairs.push(pair.ok_or("a list of pairs whose texts do not end in NUL where their lengths say")?);
    }
    if at == bytes.len() { Ok(pairs) } else { Err("bytes behind the last pair of a list") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let pairs = || pairs.iter().map(|(name, value)| (&**name, &**value));
        let mut to = vec![0xaa; size(pairs())];
        write(pairs, &mut to);
        to
    }

    #[test]
    fn abi_5_the_example() {
        let pairs = [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"22".to_vec())];
        let bytes = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0";
        assert_eq!(written(&pairs), bytes);
        assert_eq!(read(bytes), Ok(vec![(&b"a"[..], &b"1"[..]), (b"b", b"22")]));
        for empty in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert_eq!(read(empty), Ok(vec![]));
        }
        for bad in [&b"\x01"[..], b"\x01\0\0\0", b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001", b"\xff\xff\xff\xff\0\0\0\0"] {
            assert!(read(bad).is_err());
        }
        assert!(read(&[bytes, &b"x"[..]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            let bytes = written(&pairs);
            let back = read(&bytes).expect("our own list");
            prop_assert_eq!(back.len(), pairs.len());
            for ((name, value), (read_name, read_value)) in pairs.iter().zip(back) {
                prop_assert_eq!((&**name, &**value), (read_name, read_value));
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
