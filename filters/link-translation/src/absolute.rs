//! Absolute addresses in text whose grammar is not parsed: strings of JSON and JavaScript, text of
//! XML, event streams, playlists.
//!
//! ```text
//!   … "see http:\/\/host:80\/path" …      a border, a scheme, two slashes, an authority, a border
//!         └──── mapped ────┘└ kept
//! ```
//!
//! A URL begins behind a byte that cannot be part of one and is read to its end, so that the
//! `http://host` in `http://other/?u=http://host` is left alone, as it is in an attribute. Without a
//! scheme it counts only behind a quote or a parenthesis. In a script no lexer stands before this:
//! telling a regular expression from a division takes a parser, and one that errs leaves addresses
//! in; outside of strings, comments and expressions `http://` cannot be written at all.
//!
//! It refuses relative URLs and paths, letters of scheme or host written as escapes, and user
//! information.

use crate::borders::{Escape, behind_escape, ends_url, in_word, markup_escape, script_escape};
use crate::edits::Edits;
use crate::entities;
use crate::links::Links;
use crate::search::find;

/// How a slash may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/`.
    Plain,
    /// `\/`, `\u002f` and `\x2f` too.
    Script,
    /// `&#47;` and `&sol;` too.
    Markup,
}

const SCHEMES: [&[u8]; 4] = [b"https", b"http", b"wss", b"ws"];

/// `\u0022`, `&quot;`, `&#x2f;`.
const ESCAPE_BYTES_MAX: usize = 6;

/// An escape, `https`, a colon and two slashes that are escapes too: so much of a URL may stand at the
/// end of a chunk before it shows that it is one.
const BEGINNING_BYTES_MAX: usize = 5 + 4 * ESCAPE_BYTES_MAX;

/// The reader of one text, from chunk to chunk.
#[derive(Debug)]
pub(crate) struct Absolute {
    dialect: Dialect,
    /// The last byte of what was read before.
    before: u8,
    /// In a URL that has been decided on.
    in_url: bool,
    scratch: Vec<u8>,
}

/// Two slashes that were found.
struct Slashes {
    /// Where the first begins and both end.
    start: usize,
    end: usize,
    /// The first, as it is written.
    first: usize,
}

