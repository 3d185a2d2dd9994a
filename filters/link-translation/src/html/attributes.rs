//! Which attributes hold addresses, and by which grammar.
//!
//! The lists are those of HTML, of SVG, and of what the original product translates; an app may name
//! more. An attribute counts on any element, with the few exceptions in [`rule`]: an element that
//! HTML does not know may have a `src` too. It refuses to touch names and quotes.

use super::Html;
use super::names::Names;
use super::tag::{Attribute, Tag};
use crate::absolute::{Absolute, Dialect};
use crate::css::Css;
use crate::edits::Edits;
use crate::entities;
use crate::links::Links;
use crate::search::find;
use crate::srcset;

/// `srcdoc` in `srcdoc`: deeper ones stay as they are.
const DEPTH_MAX: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Url,
    /// Several, with spaces or commas between them.
    Urls,
    Srcset,
    Style,
    Srcdoc,
    /// `content` of `<meta>`: what it is, its `http-equiv` says.
    Content,
    Integrity,
    /// An event handler.
    Script,
    /// Any attribute of XML: its vocabulary is not known.
    Absolute,
}

/// Longer than all names of the lists.
const NAME_BYTES_MAX: usize = 24;

/// The names of the lists.
const ALL: &[&[u8]] = &[
    b"href",
    b"src",
    b"action",
    b"formaction",
    b"poster",
    b"cite",
    b"longdesc",
    b"background",
    b"data-background",
    b"data-src",
    b"xlink:href",
    b"codebase",
    b"manifest",
    b"icon",
    b"lowsrc",
    b"data",
    b"value",
    b"content",
    b"ping",
    b"archive",
    b"profile",
    b"srcset",
    b"imagesrcset",
    b"data-srcset",
    b"style",
    b"fill",
    b"stroke",
    b"filter",
    b"mask",
    b"clip-path",
    b"cursor",
    b"marker-start",
    b"marker-mid",
    b"marker-end",
    b"srcdoc",
    b"integrity",
];

const NAMES: Names = Names::new(ALL);

/// The rule of an attribute by its name, in lower case, and by its element's.
fn rule(element: &[u8], name: &[u8]) -> Option<Rule> {
    Some(match name {
        b"href" | b"src" | b"action" | b"formaction" | b"poster" | b"cite" | b"longdesc" | b"background"
        | b"data-background" | b"data-src" | b"xlink:href" | b"codebase" | b"manifest" | b"icon" | b"lowsrc" => {
            Rule::Url
        }
        b"data" if element == b"object" => Rule::Url,
        b"value" if matches!(element, b"input" | b"param") => Rule::Url,
        b"content" if element == b"meta" => Rule::Content,
        b"ping" | b"archive" | b"profile" => Rule::Urls,
        b"srcset" | b"imagesrcset" | b"data-srcset" => Rule::Srcset,
        // The presentation attributes of SVG are values of CSS: `fill="url(http://…#a)"`.
        b"style" | b"fill" | b"stroke" | b"filter" | b"mask" | b"clip-path" | b"cursor" | b"marker-start"
        | b"marker-mid" | b"marker-end" => Rule::Style,
        b"srcdoc" => Rule::Srcdoc,
        b"integrity" if matches!(element, b"script" | b"link") => Rule::Integrity,
        _ => return None,
    })
}

/// A tag whose attributes are looked at.
pub(super) struct Element<'e> {
    pub(super) links: &'e Links,
    pub(super) tag: &'e Tag,
    /// Its bytes.
    pub(super) text: &'e [u8],
    /// Its name in lower case.
    pub(super) name: &'e [u8],
    pub(super) is_xml: bool,
    pub(super) depth: u8,
    /// Names beyond the lists count too, see [`is_open`].
    pub(super) is_open: bool,
}

/// Whether attributes beyond the lists count in documents like this.
pub(super) fn is_open(links: &Links, is_xml: bool) -> bool {
    is_xml || links.options().is_some_and(|options| options.scripts || !options.attributes.is_empty())
}

