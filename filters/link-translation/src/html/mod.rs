//! HTML and XML, token by token (HTML, 13.2.5).
//!
//! ```text
//!            ┌ <name ──▶ Tag ── attributes ─▶ Data, or the text the element holds:
//!   Data ────┤                                Raw (style, script, title …), Noscript, Plaintext
//!            ├ <!-- ───▶ Comment
//!            ├ <![CDATA[ ▶ Cdata              in SVG, MathML and XML
//!            └ <! </ <? ▶ Bogus               in XML also Doctype and Instruction
//! ```
//!
//! Tokens are recognised as browsers do, and passed on as they are: only values inside tags and the
//! text of some elements are edited, so malformed markup stays what it was. A token that is not all
//! there is held back, and nothing else.
//!
//! `<noscript>` is text to a browser that runs scripts and markup to one that does not: its text is
//! read as a document of its own, which ends where the text does. It refuses to build a tree.

mod attributes;
mod elements;
mod marks;
mod names;
mod namespace;
mod raw;
mod tag;

use namespace::Namespace;
use raw::{End, Raw};
use tag::Tag;

use crate::absolute::{Absolute, Dialect};
use crate::css::Css;
use crate::edits::Edits;
use crate::links::Links;
use crate::search::find;

#[derive(Debug)]
enum State {
    Data,
    Tag,
    /// In a tag too long to hold, which is passed on; with its name.
    LongTag(Vec<u8>),
    /// So many bytes of the comment were passed on.
    Comment(usize),
    Bogus,
    Instruction,
    /// With whether its internal subset is open.
    Doctype(bool),
    Cdata,
    Raw(Raw, Text),
    Noscript(Raw, Box<Html>),
    Plaintext,
}

/// What the text of an element is.
#[derive(Debug)]
enum Text {
    Skipped,
    Style(Css),
    Script(Absolute),
}

/// The tokenizer of one document, from chunk to chunk.
#[derive(Debug)]
pub(crate) struct Html {
    links: Links,
    state: State,
    tag: Tag,
    namespace: Namespace,
    is_xml: bool,
    /// Documents this one is in.
    depth: u8,
    in_noscript: bool,
    /// The first `<base>` counts.
    has_base: bool,
    /// In a `<style>` of SVG, whose text is text like other.
    in_style: bool,
    text: Absolute,
    /// See [`attributes::is_open`].
    is_open: bool,
    scratch: Vec<u8>,
}

/// What became of a token.
enum Next {
    At(usize),
    /// It is not all there; what stands before it is done.
    Wait(usize),
}

impl Html {
    pub(crate) fn new(links: Links, is_xml: bool) -> Self {
        Html {
            is_open: attributes::is_open(&links, is_xml),
            links,
            state: State::Data,
            tag: Tag::new(),
            namespace: Namespace::default(),
            is_xml,
            depth: 0,
            in_noscript: false,
            has_base: false,
            in_style: false,
            text: Absolute::new(Dialect::Markup),
            scratch: Vec::new(),
        }
    }

    /// A document inside another one.
    fn within(links: Links, depth: u8) -> Self {
        Html { depth, ..Html::new(links, false) }
    }

    /// What is looked up.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Reads as much as can be decided and says how much that was; all of it at the `end`.
    pub(crate) fn step(&mut self, text: &[u8], end: bool, edits: &mut Edits) -> usize {
        let mut at = 0;
        while at < text.len() {
            match self.next(text, at, end, edits) {
                Next::At(next) => at = next,
                Next::Wait(_) if end => return text.len(),
                Next::Wait(done) => return done,
            }
        }
        text.len()
    }

