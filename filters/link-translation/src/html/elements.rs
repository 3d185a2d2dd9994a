//! What a tag means for the document: its attributes, what is behind it, and tags too long to hold.
//!
//! It refuses to read values; `attributes` does.

use super::attributes::Element;
use super::names::Names;
use super::raw::Raw;
use super::{Html, Next, State, Text};
use crate::absolute::{Absolute, Dialect};
use crate::css::Css;
use crate::edits::Edits;
use crate::entities;

/// Longer names than `foreignobject` mean nothing here.
const NAME_BYTES_MAX: usize = 16;

/// The elements that are told from others outside of SVG and MathML.
const ELEMENTS: Names = Names::new(&[
    b"base",
    b"iframe",
    b"input",
    b"link",
    b"math",
    b"meta",
    b"noembed",
    b"noframes",
    b"noscript",
    b"object",
    b"param",
    b"plaintext",
    b"script",
    b"style",
    b"svg",
    b"textarea",
    b"title",
    b"xmp",
]);

impl Html {
    pub(super) fn tag(&mut self, text: &[u8], at: usize, is_end: bool, edits: &mut Edits) -> Next {
        self.tag.begin(is_end);
        match self.tag.read_plain(text.get(at..).unwrap_or_default()) {
            Some(length) => self.whole_tag(text, at, length, edits),
            None => {
                self.tag.begin(is_end);
                self.in_tag(text, at, edits)
            }
        }
    }

    /// Reads on in a tag that begins here.
    pub(super) fn in_tag(&mut self, text: &[u8], at: usize, edits: &mut Edits) -> Next {
        let rest = text.get(at..).unwrap_or_default();
        match self.tag.advance(rest) {
            Some(length) => self.whole_tag(text, at, length, edits),
            None => {
                self.state = State::Tag;
                Next::Wait(at)
            }
        }
    }

    /// A tag of this length; what is behind it is data until its name says otherwise.
    fn whole_tag(&mut self, text: &[u8], at: usize, length: usize, edits: &mut Edits) -> Next {
        let rest = text.get(at..).unwrap_or_default();
        let next = Next::At(at + length);
        if self.tag.is_end && !self.namespace.is_island() {
            self.in_style = false;
            return next;
        }
        let tag = rest.get(..length).unwrap_or_default();
        let mut lower = [0; NAME_BYTES_MAX];
        let name = tag.get(self.tag.name.clone()).unwrap_or_default();
        let is_island = self.namespace.is_island();
        let name = if is_island || ELEMENTS.may_have(name) { lower_case(name, &mut lower) } else { b"" };
        if !self.tag.attributes.is_empty() {
            edits.within(at, |edits| self.attributes(name, tag, edits));
        }
        if is_island || !name.is_empty() {
            self.behind_tag(name, tag);
        }
        next
    }

    fn attributes(&mut self, name: &[u8], text: &[u8], edits: &mut Edits) {
        if self.tag.is_end || self.tag.attributes.is_empty() {
            return;
        }
        let (links, tag) = (&self.links, &self.tag);
        let element = Element { links, tag, text, name, is_xml: self.is_xml, depth: self.depth, is_open: self.is_open };
        element.translate(&mut self.scratch, edits);
        if name == b"base"
            && !self.has_base
            && let Some(href) = self.tag.value(text, b"href")
        {
            self.has_base = true;
            let decoded = entities::decode(href);
            self.links.rebase(decoded.as_ref().map_or(href, |decoded| decoded.text()));
        }
    }

    pub(super) fn long_tag(&mut self, text: &[u8], at: usize, name: Vec<u8>) -> Next {
        match self.tag.advance(text.get(at..).unwrap_or_default()) {
            Some(length) => {
                self.state = State::Data;
                self.behind_tag(&name, b"");
                Next::At(at + length)
            }
            None => {
                self.tag.abandon();
                self.state = State::LongTag(name);
                Next::At(text.len())
            }
        }
    }

    /// Decides what stands behind a tag, by its name in lower case and its bytes.
    fn behind_tag(&mut self, name: &[u8], text: &[u8]) {
        if self.is_xml {
            return;
        }
        let was_foreign = self.namespace.is_foreign();
        self.in_style = was_foreign && name == b"style" && !self.tag.is_end;
        if self.tag.is_end {
            return self.namespace.end(name);
        }
        if was_foreign || name == b"svg" || name == b"math" {
            let tag = &self.tag;
            self.namespace.start(name, tag.is_self_closing, |attribute| tag.value(text, attribute));
        }
        if !was_foreign {
            self.holds_text(name);
        }
    }

    fn holds_text(&mut self, name: &[u8]) {
        let raw = |name| State::Raw(Raw::new(name), Text::Skipped);
        self.state = match name {
            b"title" => raw(b"title"),
            b"textarea" => raw(b"textarea"),
            b"xmp" => raw(b"xmp"),
            b"iframe" => raw(b"iframe"),
            b"noembed" => raw(b"noembed"),
            b"noframes" => raw(b"noframes"),
            b"style" => State::Raw(Raw::new(b"style"), Text::Style(Css::new())),
            b"script" if self.links.options().is_some_and(|options| options.scripts) => {
                State::Raw(Raw::new(b"script"), Text::Script(Absolute::new(Dialect::Script)))
            }
            b"script" => raw(b"script"),
            b"noscript" if !self.in_noscript => {
                let mut inner = Html::within(self.links.clone(), self.depth);
                inner.in_noscript = true;
                State::Noscript(Raw::new(b"noscript"), Box::new(inner))
            }
            b"plaintext" => State::Plaintext,
            _ => return,
        };
    }

    /// The token that is held back is too long: what it holds so far is edited and passed on, and
    /// the rest of it passed on as it comes.
    pub(crate) fn let_go(&mut self, text: &[u8], edits: &mut Edits) {
        match &mut self.state {
            State::Tag => {
                let mut lower = [0; NAME_BYTES_MAX];
                let name = lower_case(text.get(self.tag.name.clone()).unwrap_or_default(), &mut lower);
                self.attributes(name, text, edits);
                self.tag.abandon();
                self.state = State::LongTag(name.to_vec());
            }
            State::Noscript(_, inner) => inner.let_go(text, edits),
            _ => {}
        }
    }
}

/// A name in lower case; one too long to be known is empty.
fn lower_case<'b>(name: &[u8], buffer: &'b mut [u8; NAME_BYTES_MAX]) -> &'b [u8] {
    let Some(lower) = buffer.get_mut(..name.len()) else { return b"" };
    // Names are short: copying them by a call would cost more than the loop.
    for (lower, byte) in lower.iter_mut().zip(name) {
        *lower = byte.to_ascii_lowercase();
    }
    lower
}
