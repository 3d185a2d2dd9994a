//! Style sheets: `url()`, `src()`, `image-set()` and `@import`, by tokens (CSS Syntax, 4).
//!
//! ```text
//!            ┌ "…" '…' ─▶ String      a URL where the innermost function, or an @import, says so
//!   Normal ──┼ /* ─────▶ Comment
//!            └ url( ───▶ Url          unless a quote follows; then it is a function like others
//! ```
//!
//! Comments and other strings are left alone: `content: "http://…"` is text to be read. It refuses to
//! hold back more than the start of one URL, and to look at selectors and values otherwise.

use crate::edits::Edits;
use crate::escapes;
use crate::links::Links;
use crate::search::find;

/// Functions of functions: `image-set(url(…), …)` needs two.
const DEPTH_MAX: usize = 32;

/// The longest word that counts is `-webkit-image-set`; escapes may make it six times as long.
const WORD_BYTES_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    Comment,
    /// In a string, whose start has been looked at; with its quote.
    String(u8),
    /// In a `url(` without quotes, whose start has been looked at.
    Url,
}

/// The tokenizer of one style sheet, from chunk to chunk.
#[derive(Debug)]
pub(crate) struct Css {
    state: State,
    /// Whether strings are URLs in each function that is open.
    functions: Vec<bool>,
    /// Open functions beyond [`DEPTH_MAX`].
    deeper: usize,
    /// Behind `@import`, before its end.
    import: bool,
    scratch: Vec<u8>,
}

/// What became of a token.
enum Next {
    At(usize),
    /// It is not all there; what stands before it is done.
    Wait(usize),
}

impl Css {
    pub(crate) fn new() -> Self {
        Css { state: State::Normal, functions: Vec::new(), deeper: 0, import: false, scratch: Vec::new() }
    }

    /// Reads as much as can be decided and says how much that was; all of it at the `end`.
    pub(crate) fn step(&mut self, links: &Links, text: &[u8], end: bool, edits: &mut Edits) -> usize {
        let mut at = 0;
        while at < text.len() {
            let next = match self.state {
                State::Normal => self.normal(links, text, at, end, edits),
                State::Comment => self.comment(text, at),
                State::String(quote) => self.string(text, at, quote),
                State::Url => match find(text, at, *b")\\") {
                    Some(found) if text.get(found) == Some(&b'\\') => escape(text, found),
                    Some(found) => {
                        self.state = State::Normal;
                        Next::At(found + 1)
                    }
                    None => Next::At(text.len()),
                },
            };
            match next {
                Next::At(next) => at = next,
                Next::Wait(_) if end => return text.len(),
                Next::Wait(done) => return done,
            }
        }
        text.len()
    }

    fn normal(&mut self, links: &Links, text: &[u8], from: usize, end: bool, edits: &mut Edits) -> Next {
        let Some(length) = text.get(from..).and_then(|rest| rest.iter().position(|&byte| counts(byte))) else {
            return rest(text, end);
        };
        let at = from + length;
        match text.get(at) {
            Some(b'/') => match text.get(at + 1) {
                Some(b'*') => {
                    self.state = State::Comment;
                    return Next::At(at + 2);
                }
                None => return Next::Wait(at),
                Some(_) => {}
            },
            Some(b'\\') if at + 2 < text.len() => return Next::At(at + 2),
            Some(b'\\') => return rest(text, end),
            Some(b'@') => return self.at_keyword(text, at, end),
            Some(b';' | b'{' | b'}') => self.import = false,
            Some(b')') => self.close(),
            Some(b'(') => return self.open(links, text, at, end, edits),
            Some(&quote) => return self.quote(links, text, at, quote, end, edits),
            None => {}
        }
        Next::At(at + 1)
    }

    fn comment(&mut self, text: &[u8], from: usize) -> Next {
        let mut at = from;
        while let Some(star) = find(text, at, *b"*") {
            match text.get(star + 1) {
                Some(b'/') => {
                    self.state = State::Normal;
                    return Next::At(star + 2);
                }
                None => return Next::Wait(star),
                Some(_) => at = star + 1,
            }
        }
        Next::At(text.len())
    }

    fn string(&mut self, text: &[u8], from: usize, quote: u8) -> Next {
        match find(text, from, [quote, b'\\', b'\n', b'\r', 0x0c]) {
            Some(at) if text.get(at) == Some(&b'\\') => escape(text, at),
            Some(at) => {
                self.state = State::Normal;
                Next::At(at + 1)
            }
            None => Next::At(text.len()),
        }
    }

    fn at_keyword(&mut self, text: &[u8], at: usize, end: bool) -> Next {
        let word = text.get(at + 1..).unwrap_or_default();
        let length = word.iter().take_while(|&&byte| in_word(byte)).count();
        if length == word.len() && !end && length < WORD_BYTES_MAX {
            return Next::Wait(at);
        }
        self.import = word.get(..length).is_some_and(|word| word.eq_ignore_ascii_case(b"import"));
        Next::At(at + 1 + length)
    }

    fn close(&mut self) {
        match self.deeper.checked_sub(1) {
            Some(deeper) => self.deeper = deeper,
            None => drop(self.functions.pop()),
        }
    }

