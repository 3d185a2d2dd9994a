//! A text with everything undone in which the characters of an address may hide, all at once:
//! references of markup, escapes of scripts and style sheets, percent-encoding, upper case.
//!
//! It does not ask where it is. So it reads more than any one browser would, which is right for
//! finding; it refuses to say what a place means.

/// The text as it reads, and where each byte of it stands.
pub(super) struct Written {
    /// In lower case as far as it is ASCII.
    pub(super) text: Vec<u8>,
    at: Vec<u32>,
}

/// References by name that stand for what may be in an address.
const NAMED: [(&[u8], char); 14] = [
    (b"&amp;", '&'),
    (b"&sol;", '/'),
    (b"&bsol;", '\\'),
    (b"&colon;", ':'),
    (b"&period;", '.'),
    (b"&commat;", '@'),
    (b"&hyphen;", '-'),
    (b"&lowbar;", '_'),
    (b"&Tab;", '\t'),
    (b"&NewLine;", '\n'),
    (b"&quot;", '"'),
    (b"&apos;", '\''),
    (b"&lt;", '<'),
    (b"&gt;", '>'),
];

impl Written {
    /// Reads a text. `closed` leaves out tabs and line ends, as browsers do within a URL.
    pub(super) fn read(source: &[u8], closed: bool) -> Self {
        let mut written = Self { text: Vec::with_capacity(source.len()), at: Vec::with_capacity(source.len()) };
        let mut at = 0;
        while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
            let (character, length) = character(rest);
            written.put(character, at, closed);
            at += length;
        }
        written
    }

    fn put(&mut self, character: Character, at: usize, closed: bool) {
        // A body has at most `BODY_BYTES_MAX`, far below 4 GiB.
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        match character {
            Character::Byte(b'\t' | b'\n' | b'\r') | Character::Code('\t' | '\n' | '\r') if closed => {}
            Character::Byte(byte) => {
                self.text.push(byte.to_ascii_lowercase());
                self.at.push(at);
            }
            Character::Code(code) => {
                let mut utf8 = [0; 4];
                for byte in code.encode_utf8(&mut utf8).bytes() {
                    self.text.push(byte.to_ascii_lowercase());
                    self.at.push(at);
                }
            }
        }
    }

    /// Where a byte of the text stands in the source.
    pub(super) fn place(&self, index: usize) -> usize {
        self.at.get(index).or(self.at.last()).map_or(0, |&at| at as usize)
    }
}

enum Character {
    /// As it stands.
    Byte(u8),
    /// Written otherwise.
    Code(char),
}

fn character(text: &[u8]) -> (Character, usize) {
    let found = match text.first() {
        Some(b'&') => reference(text),
        Some(b'\\') => escape(text),
        Some(b'%') => percent(text),
        _ => None,
    };
    match found {
        Some((code, length)) => (Character::Code(code), length),
        None => (Character::Byte(text.first().copied().unwrap_or_default()), 1),
    }
}

/// The reference that stands here, and its length.
pub(super) fn reference(text: &[u8]) -> Option<(char, usize)> {
    if let Some((name, code)) = NAMED.iter().find(|(name, _)| text.starts_with(name)) {
        return Some((*code, name.len()));
    }
    let (digits, radix, before) = match text {
        [b'&', b'#', b'x' | b'X', digits @ ..] => (digits, 16, 3),
        [b'&', b'#', digits @ ..] => (digits, 10, 2),
        _ => return None,
    };
    let (code, length) = number(digits, radix, 10)?;
    let semicolon = usize::from(digits.get(length) == Some(&b';'));
    Some((char::from_u32(code)?, before + length + semicolon))
}

/// `\/`, `\u002f`, `\u{2f}`, `\x2f`, and `\2f` of style sheets with the space that ends it.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let (digits, most, before) = match text {
        [b'\\', b'/', ..] => return Some(('/', 2)),
        [b'\\', b'u', b'{', digits @ ..] => (digits, 6, 3),
        [b'\\', b'u', digits @ ..] => (digits, 4, 2),
        [b'\\', b'x', digits @ ..] => (digits, 2, 2),
        [b'\\', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => (digits, 6, 1),
        _ => return None,
    };
    let (code, length) = number(digits, 16, most)?;
    let end = match (text.get(1), digits.get(length)) {
        (Some(b'u'), Some(b'}')) if before == 3 => 1,
        (Some(b'0'..=b'9'), Some(b' ')) => 1,
        _ => 0,
    };
    Some((char::from_u32(code)?, before + length + end))
}

fn percent(text: &[u8]) -> Option<(char, usize)> {
    let (code, length) = number(text.get(1..)?, 16, 2)?;
    (length == 2 && code < 0x80).then(|| char::from_u32(code)).flatten().map(|code| (code, 3))
}

/// A number of at least one digit and at most so many, and how many there were.
fn number(text: &[u8], radix: u32, most: usize) -> Option<(u32, usize)> {
    let digits = text.iter().take(most).map_while(|&byte| char::from(byte).to_digit(radix));
    let (mut value, mut length) = (0_u32, 0);
    for digit in digits {
        value = value.checked_mul(radix)?.checked_add(digit)?;
        length += 1;
    }
    (length > 0).then_some((value, length))
}

/// A value of an attribute as it reads: its references resolved and nothing else.
pub(super) fn attribute(value: &str) -> String {
    let mut read = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('&') {
        let (before, from) = rest.split_at(start);
        read.push_str(before);
        let (code, length) = reference(from.as_bytes()).unwrap_or(('&', 1));
        read.push(code);
        rest = from.get(length..).unwrap_or_default();
    }
    read.push_str(rest);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_the_same() {
        for spelt in [
            "http://a.corp/",
            "HTTP://A.Corp/",
            "http:&#47;&#x2f;a&period;corp&sol;",
            "http&colon;//a.corp/",
            "&#104ttp://a.corp/",
            r"http:\/\/a.corp\/",
            r"http:\u002f\u002Fa.corp\x2f",
            r"http\u{3a}//a.corp/",
            r"http\3a //a.corp\2f",
            "http%3A%2f%2Fa%2ecorp/",
        ] {
            let written = Written::read(spelt.as_bytes(), false);
            assert_eq!(String::from_utf8_lossy(&written.text), "http://a.corp/", "{spelt}");
        }
        let closed = Written::read(b"ht\ntp:/&#9;/a.co\r\nrp/", true);
        assert_eq!(closed.text, b"http://a.corp/");
    }

    #[test]
    fn bytes_know_their_place() {
        let written = Written::read(b"x&#47;y%2Fz", false);
        let places: Vec<usize> = (0..written.text.len()).map(|index| written.place(index)).collect();
        assert_eq!((written.text.as_slice(), places.as_slice()), (&b"x/y/z"[..], &[0, 1, 6, 7, 10][..]));
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["&", "&#", "&#x", "&#x110000;", "%", "%4", "%zz", "\\", "\\u", "\\q", "%ff"] {
            assert_eq!(Written::read(text.as_bytes(), false).text, text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn attributes_resolve_references_only() {
        assert_eq!(attribute("a?b=1&amp;c=%2F&#47;&x"), "a?b=1&c=%2F/&x");
    }
}
