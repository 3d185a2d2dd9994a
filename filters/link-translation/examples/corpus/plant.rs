//! Plants internal addresses into a body and says what each must become.
//!
//! ```text
//!   href="../a.html"  ─▶  href="http:&#47;&#47;intranet.corp:8080/../a.html"   planted
//!                         href="https://corpus.test/../a.html"                 expected
//! ```
//!
//! Places are found by `lol_html` in pages and by plain search elsewhere, never by the code under test. In text,
//! comments and as parts of other names addresses are planted that have to stay.

use std::cell::RefCell;
use std::ops::Range;

use link_translation::Kind;
use lol_html::html_content::TextType;
use lol_html::{HtmlRewriter, Settings, doc_comments, doc_text, element};

/// A body with addresses.
pub(crate) struct Planted {
    pub(crate) body: Vec<u8>,
    pub(crate) expected: Vec<u8>,
    /// That are to be translated,
    pub(crate) links: usize,
    /// and that are not.
    pub(crate) untouchable: usize,
}

/// How an address begins, up to its path, and what becomes of it.
type Form = (&'static str, &'static str);

const PLAIN: Form = ("http://intranet.corp:8080", "https://corpus.test");

/// In attributes.
const MARKUP: &[Form] = &[
    PLAIN,
    PLAIN,
    ("HTTP://Intranet.CORP:8080", "https://corpus.test"),
    ("//intranet.corp:8080", "//corpus.test"),
    PLAIN,
    ("http:&#47;&#x2f;intranet&period;corp:8080", "https://corpus.test"),
    ("&#104;ttp&colon;//intranet.corp:8080", "https://corpus.test"),
    PLAIN,
    ("http:\\\\intranet.corp:8080", "https://corpus.test"),
    ("http://intranet.corp.:8080", "https://corpus.test"),
    ("http://intranet.corp:08080", "https://corpus.test"),
    ("http://intranet.corp.evil:8080", "http://intranet.corp.evil:8080"),
    ("http://intranet.corp:80801", "http://intranet.corp:80801"),
    ("http://me@intranet.corp:8080", "http://me@intranet.corp:8080"),
];

/// Within quotes, where spaces and line ends may stand too.
const QUOTED: &[Form] = &[
    ("  http://intranet.corp:8080", "  https://corpus.test"),
    ("ht\ntp:/\t/intranet.\r\ncorp:8080", "https://corpus.test"),
    ("\n//intranet.corp:8080", "\n//corpus.test"),
];

const STYLE: &[Form] = &[
    PLAIN,
    ("HTTP://INTRANET.corp:8080", "https://corpus.test"),
    ("http\\3a\\2f\\2f intranet.corp:8080", "https://corpus.test"),
    ("//intranet.corp:8080", "//corpus.test"),
    ("http:\\/\\/intranet.corp:8080", "https://corpus.test"),
    ("http://intranet.corpx:8080", "http://intranet.corpx:8080"),
];

const SCRIPT: &[Form] = &[
    PLAIN,
    ("http:\\/\\/intranet.corp:8080", "https:\\/\\/corpus.test"),
    ("http:\\u002f\\u002Fintranet.corp:8080", "https:\\u002f\\u002fcorpus.test"),
    ("HTTP://Intranet.corp:8080", "https://corpus.test"),
    ("//intranet.corp:8080", "//corpus.test"),
    ("ws://intranet.corp:8080", "wss://corpus.test"),
    ("http://intranet.corp.evil:8080", "http://intranet.corp.evil:8080"),
];

/// Something to put into the source.
struct Insert {
    at: usize,
    form: Form,
    /// Behind the form, so that it ends where a path begins.
    slash: &'static str,
}

struct Plan {
    inserts: Vec<Insert>,
    next: usize,
}

impl Plan {
    /// Plants the next form where a path begins.
    fn link(&mut self, source: &[u8], at: usize, forms: &[Form]) {
        let form = forms[self.next % forms.len()];
        self.next += 1;
        let slash = if source.get(at) == Some(&b'/') { "" } else { "/" };
        self.inserts.push(Insert { at, form, slash });
    }

    fn stays(&mut self, at: usize, text: &'static str) {
        self.inserts.push(Insert { at, form: (text, text), slash: "" });
    }
}