    /// A parenthesis, with the name before it if it has one.
    fn open(&mut self, links: &Links, text: &[u8], at: usize, end: bool, edits: &mut Edits) -> Next {
        let start = word_start(text, at);
        let word = text.get(start..at).unwrap_or_default();
        let function = function(word);
        if function == Some(Function::Url) {
            let space = text.iter().skip(at + 1).take_while(|byte| byte.is_ascii_whitespace()).count();
            match text.get(at + 1 + space) {
                Some(b'"' | b'\'') => {}
                Some(_) => return self.unquoted(links, text, (start, at + 1 + space), end, edits),
                // Spaces without end are no start of a URL.
                None if end || space > WORD_BYTES_MAX => {}
                None => return Next::Wait(start),
            }
        }
        if self.functions.len() < DEPTH_MAX {
            self.functions.push(function.is_some());
        } else {
            self.deeper += 1;
        }
        Next::At(at + 1)
    }

    fn quote(&mut self, links: &Links, text: &[u8], at: usize, quote: u8, end: bool, edits: &mut Edits) -> Next {
        let innermost = self.deeper == 0 && self.functions.last().copied().unwrap_or(self.import);
        if innermost {
            let start = at + 1;
            let length = find_end(text, start, |byte| byte == quote || matches!(byte, b'\n' | b'\r' | 0x0c));
            if length.is_none() && !end && text.len() - start < links.maps.window {
                return Next::Wait(at);
            }
            self.url(links, text, start, length.unwrap_or(text.len()), edits);
        }
        self.state = State::String(quote);
        Next::At(at + 1)
    }

    /// A `url(` whose URL begins at `start` without a quote.
    fn unquoted(&mut self, links: &Links, text: &[u8], place: (usize, usize), end: bool, edits: &mut Edits) -> Next {
        let (word, start) = place;
        let length = find_end(text, start, |byte| byte == b')' || byte.is_ascii_whitespace());
        if length.is_none() && !end && text.len() - start < links.maps.window {
            return Next::Wait(word);
        }
        self.url(links, text, start, length.unwrap_or(text.len()), edits);
        self.state = State::Url;
        Next::At(start)
    }

    fn url(&mut self, links: &Links, text: &[u8], start: usize, end: usize, edits: &mut Edits) {
        let Some(url) = text.get(start..end.min(start + links.maps.window * 8)) else { return };
        self.scratch.clear();
        let decoded = escapes::decode(url);
        let found = links.map(decoded.as_ref().map_or(url, |decoded| decoded.text()), &mut self.scratch);
        if let Some(found) = found {
            let place = decoded.map_or(found.place.clone(), |decoded| decoded.place(found.place));
            edits.within(start, |edits| edits.replace(place, &self.scratch));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Url,
    Strings,
}

/// What a function's name says of its strings.
fn function(word: &[u8]) -> Option<Function> {
    let decoded = escapes::decode(word);
    let word = decoded.as_ref().map_or(word, |decoded| decoded.text());
    let named = |name: &[u8]| word.eq_ignore_ascii_case(name);
    if named(b"url") {
        return Some(Function::Url);
    }
    let strings = named(b"src") || named(b"image-set") || named(b"-webkit-image-set") || named(b"image");
    strings.then_some(Function::Strings)
}

/// Bytes at which a token begins or ends that counts here.
fn counts(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'(' | b')' | b'/' | b';' | b'@' | b'\\' | b'{' | b'}')
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || byte >= 0x80
}

/// Nothing that counts is in the rest; its last word may be a function's name.
fn rest(text: &[u8], end: bool) -> Next {
    let word = word_start(text, text.len());
    if end || text.len() - word >= WORD_BYTES_MAX { Next::At(text.len()) } else { Next::Wait(word) }
}

/// Where the word begins that ends at `end`, with its escapes, and with half an escape at its end.
fn word_start(text: &[u8], end: usize) -> usize {
    let mut at = end;
    while let Some(&byte) = at.checked_sub(1).and_then(|last| text.get(last)) {
        let escaped = at >= 2 && text.get(at - 2) == Some(&b'\\');
        let in_escape = byte == b' ' && behind_hex(text, at - 1);
        if end - at >= WORD_BYTES_MAX || !(in_word(byte) || byte == b'\\' || escaped || in_escape) {
            break;
        }
        at -= 1;
    }
    at
}

/// Whether a space ends the hexadecimal escape before it.
pub(crate) fn behind_hex(text: &[u8], space: usize) -> bool {
    let before = text.get(..space).unwrap_or_default();
    let digits = before.iter().rev().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
    digits > 0 && before.get(..before.len() - digits).is_some_and(|before| before.ends_with(b"\\"))
}

/// Behind the escape that begins here.
fn escape(text: &[u8], at: usize) -> Next {
    if at + 1 < text.len() { Next::At(at + 2) } else { Next::Wait(at) }
}

/// The first byte that ends a value, escapes skipped.
fn find_end(text: &[u8], from: usize, ends: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = from;
    loop {
        match *text.get(at)? {
            b'\\' => at += escapes::length(text.get(at..)?),
            byte if ends(byte) => return Some(at),
            _ => at += 1,
        }
    }
}