impl Absolute {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Absolute { dialect, before: b'"', in_url: false, scratch: Vec::new() }
    }

    /// A new text begins, and nothing before it belongs to a URL.
    pub(crate) fn restart(&mut self) {
        self.before = b'"';
        self.in_url = false;
    }

    /// Reads as much as can be decided and says how much that was; all of it at the `end`.
    pub(crate) fn step(&mut self, links: &Links, text: &[u8], end: bool, edits: &mut Edits) -> usize {
        let (mut at, mut behind_url) = (0, 0);
        loop {
            if self.in_url {
                let rest = self.url_end(text, at);
                self.in_url = !rest.is_end;
                at = rest.at;
                behind_url = at;
                if self.in_url {
                    return self.done(text, if end { text.len() } else { at });
                }
            }
            let Some(slashes) = self.slashes(text, at) else {
                return self.done(text, if end { text.len() } else { beginning(text, at) });
            };
            at = slashes.end;
            let Some(start) = self.start(text, slashes.start) else { continue };
            let rest = self.url_end(text, slashes.end);
            let is_known = text.len() - slashes.end >= links.maps.window || rest.is_end;
            if !is_known && !end {
                // With the escape that may stand before it.
                return self.done(text, start.saturating_sub(ESCAPE_BYTES_MAX).max(behind_url));
            }
            self.url(links, text, (start, rest.at), &slashes, edits);
            if rest.is_end {
                (at, behind_url) = (rest.at, rest.at);
            } else {
                self.in_url = true;
            }
        }
    }

    fn done(&mut self, text: &[u8], done: usize) -> usize {
        if let Some(last) = done.checked_sub(1).and_then(|last| text.get(last)) {
            self.before = *last;
        }
        done
    }

    /// The next two slashes in a row.
    fn slashes(&self, text: &[u8], from: usize) -> Option<Slashes> {
        let mut at = from;
        loop {
            at = match self.dialect {
                Dialect::Plain => find(text, at, *b"/")?,
                Dialect::Script => find(text, at, *b"/\\")?,
                Dialect::Markup => find(text, at, *b"/&")?,
            };
            let Some(first) = self.slash(text, at) else {
                at += 1;
                continue;
            };
            match self.slash(text, at + first) {
                Some(second) => return Some(Slashes { start: at, end: at + first + second, first }),
                None => at += first,
            }
        }
    }

    /// The length of the slash that is written here.
    fn slash(&self, text: &[u8], at: usize) -> Option<usize> {
        let text = text.get(at..)?;
        match (self.dialect, text) {
            (_, [b'/', ..]) => Some(1),
            (Dialect::Script, [b'\\', b'/', ..]) => Some(2),
            (Dialect::Script, [b'\\', b'u', b'0', b'0', b'2', b'f' | b'F', ..]) => Some(6),
            (Dialect::Script, [b'\\', b'x', b'2', b'f' | b'F', ..]) => Some(4),
            (Dialect::Markup, [b'&', ..]) => match entities::reference(text)? {
                (0x2f, length) => Some(length),
                _ => None,
            },
            _ => None,
        }
    }

    /// Where a URL begins that has these slashes; nothing if none does.
    fn start(&self, text: &[u8], slashes: usize) -> Option<usize> {
        let before = text.get(..slashes)?;
        let border = |at: usize| match at.checked_sub(1) {
            Some(last) => text.get(last).copied().unwrap_or(self.before),
            None => self.before,
        };
        if let Some(head) = self.without_colon(before) {
            let scheme = SCHEMES.iter().map(|scheme| scheme.len()).find(|&length| {
                let written = head.len().checked_sub(length).and_then(|start| head.get(start..));
                written.is_some_and(|written| SCHEMES.iter().any(|scheme| written.eq_ignore_ascii_case(scheme)))
            });
            let start = head.len() - scheme?;
            let free =
                !in_word(border(start)) || (self.dialect == Dialect::Script && behind_escape(head.get(..start)?));
            return free.then_some(start);
        }
        let quotes: &[&[u8]] = match self.dialect {
            Dialect::Plain => &[],
            Dialect::Script => &[b"\\u0022", b"\\u0027", b"\\x22", b"\\x27"],
            Dialect::Markup => &[b"&quot;", b"&#34;", b"&#39;", b"&apos;"],
        };
        let opens = matches!(border(slashes), b'"' | b'\'' | b'`' | b'(');
        (opens || quotes.iter().any(|quote| before.ends_with(quote))).then_some(slashes)
    }

    /// What stands before the colon at the end.
    fn without_colon<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let written: &[&[u8]] = match self.dialect {
            Dialect::Plain => &[b":"],
            Dialect::Script => &[b":", b"\\u003a", b"\\u003A", b"\\x3a", b"\\x3A"],
            Dialect::Markup => &[b":", b"&#58;", b"&colon;", b"&#x3a;", b"&#x3A;"],
        };
        written.iter().find_map(|colon| text.strip_suffix(*colon))
    }

    /// Maps the URL with these slashes.
    fn url(&mut self, links: &Links, text: &[u8], place: (usize, usize), slashes: &Slashes, edits: &mut Edits) {
        let (start, stop) = place;
        let written = text.get(start..stop).unwrap_or_default();
        if !written.iter().any(|byte| matches!(byte, b'\\' | b'&')) {
            // Nothing is escaped: the URL is read where it stands.
            let mut mapped = std::mem::take(&mut self.scratch);
            mapped.clear();
            let behind = text.get(slashes.end..stop).unwrap_or_default();
            let url = origin_and_path(behind).and_then(|length| text.get(start..slashes.end + length));
            if let Some(found) = url.and_then(|url| links.map(url, &mut mapped)) {
                edits.replace(start + found.place.start..start + found.place.end, &mapped);
            }
            self.scratch = mapped;
            return;
        }
        let mut url = std::mem::take(&mut self.scratch);
        url.clear();
        let head = text.get(start..slashes.start).unwrap_or_default();
        if !head.is_empty() {
            url.extend(head.iter().take_while(|byte| byte.is_ascii_alphabetic()));
            url.push(b':');
        }
        url.extend_from_slice(b"//");
        let authority = url.len();
        let places = self.read(links.maps.window, text, slashes.end, &mut url);
        if let Some(length) = url.get(authority..).and_then(origin_and_path)
            && let mut mapped = Vec::new()
            && let Some(found) = url.get(..authority + length).and_then(|url| links.map(url, &mut mapped))
        {
            let end = found.place.end.checked_sub(authority).and_then(|at| places.get(at));
            let slash = text.get(slashes.start..slashes.start + slashes.first).unwrap_or(b"/");
            edits.replace(start..end.copied().unwrap_or(slashes.end), &with_slashes(mapped, slash));
        }
        self.scratch = url;
    }

    /// Appends what follows the slashes, and says where each of its bytes, and its end, is written.
    fn read(&self, window: usize, text: &[u8], from: usize, url: &mut Vec<u8>) -> Vec<usize> {
        let mut places = Vec::with_capacity(64);
        let mut at = from;
        while let Some(&byte) = text.get(at)
            && places.len() < window
        {
            let slash = self.slash(text, at);
            if slash.is_none() && (ends_url(byte) || byte == b'\\') {
                break;
            }
            places.push(at);
            url.push(if slash.is_some() { b'/' } else { byte });
            at += slash.unwrap_or(1);
        }
        places.push(at);
        places
    }

    /// How far a URL reaches, escapes read.
    fn url_end(&self, text: &[u8], from: usize) -> UrlEnd {
        let mut at = from;
        while let Some(&byte) = text.get(at) {
            let rest = text.get(at..).unwrap_or_default();
            let escape = match (self.dialect, byte) {
                (Dialect::Script, b'\\') => script_escape(rest),
                (Dialect::Markup, b'&') => markup_escape(rest),
                _ if ends_url(byte) => Escape::Ends,
                _ => Escape::Length(1),
            };
            match escape {
                Escape::Length(length) => at += length,
                Escape::Ends => return UrlEnd { at, is_end: true },
                Escape::Unfinished => break,
            }
        }
        UrlEnd { at, is_end: false }
    }
}