impl Element<'_> {
    /// Says what is to be changed in the tag.
    pub(super) fn translate(&self, scratch: &mut Vec<u8>, edits: &mut Edits) {
        for attribute in &self.tag.attributes {
            let name = self.text.get(attribute.name.clone()).unwrap_or_default();
            let value = self.text.get(attribute.value.clone()).unwrap_or_default();
            if value.is_empty() {
                continue;
            }
            let Some(rule) = self.rule(name) else { continue };
            match rule {
                Rule::Integrity => self.integrity(attribute, edits),
                Rule::Url => edits.within(attribute.value.start, |edits| url(self.links, value, scratch, edits)),
                Rule::Content => self.content(attribute, value, scratch, edits),
                _ => nested(attribute.value.start, value, edits, |text, edits| self.inner(rule, text, edits)),
            }
        }
    }

    fn rule(&self, name: &[u8]) -> Option<Rule> {
        // Most names end here.
        if !self.is_open && !NAMES.may_have(name) {
            return None;
        }
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        for (lower, byte) in lower.iter_mut().zip(name) {
            *lower = byte.to_ascii_lowercase();
        }
        let lower = &*lower;
        let known = rule(self.name, lower);
        if known.is_some() {
            return known;
        }
        let options = self.links.options()?;
        if options.attributes.iter().any(|other| other == lower) {
            return Some(Rule::Url);
        }
        if options.scripts && lower.starts_with(b"on") {
            return Some(Rule::Script);
        }
        let named = lower.starts_with(b"xmlns") || lower.ends_with(b":schemalocation");
        (self.is_xml && !named).then_some(Rule::Absolute)
    }

    /// A value of some grammar, its references resolved.
    fn inner(&self, rule: Rule, text: &[u8], edits: &mut Edits) {
        match rule {
            Rule::Style => {
                Css::new().step(self.links, text, true, edits);
            }
            Rule::Script => {
                Absolute::new(Dialect::Script).step(self.links, text, true, edits);
            }
            Rule::Absolute => {
                Absolute::new(Dialect::Plain).step(self.links, text, true, edits);
            }
            Rule::Srcdoc if self.depth < DEPTH_MAX => {
                Html::within(self.links.clone(), self.depth + 1).step(text, true, edits);
            }
            Rule::Srcset => listed(self.links, text, srcset::urls(text), edits),
            Rule::Urls => {
                let separates = |byte: u8| byte == b',' || byte.is_ascii_whitespace();
                listed(self.links, text, values::words(text, separates).map(|(start, end)| start..end), edits);
            }
            _ => {}
        }
    }

    fn content(&self, attribute: &Attribute, value: &[u8], scratch: &mut Vec<u8>, edits: &mut Edits) {
        let kind = self.tag.value(self.text, b"http-equiv").unwrap_or_default();
        let is = |name: &[u8]| kind.trim_ascii().eq_ignore_ascii_case(name);
        if is(b"refresh") {
            return nested(attribute.value.start, value, edits, |text, edits| {
                listed(self.links, text, values::refresh_url(text).into_iter(), edits);
            });
        }
        if !is(b"content-security-policy") && !is(b"content-security-policy-report-only") {
            return edits.within(attribute.value.start, |edits| url(self.links, value, scratch, edits));
        }
        nested(attribute.value.start, value, edits, |text, edits| {
            for (place, translated) in values::policy_parts(&self.links.view(), text) {
                let source = text.get(place.clone()).unwrap_or_default();
                edits.within(place.start, |edits| difference(source, &translated, attribute.quote, edits));
            }
        });
    }

    /// A hash of what is translated on its way would keep the browser from using it.
    fn integrity(&self, attribute: &Attribute, edits: &mut Edits) {
        let value = |name: &[u8]| {
            let value = self.tag.value(self.text, name)?;
            Some(entities::decode(value).map_or_else(|| value.to_vec(), |decoded| decoded.text().to_vec()))
        };
        let source = if self.name == b"script" { value(b"src") } else { value(b"href") };
        let Some(target) = source.and_then(|source| self.links.target(&source)) else { return };
        let options = self.links.maps.options(target);
        let says = |name: &[u8], word: &[u8]| {
            value(name).is_some_and(|text| {
                values::words(&text, |byte| byte.is_ascii_whitespace())
                    .any(|(start, end)| text.get(start..end).is_some_and(|other| other.eq_ignore_ascii_case(word)))
            })
        };
        let is_script = self.name == b"script" || says(b"rel", b"modulepreload") || says(b"as", b"script");
        if options.translate && (options.scripts || !is_script) {
            edits.replace(self.whole(attribute), b"");
        }
    }

    /// An attribute and the space before it, if the tag reads the same without both.
    fn whole(&self, attribute: &Attribute) -> std::ops::Range<usize> {
        let end = attribute.value.end + usize::from(attribute.quote.is_some());
        let before = self.text.get(..attribute.name.start).unwrap_or_default();
        let is_free = self.text.get(end).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'>');
        let spaces = before.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        attribute.name.start - if is_free { spaces } else { 0 }..end
    }
}