/// Plants by the rules of the kind.
pub(crate) fn plant(kind: Kind, source: &[u8]) -> Planted {
    let mut plan = Plan { inserts: Vec::new(), next: 0 };
    match kind {
        Kind::Html => page(source, &mut plan),
        Kind::Css => style(source, 0..source.len(), &mut plan),
        Kind::Xml => xml(source, &mut plan),
        _ => script(source, 0..source.len(), &mut plan),
    }
    plan.inserts.sort_by_key(|insert| insert.at);
    let mut planted = Planted { body: Vec::new(), expected: Vec::new(), links: 0, untouchable: 0 };
    let mut at = 0;
    for insert in &plan.inserts {
        let between = source.get(at..insert.at).unwrap_or_default();
        at = insert.at;
        for (out, form) in [(&mut planted.body, insert.form.0), (&mut planted.expected, insert.form.1)] {
            out.extend_from_slice(between);
            out.extend_from_slice(form.as_bytes());
            out.extend_from_slice(insert.slash.as_bytes());
        }
        if insert.form.0 == insert.form.1 { planted.untouchable += 1 } else { planted.links += 1 }
    }
    for out in [&mut planted.body, &mut planted.expected] {
        out.extend_from_slice(source.get(at..).unwrap_or_default());
    }
    planted
}

/// A value that leads somewhere without saying where.
fn is_relative(value: &str) -> bool {
    let first = value.as_bytes().first().copied().unwrap_or_default();
    let begins = first.is_ascii_alphanumeric() || matches!(first, b'.' | b'/' | b'_');
    begins && !value.contains([':', '\\', '&', ' ', '\n', '\t']) && !value.starts_with("//")
}