/// Where a URL ends, or, if it does not yet, how far it was read.
struct UrlEnd {
    at: usize,
    is_end: bool,
}

/// How much of what follows the slashes is an authority and a path; nothing if it has user
/// information or no authority. A dot or a colon before a border is the sentence's.
fn origin_and_path(text: &[u8]) -> Option<usize> {
    let address = text.first() == Some(&b'[');
    let part = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b':')
            || *byte >= 0x80
            || (address && matches!(byte, b'[' | b']'))
    };
    let length = text.iter().take_while(|byte| part(byte)).count();
    let (authority, rest) = text.split_at_checked(length)?;
    if matches!(rest.first(), Some(b'/' | b'?' | b'#')) {
        return Some(text.len());
    }
    if rest.iter().take_while(|byte| !matches!(byte, b'/' | b'?' | b'#')).any(|&byte| byte == b'@') {
        return None;
    }
    Some(authority.len() - authority.iter().rev().take_while(|byte| matches!(byte, b'.' | b':')).count())
}

/// The URL with its slashes written as the one it replaces has them.
fn with_slashes(url: Vec<u8>, slash: &[u8]) -> Vec<u8> {
    if slash == b"/" {
        return url;
    }
    let written = |byte: &u8| if *byte == b'/' { slash.to_vec() } else { vec![*byte] };
    url.iter().flat_map(written).collect()
}

/// Where something may begin at the end of the text that only what comes next decides.
fn beginning(text: &[u8], from: usize) -> usize {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'\\' | b'&' | b'#' | b';');
    let tail = text.get(from..).unwrap_or_default();
    text.len() - tail.iter().rev().take(BEGINNING_BYTES_MAX).take_while(|byte| part(byte)).count()
}
