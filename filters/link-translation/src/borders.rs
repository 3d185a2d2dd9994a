//! Where a URL in text begins and ends: bytes that cannot be part of one, and escapes that stand for them.
//!
//! It refuses to read schemes and hosts.

use crate::entities;

/// What an escape in or behind a URL is.
pub(crate) enum Escape {
    /// Part of the URL, so long.
    Length(usize),
    /// No part of it.
    Ends,
    /// Cut off.
    Unfinished,
}

fn of_code(code: u32, length: usize) -> Escape {
    match u8::try_from(code) {
        Ok(byte) if ends_url(byte) => Escape::Ends,
        _ => Escape::Length(length),
    }
}

/// The escape of JavaScript and JSON that `text` begins with.
pub(crate) fn script_escape(text: &[u8]) -> Escape {
    let digits = match text.get(1) {
        None => return Escape::Unfinished,
        Some(b'/') => return Escape::Length(2),
        Some(b'u') => 4,
        Some(b'x') => 2,
        Some(_) => return Escape::Ends,
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let code = text.iter().skip(2).take(digits).map(digit).try_fold(0, |code, digit| Some(code * 16 + digit?));
    match code {
        None => Escape::Ends,
        Some(_) if text.len() < 2 + digits => Escape::Unfinished,
        Some(code) => of_code(code, 2 + digits),
    }
}

/// The character reference that `text` begins with.
pub(crate) fn markup_escape(text: &[u8]) -> Escape {
    let name = text.iter().skip(1).take(10).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#').count();
    if name < 10 && text.len() == 1 + name {
        return Escape::Unfinished;
    }
    entities::reference(text).map_or(Escape::Length(1), |(code, length)| of_code(code, length))
}

/// Whether no URL goes on behind this byte. A comma may be part of one, but lists are more common.
pub(crate) fn ends_url(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'|' | b'^' | b',')
}

/// Whether what follows this byte may be the rest of a longer word or URL.
pub(crate) fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'~' | b'%' | b'@' | b'/' | b':')
}

/// Whether the text ends with an escape such as `\n` or `\u0022`, whose letters are no word.
pub(crate) fn behind_escape(text: &[u8]) -> bool {
    let escape = |length: usize| {
        let start = text.len().checked_sub(length)?;
        let backslashes = text.get(..=start)?.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 1 { text.get(start + 1..) } else { None }
    };
    let code = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    match (escape(2), escape(4), escape(6)) {
        (Some([letter]), _, _) => matches!(letter, b'n' | b't' | b'r' | b'f' | b'v' | b'b' | b'0'),
        (_, Some([b'x', digits @ ..]), _) | (_, _, Some([b'u', b'0', b'0', digits @ ..])) => {
            code(digits).is_some_and(|code| !in_word(code))
        }
        _ => false,
    }
}