fn page(source: &[u8], plan: &mut Plan) {
    let found: RefCell<Vec<(Range<usize>, What)>> = RefCell::default();
    let last = RefCell::new(String::new());
    let settings = Settings::new()
        .with_strict(false)
        .append_element_content_handler(element!("*", |element| {
            let name = element.tag_name();
            for attribute in element.attributes() {
                let Some(place) = attribute.value_source_location() else { continue };
                let what = match (name.as_str(), attribute.name().as_str()) {
                    ("base", _) => continue,
                    (_, "href" | "src" | "action" | "formaction" | "poster" | "cite" | "longdesc" | "background")
                    | ("object", "data") => What::Url(attribute.value()),
                    (_, "srcset") => What::Srcset(attribute.value()),
                    (_, "title" | "alt") => What::Shown,
                    _ => continue,
                };
                found.borrow_mut().push((place.bytes(), what));
            }
            *last.borrow_mut() = name;
            Ok(())
        }))
        .append_document_content_handler(doc_text!(|text| {
            let what = match (text.text_type(), last.borrow().as_str()) {
                (TextType::Data, _) => What::Text,
                (TextType::ScriptData, _) => What::Script,
                (TextType::RawText, "style") => What::Style,
                _ => return Ok(()),
            };
            let place = text.source_location().bytes();
            let mut found = found.borrow_mut();
            match found.last_mut() {
                // One text, in pieces.
                Some((before, same)) if before.end == place.start && *same == what => before.end = place.end,
                _ => found.push((place, what)),
            }
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|comment| {
            found.borrow_mut().push((comment.source_location().bytes(), What::Comment));
            Ok(())
        }));
    let mut reader = HtmlRewriter::new(settings, |_: &[u8]| {});
    reader.write(source).expect("memory is not limited");
    reader.end().expect("memory is not limited");
    for (number, (place, what)) in found.into_inner().into_iter().enumerate() {
        one_of_page(source, number, place, &what, plan);
    }
}

#[derive(PartialEq)]
enum What {
    Url(String),
    Srcset(String),
    Shown,
    Text,
    Script,
    Style,
    Comment,
}

fn one_of_page(source: &[u8], number: usize, place: Range<usize>, what: &What, plan: &mut Plan) {
    match what {
        What::Url(value) if is_relative(value) => {
            let quoted = place.start.checked_sub(1).and_then(|before| source.get(before));
            let is_quoted = matches!(quoted, Some(b'"' | b'\''));
            let forms = if is_quoted && number.is_multiple_of(5) { QUOTED } else { MARKUP };
            plan.link(source, place.start, forms);
        }
        What::Srcset(value) if value.split(' ').next().is_some_and(is_relative) => {
            plan.link(source, place.start, MARKUP)
        }
        What::Shown if number.is_multiple_of(3) && !place.is_empty() => {
            plan.stays(place.start, "http://intranet.corp:8080/title ")
        }
        What::Text if number.is_multiple_of(7) => plan.stays(place.end, " http://intranet.corp:8080/text "),
        What::Comment
            if source.get(place.clone()).is_some_and(|comment| comment.starts_with(b"<!--") && comment.len() > 8) =>
        {
            plan.stays(place.start + 4, " href='http://intranet.corp:8080/' ");
        }
        What::Script => script(source, place, plan),
        What::Style => style(source, place, plan),
        _ => {}
    }
}

/// Behind a quote that a path follows, and behind every tenth that a word does. What is a string and what a
/// regular expression is not asked, by this as by link translation.
fn script(source: &[u8], place: Range<usize>, plan: &mut Plan) {
    let text = source.get(place.clone()).unwrap_or_default();
    let mut words = 0;
    for (at, window) in text.windows(3).enumerate() {
        let is_path = match window {
            [b'"' | b'\'', b'/', next] => next.is_ascii_alphanumeric(),
            [b'"' | b'\'', b'.', b'/' | b'.'] => true,
            [b'"' | b'\'' | b'`', next, _] if next.is_ascii_alphanumeric() => {
                words += 1;
                words % 10 == 0
            }
            _ => false,
        };
        if is_path {
            plan.link(source, place.start + at + 1, SCRIPT);
        }
    }
}

/// In `url()` and behind `@import`, comments and strings left out; in those addresses that stay.
fn style(source: &[u8], place: Range<usize>, plan: &mut Plan) {
    let text = source.get(..place.end).unwrap_or_default();
    let mut at = place.start;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let word = rest.get(..4).unwrap_or_default().to_ascii_lowercase();
        at += if rest.starts_with(b"/*") {
            plan.stays(at + 2, " url(http://intranet.corp:8080/) ");
            2 + rest.windows(2).skip(2).position(|end| end == b"*/").map_or(rest.len(), |length| length + 2)
        } else if word == b"url(" {
            let quote = usize::from(matches!(rest.get(4), Some(b'"' | b'\'')));
            let value = rest.get(4 + quote..).unwrap_or_default();
            let length = value.iter().take_while(|byte| !matches!(byte, b')' | b'"' | b'\'')).count();
            if std::str::from_utf8(value.get(..length).unwrap_or_default()).is_ok_and(is_relative) {
                plan.link(source, at + 4 + quote, STYLE);
            }
            4 + quote + length + quote
        } else if matches!(rest.first(), Some(b'"' | b'\'')) {
            let escaped = |(place, byte): (usize, &u8)| {
                *byte == rest[0]
                    && rest
                        .get(..place)
                        .is_some_and(|before| before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0)
            };
            1 + rest.iter().enumerate().skip(1).position(escaped).map_or(rest.len(), |length| length + 1)
        } else {
            1
        };
    }
}

/// Elements before the last end tag, where no comment or CDATA can be.
fn xml(source: &[u8], plan: &mut Plan) {
    let Some(end) = source.windows(2).rposition(|window| window == b"</") else { return };
    let elements = [
        ("<a xlink:href='http://intranet.corp:8080/a'/>", "<a xlink:href='https://corpus.test/a'/>"),
        ("<link>http://intranet.corp:8080/a&#47;b</link>", "<link>https://corpus.test/a&#47;b</link>"),
        (
            "<x y='//intranet.corp:8080/'>see http:&#47;&#47;intranet.corp:8080.</x>",
            "<x y='//corpus.test/'>see https:&#47;&#47;corpus.test.</x>",
        ),
        ("<style>a{b:url(http://intranet.corp:8080/c)}</style>", "<style>a{b:url(https://corpus.test/c)}</style>"),
        ("<!-- http://intranet.corp:8080/ -->", "<!-- http://intranet.corp:8080/ -->"),
        ("<x xmlns='http://intranet.corp:8080/'/>", "<x xmlns='http://intranet.corp:8080/'/>"),
    ];
    plan.inserts.extend(elements.map(|form| Insert { at: end, form, slash: "" }));
}
