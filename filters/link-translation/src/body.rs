//! One body on its way: chunks in, chunks out.
//!
//! ```text
//!   chunk ─▶ (held ++) chunk ─▶ a language reads as far as it can decide ─▶ edits spliced in ─▶ out
//!                └─────────────── what it could not decide: an unfinished tag or URL ◀────┘
//! ```
//!
//! A piece that can hold no address ([`look`]) is passed on at once and kept; only when one is seen, or
//! too much is kept, is it parsed, so that the parser knows where it stands. Nothing that was passed on
//! needed an edit.
//!
//! No more than an unfinished token is ever held back, so the head of a page leaves with its first chunk. A tag
//! longer than the limit is passed on and the text behind it translated again. It refuses bodies
//! whose ASCII is not ASCII: they pass as they are.

use std::rc::Rc;

use origins::AppId;

use crate::absolute::{Absolute, Dialect};
use crate::config::Maps;
use crate::css::Css;
use crate::edits::Edits;
use crate::html::Html;
use crate::kept::Kept;
use crate::kind::Kind;
use crate::links::Links;
use crate::look::{Seen, Writing, look};

/// What hosts give at once, and a token on top.
const CHUNK_BYTES: usize = 32 << 10;

#[derive(Debug)]
enum Language {
    Html(Box<Html>),
    Css(Css, Links),
    Absolute(Absolute, Links),
    /// Passed on.
    None,
}

/// The translation of one body.
#[derive(Debug)]
pub struct Body {
    language: Language,
    /// Bytes that were not parsed yet.
    held: Vec<u8>,
    /// So many of them were passed on all the same,
    sent: usize,
    /// and so many hold no address.
    looked: usize,
    /// They are a token that is not all there.
    is_unfinished: bool,
    looks: bool,
    /// What is held, counted among all bodies.
    kept: Kept,
    held_bytes_max: usize,
    edits: Edits,
    /// The first two bytes were seen.
    is_begun: bool,
    long_tokens: usize,
    translated: usize,
}

impl Body {
    /// A body of this kind, of a document of this app.
    pub fn new(maps: &Rc<Maps>, app: Option<AppId>, kind: Kind) -> Self {
        let links = Links::new(Rc::clone(maps), app);
        let language = match kind {
            Kind::Html => Language::Html(Box::new(Html::new(links, false))),
            Kind::Xml => Language::Html(Box::new(Html::new(links, true))),
            Kind::Css => Language::Css(Css::new(), links),
            Kind::Script | Kind::Manifest | Kind::EventStream => {
                Language::Absolute(Absolute::new(Dialect::Script), links)
            }
            Kind::Playlist => Language::Absolute(Absolute::new(Dialect::Plain), links),
        };
        Body {
            language,
            held: Vec::new(),
            sent: 0,
            looked: 0,
            is_unfinished: false,
            looks: true,
            kept: Kept::of(&maps.kept),
            held_bytes_max: maps.held_bytes_max,
            edits: Edits::default(),
            is_begun: false,
            long_tokens: 0,
            translated: 0,
        }
    }

    /// Whether a charset hides ASCII, so that its bodies cannot be read; by its name in the Encoding
    /// Standard, as the host gives it.
    pub fn is_unreadable(charset: &[u8]) -> bool {
        matches!(charset, b"UTF-16LE" | b"UTF-16BE" | b"ISO-2022-JP" | b"replacement")
    }

    /// Parses every piece, whether or not it can hold an address: to compare with.
    #[must_use]
    pub fn without_looking(mut self) -> Self {
        self.looks = false;
        self
    }

