//! Which charset a text body is in, told to filters as a property.
//!
//! ```text
//!   byte order mark ─▶ Content-Type ─▶ <meta> or <?xml in the first 1024 bytes ─▶ unknown
//! ```
//!
//! The order is that of browsers (HTML, 13.2.3.2; Encoding, 6): a mark outranks the header, since
//! what a filter reads otherwise than the reader's browser does is a hole. It refuses to guess from
//! frequencies, as some browsers do, and to convert: UTF-16 is named so that a filter can pass.

mod labels;

pub use labels::encoding_of;

use http::HeaderValue;

/// Bytes of a body in which browsers look for a declaration (HTML, 4.2.5.4).
pub const PRESCAN_BYTES: usize = 1024;

/// A charset and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset {
    /// The encoding's name (Encoding Standard, 4.2), such as `UTF-8`; `unknown` if nothing says.
    pub label: &'static str,
    /// What said so.
    pub source: Source,
}

/// What named a charset, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A byte order mark.
    Mark,
    /// `charset` of the `Content-Type`.
    Header,
    /// A `<meta>` or an XML declaration at the body's start.
    Body,
    /// Nothing. Browsers read such a page as windows-1252 or what they detect.
    Unknown,
}

impl Charset {
    /// Whether its bytes below 0x80 are not simply ASCII, so that a filter that looks for `<` or a
    /// host name among the bytes would miss it.
    #[must_use]
    pub fn hides_ascii(&self) -> bool {
        matches!(self.label, "UTF-16LE" | "UTF-16BE" | "ISO-2022-JP" | "replacement")
    }
}

/// The charset of a body by its `Content-Type` and its first bytes: [`PRESCAN_BYTES`] of them, or
/// all if there are fewer. With less the answer may differ from a browser's.
#[must_use]
pub fn charset_of(content_type: Option<&HeaderValue>, first_bytes: &[u8]) -> Charset {
    let start = &first_bytes[..first_bytes.len().min(PRESCAN_BYTES)];
    let mark = match start {
        [0xef, 0xbb, 0xbf, ..] => Some("UTF-8"),
        [0xfe, 0xff, ..] => Some("UTF-16BE"),
        [0xff, 0xfe, ..] => Some("UTF-16LE"),
        _ => None,
    };
    let header = || content_type.and_then(|value| parameter(value.as_bytes()));
    if let Some(label) = mark {
        Charset { label, source: Source::Mark }
    } else if let Some(label) = header() {
        Charset { label, source: Source::Header }
    } else if let Some(label) = prescan(start) {
        Charset { label, source: Source::Body }
    } else {
        Charset { label: "unknown", source: Source::Unknown }
    }
}

/// The encoding of a media type's `charset` parameter (RFC 9110, 8.3.1).
fn parameter(media_type: &[u8]) -> Option<&'static str> {
    let mut rest = media_type;
    loop {
        rest = &rest[rest.iter().position(|&byte| byte == b';')? + 1..];
        let parameter = rest.trim_ascii_start();
        let Some((name, value)) = parameter.split_at_checked(b"charset=".len()) else { continue };
        if name.eq_ignore_ascii_case(b"charset=") {
            let quotes: &[u8] = if value.starts_with(b"\"") { b"\"" } else { b";" };
            let value = value.strip_prefix(b"\"").unwrap_or(value);
            let end = value.iter().position(|byte| quotes.contains(byte)).unwrap_or(value.len());
            return encoding_of(&value[..end]);
        }
    }
}

/// Looks for a declaration among the first bytes (HTML, 13.2.3.2, "prescan a byte stream").
fn prescan(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'<', 0, b'?', 0, b'x', 0, ..] => return Some("UTF-16LE"),
        [0, b'<', 0, b'?', 0, b'x', ..] => return Some("UTF-16BE"),
        _ => {}
    }
    let mut scan = Scan { rest: bytes };
    while !scan.rest.is_empty() {
        match scan.rest {
            // `<!-->` is a whole comment: the dashes may be the same.
            [b'<', b'!', b'-', b'-', ..] => scan.skip_past(2, b"-->")?,
            [b'<', b'm' | b'M', ..] if scan.at_meta() => {
                if let Some(encoding) = scan.meta() {
                    return Some(encoding);
                }
            }
            [b'<', b'/', letter, ..] | [b'<', letter, ..] if letter.is_ascii_alphabetic() => {
                scan.skip_name();
                while scan.attribute().is_some() {}
            }
            [b'<', b'!' | b'/' | b'?', ..] => scan.skip_past(2, b">")?,
            _ => scan.skip(1),
        }
    }
    xml_declaration(bytes)
}

