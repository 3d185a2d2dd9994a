//! One tag, from its `<` to its `>` (HTML, 13.2.5.6 and following), read as its bytes come.
//!
//! ```text
//!   <a  href = "x"  title=y  hidden />
//!      └name┘   └value┘
//!   Name ─▶ Before ─▶ AttributeName ─▶ After ─▶ BeforeValue ─▶ Double | Single | Bare ─▶ Before … ─▶ >
//! ```
//!
//! It says where names and values stand and changes nothing; a tag that is not finished goes on where
//! it stopped, so that tiny chunks cost no more than large ones. It refuses to decode.

use std::ops::Range;

use crate::search::{find, name_end};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Name,
    Slash,
    Before,
    AttributeName,
    After,
    BeforeValue,
    Double,
    Single,
    Bare,
}

/// An attribute; places are bytes of the tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: Range<usize>,
    /// Without its quotes. Empty behind the name if there is none.
    pub(crate) value: Range<usize>,
    /// The quote around it.
    pub(crate) quote: Option<u8>,
}

/// A tag being read.
#[derive(Debug)]
pub(crate) struct Tag {
    state: State,
    at: usize,
    /// Where the name or value being read begins.
    start: usize,
    pub(crate) name: Range<usize>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) is_end: bool,
    pub(crate) is_self_closing: bool,
}

fn space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0c | b'\r')
}

impl Tag {
    pub(crate) fn new() -> Self {
        Tag {
            state: State::Name,
            at: 0,
            start: 0,
            name: 0..0,
            attributes: Vec::new(),
            is_end: false,
            is_self_closing: false,
        }
    }

    /// A tag begins: `<` and a letter, or `</` and a letter.
    pub(crate) fn begin(&mut self, is_end: bool) {
        let name = 1 + usize::from(is_end);
        self.state = State::Name;
        self.at = name;
        self.start = name;
        self.name = name..name;
        self.attributes.clear();
        self.is_end = is_end;
        self.is_self_closing = false;
    }

    /// The bytes so far are passed on; the tag's end is still looked for.
    pub(crate) fn abandon(&mut self) {
        self.attributes.clear();
        self.at = 0;
        self.start = 0;
    }

    /// Reads a whole tag that is written as nearly all are: `<name a="b" c="d">`, one space before each
    /// attribute. Of any other it says nothing, and [`Self::advance`] reads it.
    pub(crate) fn read_plain(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = name_end(text, self.start)?;
        self.name.end = at;
        loop {
            match text.get(at)? {
                b'>' if at > self.start => return Some(at + 1),
                b' ' => {}
                _ => return None,
            }
            let start = at + 1;
            let end = name_end(text, start).filter(|&end| end > start)?;
            if text.get(end..end + 2)? != b"=\"" {
                return None;
            }
            let close = find(text, end + 2, *b"\"")?;
            self.attributes.push(Attribute { name: start..end, value: end + 2..close, quote: Some(b'"') });
            at = close + 1;
        }
    }

    /// Reads on in the tag's bytes, all of them from its `<`. Gives its length when it ends.
    pub(crate) fn advance(&mut self, text: &[u8]) -> Option<usize> {
        loop {
            let &byte = text.get(self.at)?;
            match self.state {
                State::Name => {
                    let end = self.skip_name(text)?;
                    // Here `=` is a letter like others.
                    if text.get(end) == Some(&b'=') {
                        self.at += 1;
                        continue;
                    }
                    self.name.end = end;
                    self.state = State::Before;
                }
                State::Before => {
                    self.skip_while(text, space)?;
                    if self.ends(text) {
                        return Some(self.at);
                    }
                }
                State::Slash if byte == b'>' => {
                    self.is_self_closing = true;
                    return Some(self.at + 1);
                }
                State::Slash => self.state = State::Before,
                State::AttributeName => self.attribute_name(text)?,
                State::After => {
                    self.skip_while(text, space)?;
                    if text.get(self.at) == Some(&b'=') {
                        self.at += 1;
                        self.state = State::BeforeValue;
                    } else {
                        self.state = State::Before;
                    }
                }
                State::BeforeValue => {
                    self.skip_while(text, space)?;
                    self.value_begins(text);
                }
                State::Double => self.quoted(text, b'"')?,
                State::Single => self.quoted(text, b'\'')?,
                State::Bare => {
                    let end = self.skip_while(text, |byte| !(space(byte) || byte == b'>'))?;
                    self.value_ends(end, None);
                    self.state = State::Before;
                }
            }
            // The usual end, without a turn of its own.
            if self.state == State::Before && text.get(self.at) == Some(&b'>') {
                self.at += 1;
                return Some(self.at);
            }
        }
    }

    fn skip_name(&mut self, text: &[u8]) -> Option<usize> {
        let end = name_end(text, self.at);
        self.at = end.unwrap_or(text.len());
        end
    }

