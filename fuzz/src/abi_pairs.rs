//! Serialised header maps: what the host reads, the host writes again byte for byte, and the guests' own reader has the
//! same pairs.

use abi::Pairs;
use lockgate::filters::abi::pairs;

pub const WORDS: &[&str] = &[
    "\0",
    "\0\0\0\0",
    "\u{1}\0\0\0",
    "\u{2}\0\0\0",
    "\u{3}\0\0\0",
    "\u{7f}\0\0\0",
    "a",
    "a\0",
    ":path\0",
    "value\0",
    "\u{e9}",
    "\u{1}\0\0\0\u{1}\0\0\0\u{1}\0\0\0a\0b\0",
];

/// Holds a serialised map.
pub fn run(data: &[u8]) {
    let read = pairs::read(data);
    assert_eq!(read.as_ref().ok(), slow(data).as_ref(), "{}", data.escape_ascii());
    if let Ok(list) = &read {
        let guest: Vec<_> = Pairs::parse(data).collect();
        assert_eq!(&guest, list, "{}", data.escape_ascii());
        let mut out = vec![0xaa; pairs::size(list.iter().copied())];
        pairs::write(|| list.iter().copied(), &mut out);
        if !list.is_empty() {
            assert_eq!(out, data, "{}", data.escape_ascii());
            assert_eq!(abi::serialise(list.iter().copied()), data, "{}", data.escape_ascii());
        }
    }
    // Any bytes as pairs: name and value in turns of different lengths.
    let texts: Vec<&[u8]> = data.split(|&byte| byte % 16 == 3).collect();
    let made: Vec<(&[u8], &[u8])> = texts.chunks_exact(2).map(|pair| (pair[0], pair[1])).take(1024).collect();
    let mut out = vec![0xaa; pairs::size(made.iter().copied())];
    pairs::write(|| made.iter().copied(), &mut out);
    if out.len() <= 1 << 20 {
        assert_eq!(pairs::read(&out), Ok(made.clone()));
    }
    assert_eq!(Pairs::parse(&out).collect::<Vec<_>>(), made);
}

/// The format, word by word.
fn slow(data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if data.is_empty() || data == [0] {
        return Some(Vec::new());
    }
    let words: Vec<u64> =
        data.chunks_exact(4).map(|word| word.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))).collect();
    let count = usize::try_from(*words.first()?).ok().filter(|count| *count <= 1024 && data.len() <= 1 << 20)?;
    let mut texts = Vec::new();
    let mut at = 4 + 8 * count;
    for length in words.get(1..=2 * count)? {
        let end = at.checked_add(usize::try_from(*length).ok()?)?;
        texts.push(data.get(at..end)?);
        if data.get(end) != Some(&0) {
            return None;
        }
        at = end + 1;
    }
    (at == data.len()).then(|| texts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
