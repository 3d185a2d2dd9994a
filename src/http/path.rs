//! The normal form of a request target, used for routing, policy and forwarding alike.
//!
//! ```text
//!   bytes ─▶ characters checked ─▶ %41 → A, %2E → . ─▶ dot segments resolved ─▶ normal form
//!                                                                              └▶ judged form
//! ```
//!
//! Nothing is ever decoded twice. Where servers disagree about what a path means (`%2F`, `%5C`,
//! `;`, `//`) the normal form keeps the sender's spelling, and [`Normal::judged`] gives the most
//! liberal reading: a router that would decide differently on the two must refuse the request.

use std::borrow::Cow;

use bytes::Bytes;
use http::uri::PathAndQuery;

/// A target in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normal {
    /// What is routed and forwarded.
    pub target: PathAndQuery,
    /// The path as the most liberal server would read it, when that differs.
    pub judged: Option<String>,
}

/// Brings an origin-form target (RFC 9112, 3.2.1) into normal form.
///
/// # Errors
/// The rule it breaks, for the client to read.
pub fn normalise(target: &Bytes) -> Result<Normal, &'static str> {
    check_characters(target)?;
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let path = &target[..path_end];
    if path.first() != Some(&b'/') {
        return Err("the target does not begin with a slash (RFC 9112, 3.2.1)");
    }
    if is_plain(path) {
        let target = PathAndQuery::from_maybe_shared(target.clone()).map_err(|_| "the target is not a valid path")?;
        return Ok(Normal { target, judged: None });
    }
    let decoded = decode_unreserved(path)?;
    let resolved = resolve_dots(&decoded)?;
    let judged = judge(&resolved)?;
    let judged = (judged != resolved).then(|| judged.into_owned());
    let mut bytes = resolved.into_bytes();
    bytes.extend_from_slice(&target[path_end..]);
    let target = PathAndQuery::from_maybe_shared(Bytes::from(bytes)).map_err(|_| "the target is not a valid path")?;
    Ok(Normal { target, judged })
}

/// Nothing to do, decided in one pass: no escape, no parameter, no empty or dot segment.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        if matches!(byte, b'%' | b';') || (previous == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// RFC 9112, 3.2 and RFC 3986, 2: visible ASCII without the characters that end or hide a target.
fn check_characters(target: &[u8]) -> Result<(), &'static str> {
    for &byte in target {
        match byte {
            b'#' => return Err("the target holds a fragment (RFC 9112, 3.2)"),
            b'\\' => return Err("the target holds a backslash (RFC 3986, 2)"),
            0x21..=0x7e => {}
            _ => return Err("the target holds a space, a control character or raw non-ASCII (RFC 3986, 2)"),
        }
    }
    Ok(())
}

/// Decodes escapes of unreserved characters and writes the others in upper case (RFC 3986,
/// 6.2.2). Refuses broken escapes, NUL and overlong UTF-8.
fn decode_unreserved(path: &[u8]) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len());
    let mut lead = 0u8;
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        if *byte != b'%' {
            out.push(char::from(*byte));
            lead = 0;
            rest = tail;
            continue;
        }
        let value = match tail {
            [high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let value = value.ok_or("a percent sign is not followed by two hex digits (RFC 3986, 2.1)")?;
        match (lead, value) {
            (_, 0) => return Err("the target holds an encoded NUL"),
            (_, 0xc0 | 0xc1) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f) => {
                return Err("the target holds overlong UTF-8 (RFC 3629, 3)");
            }
            _ => {}
        }
        if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(value));
        } else {
            out.push('%');
            out.push(char::from(tail[0].to_ascii_uppercase()));
            out.push(char::from(tail[1].to_ascii_uppercase()));
        }
        lead = value;
        rest = &tail[2..];
    }
    Ok(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Resolves `.` and `..` (RFC 3986, 5.2.4); a path that climbs above its root is refused, and
/// slashes at the very beginning become one, so that no target can be read as an authority.
fn resolve_dots(path: &str) -> Result<String, &'static str> {
    let path = path.trim_start_matches('/');
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." && kept.pop().is_none() {
                    return Err("the target climbs above the root (RFC 3986, 5.2.4)");
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len() + 1);
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() || out.starts_with("//") {
        out = format!("/{}", out.trim_start_matches('/'));
    }
    Ok(out)
}

/// The most liberal reading: `%2F` and `%5C` are slashes, `;` ends a segment, empty segments
/// vanish. A dot segment that appears only in this reading is an attempt to escape.
fn judge(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if !path.contains(['%', ';']) && !path.contains("//") {
        return Ok(Cow::Borrowed(path));
    }
    let slashed = path.replace("%2F", "/").replace("%5C", "/");
    let ends_with_slash = slashed.ends_with('/');
    let mut out = String::with_capacity(path.len());
    for segment in slashed.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        match name {
            "." | ".." => return Err("the target hides a dot segment behind %2F, %5C or a parameter"),
            "" => {}
            _ => {
                out.push('/');
                out.push_str(name);
            }
        }
    }
    if ends_with_slash || out.is_empty() {
        out.push('/');
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> Result<(String, Option<String>), &'static str> {
        normalise(&Bytes::copy_from_slice(text.as_bytes())).map(|normal| (normal.target.to_string(), normal.judged))
    }

    #[test]
    fn rfc3986_6_2_2_equal_paths_get_one_form() {
        for (given, form) in [
            ("/", "/"),
            ("/a/b?c=/../d", "/a/b?c=/../d"),
            ("/%61%2D%7e", "/a-~"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("//evil.example/x", "/evil.example/x"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/%252e%252e/", "/%252e%252e/"),
        ] {
            assert_eq!(normal(given).map(|(form, _)| form).as_deref(), Ok(form), "{given}");
        }
    }

    #[test]
    fn what_hides_an_escape_is_refused() {
        for bad in [
            "/..",
            "/a/../../b",
            "/%2e%2e/x",
            "/a/..%2fb",
            "/a/%2e%2e%5cb",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a\\b",
            "/%00",
            "/%zz",
            "/%",
            "/%4",
            "/%c0%af",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "/a#b",
            "/a b",
            "/\u{e9}",
            "a",
            "",
            "/a%2f..%2f..%2fb",
        ] {
            assert!(normal(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn disputed_spellings_are_kept_and_judged() {
        for (given, form, judged) in [
            ("/a%2fb/c", "/a%2Fb/c", Some("/a/b/c")),
            ("/a;v=1/b", "/a;v=1/b", Some("/a/b")),
            ("/a//b/", "/a//b/", Some("/a/b/")),
            ("/a/https://x/", "/a/https://x/", Some("/a/https:/x/")),
            ("/a%20b", "/a%20b", None),
        ] {
            assert_eq!(normal(given), Ok((form.to_owned(), judged.map(str::to_owned))), "{given}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_form_is_a_fixed_point_and_never_climbs(text in "/[a./%2eEfF5cC;\\\\x]{0,24}") {
            if let Ok(first) = normalise(&Bytes::from(text)) {
                let again = normalise(&Bytes::copy_from_slice(first.target.as_str().as_bytes()));
                proptest::prop_assert_eq!(again.as_ref(), Ok(&first));
                let path = first.target.path().replace("%2F", "/").replace("%5C", "/");
                proptest::prop_assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")));
            }
        }
    }
}