    /// Moves to the first byte that is not one of these; nothing if it has not come.
    fn skip_while(&mut self, text: &[u8], what: impl Fn(u8) -> bool) -> Option<usize> {
        let rest = text.get(self.at..)?;
        match rest.iter().position(|&byte| !what(byte)) {
            Some(length) => {
                self.at += length;
                Some(self.at)
            }
            None => {
                self.at = text.len();
                None
            }
        }
    }

    /// At a byte that is no space: whether the tag ends here; if not, what begins.
    fn ends(&mut self, text: &[u8]) -> bool {
        match text.get(self.at) {
            Some(b'>') => {
                self.at += 1;
                return true;
            }
            Some(b'/') => self.state = State::Slash,
            _ => {
                self.state = State::AttributeName;
                self.start = self.at;
            }
        }
        self.at += 1;
        false
    }

    fn attribute_name(&mut self, text: &[u8]) -> Option<()> {
        let end = self.skip_name(text)?;
        self.attributes.push(Attribute { name: self.start..end, value: end..end, quote: None });
        self.state = match text.get(end) {
            Some(b'=') => {
                self.at += 1;
                State::BeforeValue
            }
            Some(b'/' | b'>') => State::Before,
            _ => State::After,
        };
        // Nearly all values are quoted and follow at once.
        if self.state == State::BeforeValue
            && let Some(&quote @ (b'"' | b'\'')) = text.get(self.at)
        {
            self.value_begins(text);
            self.quoted(text, quote)?;
        }
        Some(())
    }

    fn value_begins(&mut self, text: &[u8]) {
        self.start = self.at;
        self.state = match text.get(self.at) {
            Some(b'"') => State::Double,
            Some(b'\'') => State::Single,
            Some(b'>') => State::Before,
            _ => State::Bare,
        };
        if matches!(self.state, State::Double | State::Single) {
            self.at += 1;
            self.start = self.at;
        }
    }

    fn quoted(&mut self, text: &[u8], quote: u8) -> Option<()> {
        let Some(end) = find(text, self.at, [quote]) else {
            self.at = text.len();
            return None;
        };
        self.at = end + 1;
        self.value_ends(end, Some(quote));
        self.state = State::Before;
        Some(())
    }

    fn value_ends(&mut self, end: usize, quote: Option<u8>) {
        // Nothing to note of an attribute whose name was passed on before.
        if let Some(last) = self.attributes.last_mut() {
            last.value = self.start..end;
            last.quote = quote;
        }
    }

    /// The value of the first attribute of this name, as it is written.
    pub(crate) fn value<'t>(&self, text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
        let named = |attribute: &&Attribute| {
            text.get(attribute.name.clone()).is_some_and(|other| other.eq_ignore_ascii_case(name))
        };
        text.get(self.attributes.iter().find(named)?.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let mut tag = Tag::new();
        tag.begin(text.starts_with("</"));
        let Some(length) = tag.advance(text.as_bytes()) else { return "unfinished".into() };
        let mut shown = text[tag.name.clone()].to_owned();
        for attribute in &tag.attributes {
            shown += &format!(" {}={}", &text[attribute.name.clone()], &text[attribute.value.clone()]);
        }
        if tag.is_self_closing {
            shown += " /";
        }
        format!("{shown} +{}", text.len() - length)
    }

    #[test]
    fn tags_read_as_browsers_read_them() {
        for (text, expected) in [
            ("<a>", "a +0"),
            ("<a href=x>y", "a href=x +1"),
            ("<a\nhref = \"x>y\"  b='z' c>", "a href=x>y b=z c= +0"),
            ("<a href=x/>", "a href=x/ +0"),
            ("<a href=\"x\"/>", "a href=x / +0"),
            ("<a/b/c=d/>", "a b= c=d/ +0"),
            ("<a b=\"c\"d=e>", "a b=c d=e +0"),
            ("<a =\"x\">", "a =\"x\"= +0"),
            ("<a b==c>", "a b==c +0"),
            ("<a b=>c", "a b= +1"),
            ("<a \"b>\">", "a \"b= +2"),
            ("<a b=c\"d'e>", "a b=c\"d'e +0"),
            ("<a / b>", "a b= +0"),
            ("<br/>", "br / +0"),
            ("</a b='>'>", "a b=> +0"),
            ("<a b='", "unfinished"),
            ("<a b", "unfinished"),
            ("<a b  =  c  d>", "a b=c d= +0"),
            ("<a b  c>", "a b= c= +0"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_goes_on_where_it_stopped() {
        let text = "<a\nhref = \"x>y\"  b='z' c d=e/>";
        let mut whole = Tag::new();
        whole.begin(false);
        assert_eq!(whole.advance(text.as_bytes()), Some(text.len()));
        let mut bytewise = Tag::new();
        bytewise.begin(false);
        for end in 2..text.len() {
            assert_eq!(bytewise.advance(&text.as_bytes()[..end]), None);
        }
        assert_eq!(bytewise.advance(text.as_bytes()), Some(text.len()));
        assert_eq!(bytewise.attributes, whole.attributes);
    }
}