    fn next(&mut self, text: &[u8], at: usize, end: bool, edits: &mut Edits) -> Next {
        match &mut self.state {
            State::Data => self.data(text, at, end, edits),
            State::Tag => {
                self.state = State::Data;
                self.in_tag(text, at, edits)
            }
            State::LongTag(name) => {
                let name = std::mem::take(name);
                self.long_tag(text, at, name)
            }
            State::Comment(before) => {
                let before = *before;
                self.comment(text, at, before)
            }
            State::Bogus => self.until(text, at, b">"),
            State::Instruction => self.marked(text, at, b"?>", end, edits),
            State::Cdata => self.marked(text, at, b"]]>", end, edits),
            State::Doctype(is_open) => {
                let stop = if *is_open { find(text, at, *b"]") } else { find(text, at, *b"[>") };
                let Some(stop) = stop else { return Next::At(text.len()) };
                match text.get(stop) {
                    Some(b'[') => *is_open = true,
                    Some(b']') => *is_open = false,
                    _ => self.state = State::Data,
                }
                Next::At(stop + 1)
            }
            State::Raw(..) => self.raw(text, at, end, edits),
            State::Noscript(raw, inner) => {
                let stop = raw.end(text, at, end);
                let (stop, is_last) = match stop {
                    End::At(stop) => (stop, true),
                    End::NotBefore(_) if end => (text.len(), true),
                    End::NotBefore(stop) => (stop, false),
                };
                let part = text.get(at..stop).unwrap_or_default();
                let done = at + edits.within(at, |edits| inner.step(part, is_last, edits));
                raw.keep(stop - done);
                if is_last {
                    self.state = State::Data;
                    return Next::At(stop);
                }
                Next::Wait(done)
            }
            State::Plaintext => Next::At(text.len()),
        }
    }

    fn data(&mut self, text: &[u8], at: usize, end: bool, edits: &mut Edits) -> Next {
        let bracket = find(text, at, *b"<");
        let stop = bracket.unwrap_or(text.len());
        let done = self.read(text, at, stop, bracket.is_some() || end, edits);
        if done < stop {
            return Next::Wait(done);
        }
        let Some(bracket) = bracket else { return Next::At(text.len()) };
        let rest = text.get(bracket..).unwrap_or_default();
        let is_xml = self.is_xml;
        let names = |byte: u8| byte.is_ascii_alphabetic() || (is_xml && (matches!(byte, b'_' | b':') || byte >= 0x80));
        match rest {
            [_, first, ..] if names(*first) => return self.tag(text, bracket, false, edits),
            [_, b'/', first, ..] if names(*first) => return self.tag(text, bracket, true, edits),
            [_] | [_, b'/'] => return Next::Wait(bracket),
            [_, b'/', b'>', ..] => return Next::At(bracket + 3),
            [_, b'!', ..] => return self.declaration(rest, bracket),
            [_, b'?', ..] => self.state = if self.is_xml { State::Instruction } else { State::Bogus },
            [_, b'/', ..] => self.state = State::Bogus,
            _ => return Next::At(bracket + 1),
        }
        Next::At(bracket)
    }

    /// Looks for addresses in text between tags, where text may hold some.
    fn read(&mut self, text: &[u8], at: usize, stop: usize, is_last: bool, edits: &mut Edits) -> usize {
        if !(self.is_xml || self.in_style) {
            return stop;
        }
        let part = text.get(at..stop).unwrap_or_default();
        let done = at + edits.within(at, |edits| self.text.step(&self.links, part, is_last, edits));
        if is_last {
            self.text.restart();
        }
        done
    }

    fn raw(&mut self, text: &[u8], at: usize, end: bool, edits: &mut Edits) -> Next {
        let State::Raw(raw, kind) = &mut self.state else { return Next::At(at) };
        let (stop, is_last) = match raw.end(text, at, end) {
            End::At(stop) => (stop, true),
            End::NotBefore(_) if end => (text.len(), true),
            End::NotBefore(stop) => (stop, false),
        };
        let part = text.get(at..stop).unwrap_or_default();
        let done = edits.within(at, |edits| match kind {
            Text::Skipped => part.len(),
            Text::Style(css) => css.step(&self.links, part, is_last, edits),
            Text::Script(script) => script.step(&self.links, part, is_last, edits),
        });
        if is_last {
            self.state = State::Data;
            return Next::At(stop);
        }
        raw.keep(stop - at - done);
        Next::Wait(at + done)
    }
}
