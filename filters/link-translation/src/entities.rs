//! Character references in attribute values (HTML, 13.2.5.72 and following): `&#47;`, `&sol;`.
//!
//! It refuses names that stand for anything but ASCII: no address has them, and what is not resolved
//! stays as it is written.

use crate::decoded::Decoded;
use crate::search::find;

/// The value with its references resolved; nothing if it has none.
pub(crate) fn decode(value: &[u8]) -> Option<Decoded> {
    let mut at = find(value, 0, *b"&")?;
    let mut decoded = Decoded::default();
    let mut copied = 0;
    loop {
        let rest = value.get(at..)?;
        if let Some((code, length)) = reference(rest) {
            decoded.copy(value.get(copied..at)?);
            decoded.put_code(code, length);
            copied = at + length;
        }
        match find(value, at + 1, *b"&") {
            Some(next) => at = next,
            None => break,
        }
    }
    decoded.copy(value.get(copied..)?);
    Some(decoded)
}

/// The code a reference stands for, and how long it is.
pub(crate) fn reference(text: &[u8]) -> Option<(u32, usize)> {
    match text {
        [b'&', b'#', b'x' | b'X', digits @ ..] => number(digits, 16, 3),
        [b'&', b'#', digits @ ..] => number(digits, 10, 2),
        [b'&', rest @ ..] => named(rest),
        _ => None,
    }
}

fn number(text: &[u8], radix: u32, before: usize) -> Option<(u32, usize)> {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let digits = text.iter().map_while(digit);
    let (count, code) =
        digits.fold((0, 0_u32), |(count, code), digit| (count + 1, code.saturating_mul(radix).saturating_add(digit)));
    if count == 0 {
        return None;
    }
    let semicolon = usize::from(text.get(count) == Some(&b';'));
    Some((code, before + count + semicolon))
}

/// Those that HTML knows without a semicolon too.
const OLD: &[(&[u8], u8)] = &[
    (b"amp", b'&'),
    (b"AMP", b'&'),
    (b"lt", b'<'),
    (b"LT", b'<'),
    (b"gt", b'>'),
    (b"GT", b'>'),
    (b"quot", b'"'),
    (b"QUOT", b'"'),
];

const NAMED: &[(&[u8], u8)] = &[
    (b"apos", b'\''),
    (b"sol", b'/'),
    (b"bsol", b'\\'),
    (b"colon", b':'),
    (b"period", b'.'),
    (b"Tab", b'\t'),
    (b"NewLine", b'\n'),
    (b"commat", b'@'),
    (b"quest", b'?'),
    (b"num", b'#'),
    (b"equals", b'='),
    (b"percnt", b'%'),
    (b"lowbar", b'_'),
    (b"UnderBar", b'_'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
    (b"comma", b','),
    (b"semi", b';'),
    (b"plus", b'+'),
    (b"excl", b'!'),
    (b"ast", b'*'),
    (b"midast", b'*'),
    (b"dollar", b'$'),
    (b"verbar", b'|'),
    (b"vert", b'|'),
    (b"VerticalLine", b'|'),
    (b"grave", b'`'),
    (b"DiacriticalGrave", b'`'),
    (b"Hat", b'^'),
];

fn named(text: &[u8]) -> Option<(u32, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let (name, after) = text.split_at_checked(length)?;
    let known = |list: &[(&[u8], u8)]| list.iter().find(|entry| entry.0 == name).map(|entry| u32::from(entry.1));
    if after.first() == Some(&b';') {
        return Some((known(OLD).or_else(|| known(NAMED))?, length + 2));
    }
    // In an attribute `&lt=` and `&ltx` are text: a query may well have a parameter of that name.
    if after.first() == Some(&b'=') { None } else { Some((known(OLD)?, length + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_those_of_browsers() {
        for (written, text) in [
            ("a&amp;b&quot;&lt;&gt;", "a&b\"<>"),
            ("http&colon;&sol;&#47;&#x2F;x&period;y", "http:///x.y"),
            ("&#0047;&#x2f&#47a", "///a"),
            ("&amp&lt;x&lt=1&ltx&lt", "&<x&lt=1&ltx<"),
            ("&;&#;&#x;&#xg;&unknown;&", "&;&#;&#x;&#xg;&unknown;&"),
            ("&#252;&#xd800;&#99999999999;", "\u{fc}\u{fffd}\u{fffd}"),
        ] {
            let decoded = decode(written.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(decoded.text()), text, "{written}");
        }
        assert!(decode(b"plain").is_none());
    }
}
