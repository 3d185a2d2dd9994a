//! Escapes of CSS (CSS Syntax, 4.3.7): `\2f `, `\/`, and a line end that does not count.
//!
//! It refuses to judge where they may stand; that is the tokenizer's.

use crate::decoded::Decoded;
use crate::search::find;

/// The text with its escapes resolved; nothing if it has none.
pub(crate) fn decode(text: &[u8]) -> Option<Decoded> {
    let mut at = find(text, 0, *b"\\")?;
    let mut decoded = Decoded::default();
    let mut copied = 0;
    loop {
        decoded.copy(text.get(copied..at)?);
        copied = at + escape(text.get(at..)?, &mut decoded);
        match find(text, copied, *b"\\") {
            Some(next) => at = next,
            None => break,
        }
    }
    decoded.copy(text.get(copied..)?);
    Some(decoded)
}

/// How long the escape is that the text begins with.
pub(crate) fn length(text: &[u8]) -> usize {
    escape(text, &mut Decoded::default())
}

/// What the escape stands for that the text begins with; nothing for a line end.
pub(crate) fn first(text: &[u8]) -> Option<u32> {
    let mut decoded = Decoded::default();
    escape(text, &mut decoded);
    std::str::from_utf8(decoded.text()).ok()?.chars().next().map(u32::from)
}

/// Resolves the escape the text begins with and says how long it is.
fn escape(text: &[u8], decoded: &mut Decoded) -> usize {
    let digits = text.iter().skip(1).take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 0 {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default();
        let code = text.iter().skip(1).take(digits).fold(0, |code, byte| code * 16 + digit(byte));
        let length = 1 + digits + line_end(text.get(1 + digits..).unwrap_or_default(), true);
        decoded.put_code(code, length);
        return length;
    }
    let Some(byte) = text.get(1) else {
        decoded.put(b"", 1);
        return 1;
    };
    let ends = line_end(text.get(1..).unwrap_or_default(), false);
    let stands_for: &[u8] = if ends > 0 { b"" } else { std::slice::from_ref(byte) };
    decoded.put(stands_for, 1 + ends.max(1));
    1 + ends.max(1)
}

/// How long the line end is the text begins with; a space counts as one behind hexadecimal digits.
fn line_end(text: &[u8], spaces: bool) -> usize {
    match text {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n' | 0x0c, ..] => 1,
        [b' ' | b'\t', ..] if spaces => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_css() {
        for (written, text) in [
            (r"http\3a\2f\2f host", "http://host"),
            (r"http:\/\/host", "http://host"),
            ("a\\\nb\\\r\nc", "abc"),
            (r"\00002fx\2f  y", "/x/ y"),
            ("x\\", "x"),
            (r"\110000", "\u{fffd}"),
        ] {
            let decoded = decode(written.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(decoded.text()), text, "{written}");
        }
    }
}