    /// Translates a chunk: appends to `out` what can be passed on. Says whether that is the chunk and
    /// nothing else, as far as that is known without comparing them.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> bool {
        let (translated, behind) = (self.translated, self.behind());
        if self.is_direct() {
            let done = self.read(chunk, false, out);
            self.held.extend_from_slice(chunk.get(done..).unwrap_or_default());
            self.is_unfinished = !self.held.is_empty();
        } else {
            self.held.extend_from_slice(chunk);
            self.held_grew(false, out);
        }
        if self.held.len() > self.held_bytes_max {
            self.let_go(out);
        }
        self.kept.set(self.held.capacity());
        behind == 0 && self.behind() == 0 && self.translated == translated
    }

    /// Bytes that are held back.
    fn behind(&self) -> usize {
        self.held.len().saturating_sub(self.sent)
    }

    /// Nothing more comes: appends what was held back.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.held_grew(true, out);
        self.held = Vec::new();
        self.kept.set(0);
    }

    /// Whether a chunk is parsed where it is: nothing is held, and looking first is of no use.
    fn is_direct(&self) -> bool {
        self.is_begun && self.held.is_empty() && !(self.looks && self.writing().is_some())
    }

    fn held_grew(&mut self, end: bool, out: &mut Vec<u8>) {
        if !self.is_begun {
            if self.held.len() < 2 && !end {
                return;
            }
            self.is_begun = true;
            if looks_wide(&self.held) {
                self.pass();
            }
        }
        if self.looked_over(end, out) {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        let done = self.read(&held, end, out);
        held.drain(..done);
        // What was kept before is not needed again; a chunk fits still.
        held.shrink_to(CHUNK_BYTES);
        self.looked = held.len();
        self.is_unfinished = !held.is_empty();
        self.held = held;
    }

    /// Passes on what is held, up to where an address may begin, if it holds none. It stays held,
    /// unparsed, until something is seen or it is too long.
    fn looked_over(&mut self, end: bool, out: &mut Vec<u8>) -> bool {
        if !self.looks || self.is_unfinished {
            return false;
        }
        if self.held.len() > self.held_bytes_max || self.kept.is_too_much() {
            // All that was kept is parsed after all: for a body so long, or so many of them, it does
            // not pay again.
            self.looks = false;
            return false;
        }
        let (Some(writing), Some(links)) = (self.writing(), self.links()) else { return false };
        match look(links, writing, &self.held, self.looked, end) {
            Seen::Something => false,
            Seen::Nothing(until) => {
                out.extend_from_slice(self.held.get(self.sent..until).unwrap_or_default());
                self.sent = self.sent.max(until);
                self.looked = until;
                true
            }
        }
    }

    /// How an address may be written in this body; nothing if every piece has to be parsed.
    fn writing(&self) -> Option<Writing> {
        let writing = match &self.language {
            Language::Html(_) => Writing::Markup,
            Language::Css(..) => Writing::Style,
            // These look for addresses and nothing else; and what passes is not looked at.
            Language::Absolute(..) | Language::None => return None,
        };
        // Where paths differ inside and outside, an address needs no host.
        self.links().is_some_and(|links| !links.maps_paths()).then_some(writing)
    }

    fn links(&self) -> Option<&Links> {
        match &self.language {
            Language::Html(html) => Some(html.links()),
            Language::Css(_, links) | Language::Absolute(_, links) => Some(links),
            Language::None => None,
        }
    }

    /// Tokens that were too long to be translated.
    pub fn long_tokens(&self) -> usize {
        self.long_tokens
    }

    /// Addresses that were translated, and hashes dropped with them.
    pub fn translated(&self) -> usize {
        self.translated
    }

    /// Whether the body passes as it is.
    pub fn is_passed(&self) -> bool {
        matches!(self.language, Language::None)
    }

    /// The body cannot be read: the rest of it passes as it is.
    pub fn pass(&mut self) {
        self.language = Language::None;
    }

    fn read(&mut self, text: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let edits = &mut self.edits;
        let done = match &mut self.language {
            Language::Html(html) => html.step(text, end, edits),
            Language::Css(css, links) => css.step(links, text, end, edits),
            Language::Absolute(absolute, links) => absolute.step(links, text, end, edits),
            Language::None => text.len(),
        };
        self.splice(text.get(..done).unwrap_or_default(), out);
        done
    }

    fn splice(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.translated += self.edits.len();
        self.edits.splice(text, self.sent, out);
        self.sent = self.sent.saturating_sub(text.len());
    }

    fn let_go(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if let Language::Html(html) = &mut self.language {
            html.let_go(&held, &mut self.edits);
        }
        self.splice(&held, out);
        self.looked = 0;
        self.is_unfinished = false;
        self.long_tokens += 1;
    }
}

/// UTF-16, by its mark or by the zeros in its first characters.
fn looks_wide(text: &[u8]) -> bool {
    matches!(text, [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [b'<', 0, ..] | [0, b'<', ..])
}
