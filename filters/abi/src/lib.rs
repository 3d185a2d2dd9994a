//! Proxy-Wasm as the built-in filters use it. A header map is read in one host call without copying
//! each field, and a filter says what it changes; `host` and `contexts` are the Wasm side.
//!
//! ```text
//! host ─ one serialised map ─▶ Pairs (borrowed) ─▶ a filter's logic ─▶ Vec<Edit> ─▶ host calls
//!                                                                          └─▶ apply (native)
//! ```
//!
//! It refuses to know any header, and to fail: a malformed map reads as an empty one.

#[cfg(target_arch = "wasm32")]
pub mod contexts;
#[cfg(target_arch = "wasm32")]
pub mod host;

use std::borrow::Cow;

/// One change of a header map, with the meaning Proxy-Wasm gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'n> {
    /// Takes every field of this name out.
    Remove(Cow<'n, [u8]>),
    /// Takes every field of this name out and puts one at the end.
    Set(Cow<'n, [u8]>, Vec<u8>),
    /// Puts one more field at the end.
    Add(Cow<'n, [u8]>, Vec<u8>),
}

/// Does to a list what the host does to its map. Names compare without case.
pub fn apply(edits: &[Edit], fields: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    for edit in edits {
        match edit {
            Edit::Remove(name) => fields.retain(|field| !field.0.eq_ignore_ascii_case(name)),
            Edit::Set(name, value) => {
                fields.retain(|field| !field.0.eq_ignore_ascii_case(name));
                fields.push((name.to_vec(), value.clone()));
            }
            Edit::Add(name, value) => fields.push((name.to_vec(), value.clone())),
        }
    }
}

/// A list of fields as the iterator the filters' logic takes.
pub fn borrowed(fields: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}

/// The fields of a serialised map, in order, borrowed from it.
///
/// `u32 count · count × (u32 name length, u32 value length) · count × (name 0 value 0)`, integers
/// little-endian. Reading stops at the first field that does not fit.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    lengths: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads the head of the map; what is no map is an empty one.
    pub fn parse(map: &'a [u8]) -> Self {
        let split = map.split_first_chunk::<4>().and_then(|(count, rest)| {
            let lengths = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?;
            rest.split_at_checked(lengths)
        });
        let (lengths, bytes) = split.unwrap_or_default();
        Pairs { lengths, bytes }
    }

    fn field(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (name, lengths) = self.lengths.split_first_chunk::<4>()?;
        let (value, lengths) = lengths.split_first_chunk::<4>()?;
        self.lengths = lengths;
        Some((self.text(*name)?, self.text(*value)?))
    }

    fn text(&mut self, length: [u8; 4]) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest.get(1..)?;
        Some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field();
        if field.is_none() {
            self.lengths = &[];
        }
        field
    }
}

/// The serialised form of a list of fields: what the host gives and [`Pairs`] reads.
pub fn serialise<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    let count = u32::try_from(fields.clone().count()).unwrap_or(u32::MAX);
    let mut map = count.to_le_bytes().to_vec();
    for (name, value) in fields.clone() {
        map.extend(length(name));
        map.extend(length(value));
    }
    for (name, value) in fields {
        map.extend_from_slice(name);
        map.push(0);
        map.extend_from_slice(value);
        map.push(0);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_worked_example_of_the_abi() {
        let map = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0";
        let fields: Vec<_> = Pairs::parse(map).collect();
        assert_eq!(fields, [(&b"a"[..], &b"1"[..]), (b"b", b"22")]);
        assert_eq!(serialise(fields.into_iter()), map);
    }

    #[test]
    fn empty_forms_are_empty() {
        for map in [&b""[..], b"\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0\x05\0\0\0\0\0\0\0ab"] {
            assert_eq!(Pairs::parse(map).count(), 0, "{map:?}");
        }
    }

    #[test]
    fn edits_do_what_the_host_does() {
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let mut fields = vec![field("a", "1"), field("b", "2"), field("A", "3")];
        let name = |name: &'static str| Cow::Borrowed(name.as_bytes());
        let edits = [Edit::Set(name("a"), b"4".to_vec()), Edit::Add(name("c"), b"5".to_vec()), Edit::Remove(name("b"))];
        apply(&edits, &mut fields);
        assert_eq!(fields, [field("a", "4"), field("c", "5")]);
    }

    proptest! {
        #[test]
        fn what_is_serialised_reads_back(fields: Vec<(Vec<u8>, Vec<u8>)>) {
            let map = serialise(borrowed(&fields));
            let read: Vec<_> = Pairs::parse(&map).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(read, fields);
        }

        #[test]
        fn any_bytes_are_read_to_the_end(map: Vec<u8>) {
            prop_assert!(Pairs::parse(&map).count() <= map.len());
        }
    }
}
