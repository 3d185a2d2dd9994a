//! Whether the markup is HTML's, SVG's or MathML's: in the last two `<style>` and `<title>` hold
//! markup instead of text, and CDATA sections exist (HTML, 13.2.6.5).
//!
//! There is no tree here; the tags that open and close these islands are followed, as lol_html does
//! it. It refuses to count beyond a depth no page has.

/// Nested islands.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Html,
    Svg,
    Math,
}

/// Where the markup stands.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    /// Islands in islands; HTML when empty.
    stack: Vec<Kind>,
}

impl Namespace {
    /// Whether this is markup of SVG or MathML.
    pub(crate) fn is_foreign(&self) -> bool {
        self.current() != Kind::Html
    }

    /// Whether this is in an island at all.
    pub(crate) fn is_island(&self) -> bool {
        !self.stack.is_empty()
    }

    fn current(&self) -> Kind {
        self.stack.last().copied().unwrap_or(Kind::Html)
    }

    fn enter(&mut self, kind: Kind) {
        if self.stack.len() < DEPTH_MAX {
            self.stack.push(kind);
        }
    }

    /// A start tag, its name in lower case. `attribute` finds values.
    pub(crate) fn start<'t>(&mut self, name: &[u8], closed: bool, attribute: impl Fn(&[u8]) -> Option<&'t [u8]>) {
        let current = self.current();
        if current != Kind::Html && breaks_out(name, &attribute) {
            self.stack.pop();
            return;
        }
        match (current, name) {
            _ if closed => {}
            (_, b"svg") => self.enter(Kind::Svg),
            (_, b"math") => self.enter(Kind::Math),
            (Kind::Svg, b"desc" | b"title" | b"foreignobject")
            | (Kind::Math, b"mi" | b"mo" | b"mn" | b"ms" | b"mtext") => self.enter(Kind::Html),
            (Kind::Math, b"annotation-xml") if is_html(attribute(b"encoding")) => self.enter(Kind::Html),
            _ => {}
        }
    }

    /// An end tag, its name in lower case.
    pub(crate) fn end(&mut self, name: &[u8]) {
        let outer = self.stack.len().checked_sub(2).and_then(|outer| self.stack.get(outer)).copied();
        let leaves = matches!(
            (self.current(), outer, name),
            (Kind::Svg, _, b"svg" | b"p" | b"br")
                | (Kind::Math, _, b"math" | b"p" | b"br")
                | (Kind::Html, Some(Kind::Svg), b"desc" | b"title" | b"foreignobject")
                | (Kind::Html, Some(Kind::Math), b"mi" | b"mo" | b"mn" | b"ms" | b"mtext" | b"annotation-xml")
        );
        if leaves {
            self.stack.pop();
        }
    }
}

fn is_html(encoding: Option<&[u8]>) -> bool {
    encoding.is_some_and(|encoding| {
        encoding.eq_ignore_ascii_case(b"text/html") || encoding.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// Start tags that end an island, because they cannot be part of one.
fn breaks_out<'t>(name: &[u8], attribute: &impl Fn(&[u8]) -> Option<&'t [u8]>) -> bool {
    let heading = matches!(name, [b'h', b'1'..=b'6']);
    let styled = || [&b"color"[..], b"face", b"size"].iter().any(|name| attribute(name).is_some());
    let listed = matches!(
        name,
        b"b" | b"big"
            | b"blockquote"
            | b"body"
            | b"br"
            | b"center"
            | b"code"
            | b"dd"
            | b"div"
            | b"dl"
            | b"dt"
            | b"em"
            | b"embed"
            | b"head"
            | b"hr"
            | b"i"
            | b"img"
            | b"li"
            | b"listing"
            | b"menu"
            | b"meta"
            | b"nobr"
            | b"ol"
            | b"p"
            | b"pre"
            | b"ruby"
            | b"s"
            | b"small"
            | b"span"
            | b"strong"
            | b"strike"
            | b"sub"
            | b"sup"
            | b"table"
            | b"tt"
            | b"u"
            | b"ul"
            | b"var"
    );
    heading || listed || (name == b"font" && styled())
}
