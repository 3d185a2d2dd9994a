//! Which bytes of a Rust file are code, comment or literal, and simple searches in the code.
//!
//! Knows strings, raw strings, characters, lifetimes and nested comments; refuses to parse more.
//! Blanking two inks of three with spaces keeps every offset and line where it was.

use std::ops::Range;

/// What one byte of a Rust file belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ink {
    Code,
    Comment,
    Literal,
}

pub(crate) fn inks(text: &str) -> Vec<Ink> {
    let bytes = text.as_bytes();
    let mut inks = Vec::with_capacity(bytes.len());
    while inks.len() < bytes.len() {
        let (ink, length) = token(&bytes[inks.len()..]);
        inks.resize((inks.len() + length).min(bytes.len()), ink);
    }
    inks
}

/// The text with everything but one ink turned to spaces.
pub(crate) fn only(text: &str, inks: &[Ink], wanted: Ink) -> String {
    let keep = |(byte, &ink)| {
        let stays = ink == wanted || byte == b'\n';
        if stays { byte } else { b' ' }
    };
    let kept = text.bytes().zip(inks).map(keep).collect();
    String::from_utf8(kept).expect("inks change only at ASCII bytes")
}

/// The next `{…}` that belongs to what starts at `from`; none if that ends without one.
pub(crate) fn block_after(code: &str, from: usize) -> Option<Range<usize>> {
    let mut depth = 0_i32;
    let mut open = None;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        match byte {
            b'{' if depth == 1 && open.is_none() => open = Some(at),
            b'}' if depth == 0 => return open.map(|open| open..at + 1),
            b';' | b'}' if depth <= 0 => return None,
            _ => {}
        }
    }
    None
}

/// The first names of the path that goes on at `at`: of `::a::b` it is `a`, of `::{a::b, c}` both
/// `a` and `c`.
pub(crate) fn heads(code: &str, at: usize) -> Vec<&str> {
    let Some(rest) = code[at..].strip_prefix("::") else {
        return Vec::new();
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut names = vec![word(group.trim_start())];
    let mut depth = 1;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => names.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

pub(crate) fn offsets(text: &str, needle: &str) -> impl Iterator<Item = usize> {
    text.match_indices(needle).map(|(at, _)| at)
}

/// Where `needle` stands as a whole word.
pub(crate) fn words(text: &str, needle: &str) -> impl Iterator<Item = usize> {
    let length = needle.len();
    let ends = |byte: Option<&u8>| byte.is_none_or(|&byte| !is_word(byte));
    let bytes = text.as_bytes();
    offsets(text, needle).filter(move |&at| ends(bytes[..at].last()) && ends(bytes.get(at + length)))
}

/// The identifier `text` starts with, or nothing.
pub(crate) fn word(text: &str) -> &str {
    let text = text.strip_prefix("r#").unwrap_or(text);
    let length = text.bytes().take_while(|&byte| is_word(byte)).count();
    &text[..length]
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The ink and the length of what `rest` starts with.
fn token(rest: &[u8]) -> (Ink, usize) {
    match rest {
        [b'/', b'/', ..] => {
            let end = rest.iter().position(|&byte| byte == b'\n');
            (Ink::Comment, end.unwrap_or(rest.len()))
        }
        [b'/', b'*', ..] => (Ink::Comment, block_comment(rest)),
        [b'"', ..] => (Ink::Literal, string(rest)),
        [b'\'', ..] => match character(rest) {
            Some(length) => (Ink::Literal, length),
            None => (Ink::Code, 1),
        },
        _ => {
            let length = rest.iter().take_while(|&&byte| is_word(byte)).count();
            let prefix = matches!(&rest[..length], b"r" | b"br" | b"cr");
            match raw_string(&rest[length..]).filter(|_| prefix) {
                Some(body) => (Ink::Literal, length + body),
                None => (Ink::Code, length.max(1)),
            }
        }
    }
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of `'x'`, `'\n'` or `'é'`; none for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let first = *rest.get(1)?;
    if first == b'\\' {
        let end = rest.iter().skip(3).position(|&byte| byte == b'\'')?;
        return Some(3 + end + 1);
    }
    let width = first.leading_ones().max(1) as usize;
    let closed = first != b'\'' && rest.get(1 + width) == Some(&b'\'');
    closed.then_some(1 + width + 1)
}

/// The length of `#"…"#`, what follows the `r`; none for a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    let body = rest[hashes..].strip_prefix(b"\"")?;
    let end = format!("\"{}", "#".repeat(hashes));
    let mut windows = body.windows(end.len());
    let length = windows.position(|window| window == end.as_bytes());
    Some(hashes + 1 + length.unwrap_or(body.len()) + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tokenizer takes for code, blanks squeezed out.
    fn code(text: &str) -> String {
        only(text, &inks(text), Ink::Code).replace(' ', "")
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        for (text, expected) in [
            ("a // b\nc", "a\nc"),
            ("a /* b /* c */ d */ e", "ae"),
            ("a /* open", "a"),
            (r#"a("b \" c", d)"#, "a(,d)"),
            ("a \"open", "a"),
            (r###"a(r#"b " c"#, br"d\", cr##"e"##, f)"###, "a(,,,f)"),
            ("r#type + r", "r#type+r"),
            (r"['{', '\'', '\\', b'}', '\u{7B}', 'é', '\n']", "[,,,b,,,]"),
            ("fn f<'a>(x: &'a str) -> &'static T<'_>", "fnf<'a>(x:&'astr)->&'staticT<'_>"),
            ("'outer: loop { break 'outer }", "'outer:loop{break'outer}"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn blanking_keeps_offsets_and_lines() {
        let text = "let ä = \"ö\n{\"; // ü\n}";
        for ink in [Ink::Code, Ink::Comment, Ink::Literal] {
            let kept = only(text, &inks(text), ink);
            assert_eq!(kept.len(), text.len());
            assert_eq!(kept.lines().count(), text.lines().count());
        }
        assert_eq!(only(text, &inks(text), Ink::Comment).trim(), "// ü");
    }

    #[test]
    fn blocks_are_found_behind_signatures() {
        let block = |code: &str| block_after(code, 0).map(|range| code[range].to_owned());
        assert_eq!(block("fn f(x: [u8; { 4 }]) { { 1 } } { 2 }"), Some("{ { 1 } }".into()));
        assert_eq!(block("fn f(); fn g() { 1 }"), None);
        assert_eq!(block("x: u8 } fn g() { 1 }"), None);
        assert_eq!(block("fn f() { open"), None);
    }

    #[test]
    fn words_and_heads_stop_at_their_edges() {
        assert_eq!(words("unsafe un_unsafe unsafe_code unsafe{", "unsafe").count(), 2);
        assert_eq!(heads("::a::b", 0), ["a"]);
        assert_eq!(heads("::{a::{b, c}, d as e, f,}; g, h", 0), ["a", "d", "f"]);
        assert!(heads(" + b", 0).is_empty());
    }
}