/// A value that is one URL.
pub(super) fn url(links: &Links, value: &[u8], scratch: &mut Vec<u8>, edits: &mut Edits) {
    // Most are relative: their first byte says so.
    let first = value.iter().find(|&&byte| byte > b' ');
    if !matches!(first, Some(b'h' | b'H' | b'w' | b'W' | b'/' | b'\\' | b'&')) {
        return;
    }
    scratch.clear();
    let head = value.get(..links.maps.window * 8).unwrap_or(value);
    let escaped = find(head, 0, *b"&?#").is_some_and(|at| head.get(at) == Some(&b'&'));
    let decoded = if escaped { entities::decode(head) } else { None };
    let text = decoded.as_ref().map_or(value, |decoded| decoded.text());
    if let Some(found) = links.map(text, scratch) {
        let place = decoded.map_or(found.place.clone(), |decoded| decoded.place(found.place));
        edits.replace(place, scratch);
    }
}

fn listed(links: &Links, text: &[u8], places: impl Iterator<Item = std::ops::Range<usize>>, edits: &mut Edits) {
    let mut mapped = Vec::new();
    for place in places {
        mapped.clear();
        if let Some(found) = text.get(place.clone()).and_then(|url| links.map(url, &mut mapped)) {
            edits.within(place.start, |edits| edits.replace(found.place, &mapped));
        }
    }
}

/// Looks at a value without its references, and puts what is to be changed where it was written.
fn nested(start: usize, value: &[u8], edits: &mut Edits, look: impl FnOnce(&[u8], &mut Edits)) {
    // No address without a slash, however it is written; most styles and values have none.
    if find(value, 0, *b"/\\&").is_none() {
        return;
    }
    let decoded = entities::decode(value);
    let mut inner = Edits::default();
    look(decoded.as_ref().map_or(value, |decoded| decoded.text()), &mut inner);
    for (place, text) in inner.iter() {
        let place = decoded.as_ref().map_or(place.clone(), |decoded| decoded.place(place));
        edits.within(start, |edits| edits.replace(place, text));
    }
}

/// A source written anew, as the one edit that makes it so.
fn difference(old: &[u8], new: &[u8], quote: Option<u8>, edits: &mut Edits) {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let shared = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(shared).take_while(|(old, new)| old == new).count();
    let mut text = Vec::new();
    for &byte in new.get(start..new.len() - end).unwrap_or_default() {
        let ends = if quote.is_none() {
            byte.is_ascii_whitespace() || b"\"'<>=`".contains(&byte)
        } else {
            quote == Some(byte)
        };
        if ends || byte == b'&' {
            text.extend_from_slice(format!("&#{byte};").as_bytes());
        } else {
            text.push(byte);
        }
    }
    edits.replace(start..old.len() - end, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_the_rules_name_the_same_attributes() {
        for name in ALL {
            let elements = [&b"object"[..], b"input", b"meta", b"script"];
            assert!(elements.iter().any(|element| rule(element, name).is_some()), "{}", String::from_utf8_lossy(name));
            assert!(NAMES.may_have(name) && NAMES.may_have(&name.to_ascii_uppercase()));
        }
        assert!([&b"class"[..], b"title", b"id", b""].iter().all(|name| !NAMES.may_have(name)));
    }
}
