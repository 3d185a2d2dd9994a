//! What stands where in a page: attributes, text, scripts, style sheets, comments, each with its
//! bytes; and where the page leads.
//!
//! `lol_html` reads the page, not the tokenizer of link translation. It refuses to read style sheets
//! and scripts: they are one area each.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use lol_html::html_content::TextType;
use lol_html::{HtmlRewriter, Settings, doc_comments, doc_text, element};

use super::follow;
use super::written;

/// What a part of a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Attribute {
        element: Rc<str>,
        name: Rc<str>,
    },
    /// Text of an element, as readers see it.
    Text(Rc<str>),
    /// Text that browsers without scripts read as markup.
    Raw(Rc<str>),
    Comment,
    Script,
    Json,
    StyleSheet,
    /// Whatever is none of these.
    Markup,
}

/// A page, taken apart.
#[derive(Default)]
pub(super) struct Layout {
    areas: Vec<(Range<usize>, Area)>,
    /// What it links to, as it is written there.
    pub(super) links: Vec<String>,
    /// The `<base>`.
    pub(super) base: Option<String>,
}

/// A page under way.
#[derive(Default)]
struct Reading {
    layout: Layout,
    /// The element whose text may follow.
    element: Rc<str>,
    /// What its text is, if it is a script.
    script: Option<Area>,
}

impl Layout {
    /// Takes a page apart.
    pub(super) fn of(page: &[u8]) -> Self {
        let mut layout = Self::flat(page);
        // Once: within one, another has no meaning.
        let raw: Vec<Range<usize>> =
            layout.areas.iter().filter(|(_, area)| is_noscript(area)).map(|(place, _)| place.clone()).collect();
        layout.areas.retain(|(_, area)| !is_noscript(area));
        for place in raw {
            let inner = Self::flat(page.get(place.clone()).unwrap_or_default());
            let moved =
                |(inner, area): (Range<usize>, Area)| (place.start + inner.start..place.start + inner.end, area);
            layout.areas.extend(inner.areas.into_iter().map(moved));
            layout.links.extend(inner.links);
        }
        layout.areas.sort_by_key(|(place, _)| place.start);
        layout
    }

    fn flat(page: &[u8]) -> Self {
        let reading = Rc::new(RefCell::new(Reading::default()));
        let settings = Settings::new()
            .with_strict(false)
            .append_element_content_handler(element!("*", |element| {
                reading.borrow_mut().element(element);
                Ok(())
            }))
            .append_document_content_handler(doc_text!(|text| {
                let area = reading.borrow().area_of_text(text.text_type());
                reading.borrow_mut().layout.put(text.source_location().bytes(), area);
                Ok(())
            }))
            .append_document_content_handler(doc_comments!(|comment| {
                reading.borrow_mut().layout.put(comment.source_location().bytes(), Area::Comment);
                Ok(())
            }));
        let mut reader = HtmlRewriter::new(settings, |_: &[u8]| {});
        // What cannot be read is `Markup`, which counts as a place a browser may follow. A reader that failed must
        // not be asked to end.
        if reader.write(page).is_ok() {
            let _ = reader.end();
        }
        std::mem::take(&mut reading.borrow_mut().layout)
    }

    /// What stands at this byte.
    pub(super) fn area(&self, at: usize) -> &Area {
        let after = self.areas.partition_point(|(place, _)| place.start <= at);
        let found = after.checked_sub(1).and_then(|index| self.areas.get(index)).filter(|(place, _)| at < place.end);
        found.map_or(&Area::Markup, |(_, area)| area)
    }

    fn put(&mut self, place: Range<usize>, area: Area) {
        if let Some((last, before)) = self.areas.last_mut()
            && last.end == place.start
            && *before == area
            && !matches!(area, Area::Comment | Area::Attribute { .. })
        {
            last.end = place.end;
        } else if !place.is_empty() {
            self.areas.push((place, area));
        }
    }
}

fn is_noscript(area: &Area) -> bool {
    matches!(area, Area::Raw(element) if &**element == "noscript")
}

impl Reading {
    fn element(&mut self, element: &lol_html::html_content::Element<'_, '_>) {
        self.element = element.tag_name().into();
        let value = |name: &str| element.get_attribute(name).map(|value| written::attribute(&value));
        if &*self.element == "base" && self.layout.base.is_none() {
            self.layout.base = value("href");
        }
        self.script = (&*self.element == "script").then(|| script(value("type").as_deref().unwrap_or_default()));
        for attribute in element.attributes() {
            let name: Rc<str> = attribute.name().into();
            let read = written::attribute(&attribute.value());
            follow::attribute(&self.element, &name, &read, &mut self.layout.links);
            if let Some(place) = attribute.value_source_location() {
                self.layout.put(place.bytes(), Area::Attribute { element: self.element.clone(), name });
            }
        }
    }

    fn area_of_text(&self, kind: TextType) -> Area {
        match (kind, &*self.element) {
            (TextType::ScriptData, _) => self.script.clone().unwrap_or(Area::Script),
            (TextType::RawText, "style") => Area::StyleSheet,
            (TextType::RawText, _) => Area::Raw(self.element.clone()),
            // In SVG these hold text as others do.
            (TextType::Data | TextType::CDataSection, "style") => Area::StyleSheet,
            (TextType::Data | TextType::CDataSection, "script") => Area::Script,
            _ => Area::Text(self.element.clone()),
        }
    }
}

/// What the text of a `<script>` of this type is.
fn script(kind: &str) -> Area {
    let kind = kind.trim().to_ascii_lowercase();
    if kind.ends_with("json") || matches!(kind.as_str(), "importmap" | "speculationrules") {
        Area::Json
    } else {
        Area::Script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_page_is_something() {
        let page = r#"<!DOCTYPE html><title>t1</title><a HREF='a1' title=t2>t3 <b>t4</b></a><!-- c1 --><script>s1</script>
            <script type="application/ld+json">j1</script><style>y1</style><noscript><img src="a2">t5</noscript><p style="p1">"#;
        let layout = Layout::of(page.as_bytes());
        for (mark, expected) in [
            ("t1", "Text(\"title\")"),
            ("a1", "Attribute { element: \"a\", name: \"href\" }"),
            ("t2", "Attribute { element: \"a\", name: \"title\" }"),
            ("t3", "Text(\"a\")"),
            ("t4", "Text(\"b\")"),
            ("c1", "Comment"),
            ("s1", "Script"),
            ("j1", "Json"),
            ("y1", "StyleSheet"),
            ("a2", "Attribute { element: \"img\", name: \"src\" }"),
            ("t5", "Text(\"img\")"),
            ("p1", "Attribute { element: \"p\", name: \"style\" }"),
            ("DOCTYPE", "Markup"),
        ] {
            let at = page.find(mark).unwrap();
            assert_eq!(format!("{:?}", layout.area(at)), expected, "{mark}");
        }
        assert_eq!(layout.links, ["a1", "a2"]);
    }

    #[test]
    fn the_base_and_references_are_read() {
        let layout = Layout::of(b"<base href='/x/'><base href='/y/'><a href='b?c=1&amp;d'>");
        assert_eq!((layout.base.as_deref(), layout.links.last().map(String::as_str)), (Some("/x/"), Some("b?c=1&d")));
    }
}