/// The encoding an XML declaration names (HTML, 13.2.3.2, "get an XML encoding"), which counts
/// only if no `<meta>` does.
fn xml_declaration(bytes: &[u8]) -> Option<&'static str> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..declaration.iter().position(|&byte| byte == b'>')?];
    let value = declaration[find(declaration, b"encoding")? + b"encoding".len()..].trim_ascii_start();
    let value = value.strip_prefix(b"=")?.trim_ascii_start();
    let (quote, value) = value.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    readable(encoding_of(&value[..value.iter().position(|byte| byte == quote)?])?)
}

/// The encoding that bytes are in which were read as ASCII to find its name: not UTF-16.
fn readable(encoding: &'static str) -> Option<&'static str> {
    Some(match encoding {
        "UTF-16LE" | "UTF-16BE" => "UTF-8",
        "x-user-defined" => "windows-1252",
        other => other,
    })
}

/// The bytes not scanned yet.
struct Scan<'a> {
    rest: &'a [u8],
}

/// Name and value, as they stand.
type Attribute<'a> = (&'a [u8], &'a [u8]);

impl<'a> Scan<'a> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Skips `count` bytes and all to the end of `what`; none if it does not come.
    fn skip_past(&mut self, count: usize, what: &[u8]) -> Option<()> {
        self.skip(count);
        let at = find(self.rest, what)?;
        self.skip(at + what.len());
        Some(())
    }

    /// Takes bytes up to the first one for which `ends` holds.
    fn take_until(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| ends(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip_name(&mut self) {
        self.take_until(|byte| is_space(byte) || byte == b'>');
    }

    fn at_meta(&self) -> bool {
        match self.rest.split_at_checked(5) {
            Some((tag, [next, ..])) => tag.eq_ignore_ascii_case(b"<meta") && (is_space(*next) || *next == b'/'),
            _ => false,
        }
    }

    /// Reads a `<meta>`: the encoding it declares, if it does.
    fn meta(&mut self) -> Option<&'static str> {
        self.skip(b"<meta".len());
        let (mut http_equiv, mut content, mut charset) = (None, None, None);
        while let Some((name, value)) = self.attribute() {
            // The first of each name counts.
            if name.eq_ignore_ascii_case(b"http-equiv") {
                http_equiv.get_or_insert(value.eq_ignore_ascii_case(b"content-type"));
            } else if name.eq_ignore_ascii_case(b"content") {
                content.get_or_insert(value);
            } else if name.eq_ignore_ascii_case(b"charset") {
                charset.get_or_insert(value);
            }
        }
        match (charset, content) {
            // Cut off within the tag: what else it would have said is not known.
            _ if self.rest.is_empty() => None,
            (Some(label), _) => readable(encoding_of(label)?),
            (None, Some(content)) if http_equiv == Some(true) => readable(encoding_of(label_in_content(content)?)?),
            _ => None,
        }
    }

    /// The next attribute of the tag (HTML, 13.2.3.2, "get an attribute"); none at its `>`, which
    /// stays, or at the end of the bytes.
    fn attribute(&mut self) -> Option<Attribute<'a>> {
        self.take_until(|byte| !is_space(byte) && byte != b'/');
        if self.rest.first().is_none_or(|&byte| byte == b'>') {
            return None;
        }
        let start = self.rest;
        self.skip(1); // a leading `=` belongs to the name
        self.take_until(|byte| is_space(byte) || matches!(byte, b'/' | b'>' | b'='));
        let name = &start[..start.len() - self.rest.len()];
        self.take_until(|byte| !is_space(byte));
        if self.rest.first() != Some(&b'=') {
            return Some((name, b""));
        }
        self.skip(1);
        self.take_until(|byte| !is_space(byte));
        match self.rest.first().copied() {
            Some(quote @ (b'"' | b'\'')) => {
                self.skip(1);
                let value = self.take_until(|byte| byte == quote);
                self.skip(1);
                Some((name, value))
            }
            _ => Some((name, self.take_until(|byte| is_space(byte) || byte == b'>'))),
        }
    }
}

/// The label in the `content` of a `<meta http-equiv=content-type>` (HTML, 2.5.5).
fn label_in_content(content: &[u8]) -> Option<&[u8]> {
    let lower = content.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let at = from + find(&lower[from..], b"charset")? + b"charset".len();
        let rest = content[at..].trim_ascii_start();
        let Some(value) = rest.strip_prefix(b"=") else {
            from = at;
            continue;
        };
        let value = value.trim_ascii_start();
        return match value.split_first() {
            Some((quote @ (b'"' | b'\''), value)) => Some(&value[..value.iter().position(|byte| byte == quote)?]),
            _ => Some(&value[..value.iter().position(|&byte| is_space(byte) || byte == b';').unwrap_or(value.len())]),
        };
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
