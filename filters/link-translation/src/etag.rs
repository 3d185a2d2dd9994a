//! Entity tags of translated bodies: what the backend's tag became, and the way back.
//!
//! ```text
//!   "abc"    ─▶  W/"abc;lg-v1"       of map version v1
//!   W/"abc"  ─▶  W/"abc;lgw-v1"
//! ```
//!
//! A translated body is another representation, equivalent at best, and one of another map is
//! another again: so the tag is weak and says the version. It refuses to invent tags.

/// Between the backend's tag and the version.
const STRONG: &[u8] = b";lg-";
const WEAK: &[u8] = b";lgw-";

/// The tag of a translated body; nothing if the backend's is none.
pub(crate) fn outside(tag: &[u8], version: &str) -> Option<Vec<u8>> {
    let tag = tag.trim_ascii();
    let (mark, quoted) = match tag.strip_prefix(b"W/") {
        Some(quoted) => (WEAK, quoted),
        None => (STRONG, tag),
    };
    let opaque = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some([b"W/\"", opaque, mark, version.as_bytes(), b"\""].concat())
}

/// A tag that came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Not one of ours.
    Other,
    /// The backend's, of this version of the map or of another one.
    Ours { tag: Vec<u8>, is_current: bool },
}

/// What the backend knows this tag as.
pub(crate) fn inside(tag: &[u8], version: &str) -> Inside {
    let opaque = tag.strip_prefix(b"W/\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(opaque) = opaque else { return Inside::Other };
    let split = |mark: &[u8]| opaque.windows(mark.len()).rposition(|window| window == mark);
    let (at, mark, prefix): (_, _, &[u8]) = match (split(STRONG), split(WEAK)) {
        (Some(at), None) => (at, STRONG, b"\""),
        (None, Some(at)) => (at, WEAK, b"W/\""),
        (Some(strong), Some(weak)) if strong > weak => (strong, STRONG, b"\""),
        (Some(_), Some(weak)) => (weak, WEAK, b"W/\""),
        (None, None) => return Inside::Other,
    };
    let (own, rest) = opaque.split_at(at);
    let other = rest.get(mark.len()..).unwrap_or_default();
    if other.is_empty() || !other.iter().all(u8::is_ascii_alphanumeric) {
        return Inside::Other;
    }
    Inside::Ours { tag: [prefix, own, b"\""].concat(), is_current: other == version.as_bytes() }
}

/// The tags of a list such as `If-None-Match`: a comma inside quotes is part of a tag.
pub(crate) fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    list.split(move |&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (tag, there) in [
            ("\"abc\"", "W/\"abc;lg-v1\""),
            ("W/\"abc\"", "W/\"abc;lgw-v1\""),
            ("\"\"", "W/\";lg-v1\""),
            ("\"a;lg-v0\"", "W/\"a;lg-v0;lg-v1\""),
        ] {
            let outside = outside(tag.as_bytes(), "v1").unwrap();
            assert_eq!(String::from_utf8_lossy(&outside), there);
            let back = Inside::Ours { tag: tag.as_bytes().to_vec(), is_current: true };
            assert_eq!(inside(&outside, "v1"), back);
            assert!(matches!(inside(&outside, "v2"), Inside::Ours { is_current: false, .. }));
        }
        assert_eq!(outside(b"abc", "v1"), None);
        for other in ["\"abc\"", "W/\"abc\"", "*", "W/\"a;lg-\"", "\"a;lg-v1\"", "W/\"a;lg-x y\""] {
            assert_eq!(inside(other.as_bytes(), "v1"), Inside::Other, "{other}");
        }
    }

    #[test]
    fn lists_split_outside_of_quotes() {
        let found: Vec<_> = tags(b" \"a,b\" ,W/\"c\",, *").collect();
        assert_eq!(found, [&b"\"a,b\""[..], b"W/\"c\"", b"*"]);
    }
}
