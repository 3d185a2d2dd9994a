//! What kind of place an address stands in, and whether a browser would load or follow it there.
//!
//! ```text
//!   followed     URL attributes, style sheets, strings of scripts and JSON, header fields with URLs
//!   harmless     text, comments, titles, URLs inside other URLs, names alone, no app's addresses
//! ```
//!
//! Where it cannot tell it says followed: a false alarm is read by a person, a leak by everyone.

use super::layout::{Area, Layout};
use super::scan::{Hit, What};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Html,
    Xml,
    StyleSheet,
    Script,
    Json,
    Playlist,
    Events,
    Plain,
}

/// A kind of place, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: String,
    /// A browser would load or follow what stands there.
    pub(super) is_followed: bool,
}

/// Fields whose URLs, hosts or sources a browser acts on.
const FIELDS: [&str; 19] = [
    "location",
    "content-location",
    "refresh",
    "link",
    "set-cookie",
    "content-security-policy",
    "content-security-policy-report-only",
    "access-control-allow-origin",
    "timing-allow-origin",
    "x-frame-options",
    "sourcemap",
    "x-sourcemap",
    "alt-svc",
    "report-to",
    "reporting-endpoints",
    "nel",
    "permissions-policy",
    "speculation-rules",
    "www-authenticate",
];
/// Of these a bare host name is acted on too.
const FIELDS_OF_HOSTS: [&str; 4] =
    ["set-cookie", "content-security-policy", "content-security-policy-report-only", "alt-svc"];

/// Attributes that are shown or read out, and never loaded.
const SHOWN: [&str; 9] = ["title", "alt", "placeholder", "label", "summary", "abbr", "id", "class", "name"];
/// Kinds of `<meta>` are not looked at: a description and an `og:url` are the same attribute.
const QUOTES: [&[u8]; 11] =
    [b"\"", b"'", b"`", b"&quot;", b"&#34;", b"&#39;", b"&apos;", b"\\u0022", b"\\u0027", b"\\x22", b"\\x27"];

impl Language {
    /// By the media type; nothing if it is none in which addresses are looked for.
    pub(super) fn of(content_type: &str, body: &[u8]) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Some(match essence.as_str() {
            "text/html" | "application/xhtml+xml" => Self::Html,
            "text/css" => Self::StyleSheet,
            "text/event-stream" => Self::Events,
            // Browsers guess then.
            "" if body.trim_ascii_start().starts_with(b"<") => Self::Html,
            "" => return None,
            essence if essence.ends_with("mpegurl") => Self::Playlist,
            essence if essence.ends_with("xml") => Self::Xml,
            essence if essence.ends_with("json") || essence.ends_with("jsonl") || essence.ends_with("ndjson") => {
                Self::Json
            }
            essence if essence.ends_with("javascript") || essence.ends_with("ecmascript") => Self::Script,
            essence if essence.starts_with("text/") => Self::Plain,
            _ => return None,
        })
    }
}

/// The place of a hit in a header field.
pub(super) fn in_field(name: &str, hit: &Hit) -> Place {
    let acted_on = FIELDS.contains(&name) && hit.what == What::Address && !hit.inside_url;
    let host = FIELDS_OF_HOSTS.contains(&name) && hit.what != What::Elsewhere && !hit.inside_url;
    Place { kind: format!("header {name}{}", note(hit)), is_followed: acted_on || host }
}

/// The place of a hit in a body.
pub(super) fn in_body(language: Language, layout: &Layout, body: &[u8], hit: &Hit) -> Place {
    let before = body.get(..hit.at).unwrap_or_default();
    let (kind, is_followed) = match language {
        Language::Html => in_page(layout.area(hit.at), before),
        Language::Xml => match layout.area(hit.at) {
            // Feeds and sitemaps hold URLs as the whole text of an element.
            Area::Text(element) if before.trim_ascii_end().ends_with(b">") => (format!("text of {element}"), true),
            Area::Markup if before.trim_ascii_end().ends_with(b"[CDATA[") => ("CDATA".to_owned(), true),
            area => in_page(area, before),
        },
        Language::StyleSheet => in_page(&Area::StyleSheet, before),
        Language::Script => in_page(&Area::Script, before),
        Language::Json => in_page(&Area::Json, before),
        Language::Playlist => ("playlist".to_owned(), true),
        Language::Events => ("event".to_owned(), is_quoted(before) || before.trim_ascii_end().ends_with(b"data:")),
        Language::Plain => ("plain text".to_owned(), false),
    };
    Place {
        kind: format!("{kind}{}", note(hit)),
        is_followed: is_followed && hit.what == What::Address && !hit.inside_url,
    }
}

fn note(hit: &Hit) -> &'static str {
    match hit.what {
        What::Name => ", name alone",
        What::Elsewhere => ", no app's scheme, port or path",
        What::Address if hit.inside_url => ", in another URL",
        What::Address => "",
    }
}

fn in_page(area: &Area, before: &[u8]) -> (String, bool) {
    match area {
        Area::Attribute { element, name } if &**name == "style" => (format!("inline style {element}@style"), true),
        Area::Attribute { element, name } => {
            let shown = SHOWN.contains(&&**name) || name.starts_with("aria-");
            (format!("attribute {element}@{name}"), !shown)
        }
        Area::Text(element) => (format!("text of {element}"), false),
        Area::Raw(element) => (format!("text of {element}"), false),
        Area::Comment => ("comment".to_owned(), false),
        Area::StyleSheet if is_quoted(before) || before.trim_ascii_end().ends_with(b"(") => {
            ("style sheet".to_owned(), true)
        }
        Area::StyleSheet => ("style sheet, comment".to_owned(), false),
        Area::Script if is_quoted(before) => ("script string".to_owned(), true),
        Area::Script if is_in_comment(before) => ("script comment".to_owned(), false),
        Area::Script => ("script".to_owned(), true),
        Area::Json if is_quoted(before) => ("JSON string".to_owned(), true),
        Area::Json => ("JSON text".to_owned(), false),
        Area::Markup => ("markup".to_owned(), true),
    }
}

fn is_quoted(before: &[u8]) -> bool {
    QUOTES.iter().any(|quote| before.ends_with(quote))
}

/// Whether a script's text ends within a comment, as far as that can be told without a lexer.
fn is_in_comment(before: &[u8]) -> bool {
    let line = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    let by_line = line.starts_with(b"//") || line.starts_with(b"*") || memchr::memmem::find(line, b" // ").is_some();
    let opened = memchr::memmem::rfind(before, b"/*");
    by_line || opened.is_some_and(|opened| memchr::memmem::rfind(before, b"*/").is_none_or(|closed| closed < opened))
}

#[cfg(test)]
mod tests {
    use super::super::known::Known;
    use super::super::scan::scan;
    use super::*;
    use crate::config::PublishedUrl;

    fn places(language: Language, body: &str) -> Vec<(String, bool)> {
        let mut known = Known::default();
        known.add(&PublishedUrl::parse("http://a.corp/").unwrap());
        let body = body.as_bytes();
        let hits = scan(&known, body);
        let place = |hit| in_body(language, &Layout::of(body), body, hit);
        hits.iter().map(place).map(|place| (place.kind, place.is_followed)).collect()
    }

    #[test]
    fn places_have_their_kinds() {
        for (language, body, kind, followed) in [
            (Language::Html, "<a href=http://a.corp/>", "attribute a@href", true),
            (Language::Html, "<a href='//a.corp/'>", "attribute a@href", true),
            (Language::Html, "<p title='http://a.corp/'>", "attribute p@title", false),
            (Language::Html, "<p>http://a.corp/", "text of p", false),
            (Language::Html, "<!-- http://a.corp/ -->", "comment", false),
            (Language::Html, "<p style='x:url(http://a.corp/)'>", "inline style p@style", true),
            (Language::Html, "<style>p{x:url(http://a.corp/)}</style>", "style sheet", true),
            (Language::Html, "<style>/* http://a.corp/ */</style>", "style sheet, comment", false),
            (Language::Html, "<script>x='http://a.corp/'</script>", "script string", true),
            (Language::Html, "<script>\n // http://a.corp/\n</script>", "script comment", false),
            (Language::Html, "<script type=importmap>{\"x\":\"http:\\/\\/a.corp\\/\"}</script>", "JSON string", true),
            (Language::Html, "<noscript><img src=http://a.corp/></noscript>", "attribute img@src", true),
            (Language::Html, "<a href='/x?u=http://a.corp/'>", "attribute a@href, in another URL", false),
            (Language::Html, "<a href='http://a.corp:81/'>", "attribute a@href, no app's scheme, port or path", false),
            (Language::Html, "<a data-host=a.corp>", "attribute a@data-host, name alone", false),
            (Language::Xml, "<rss><link>http://a.corp/</link></rss>", "text of link", true),
            (Language::Xml, "<rss><p>see http://a.corp/</p></rss>", "text of p", false),
            (Language::Json, "{\"x\":\"http://a.corp/\"}", "JSON string", true),
            (Language::Json, "{\"x\":\"see http://a.corp/\"}", "JSON text", false),
            (Language::Script, "x=`${y}http://a.corp/`", "script", true),
            (Language::Script, "/*! z\nhttp://a.corp/ */", "script comment", false),
            (Language::StyleSheet, "@import \"http://a.corp/\"", "style sheet", true),
            (Language::Plain, "http://a.corp/", "plain text", false),
            (Language::Playlist, "#EXTM3U\nhttp://a.corp/1.ts", "playlist", true),
            (Language::Events, "data: http://a.corp/\n\n", "event", true),
        ] {
            assert_eq!(places(language, body), [(kind.to_owned(), followed)], "{body}");
        }
    }

    #[test]
    fn fields_are_acted_on_or_not() {
        let mut known = Known::default();
        known.add(&PublishedUrl::parse("http://a.corp/").unwrap());
        for (name, value, followed) in [
            ("location", "http://a.corp/", true),
            ("location", "/x?u=http://a.corp/", false),
            ("set-cookie", "a=b; Domain=a.corp", true),
            ("content-security-policy", "img-src a.corp", true),
            ("via", "1.1 a.corp", false),
            ("x-backend", "http://a.corp/", false),
        ] {
            let hits = scan(&known, value.as_bytes());
            assert_eq!(in_field(name, &hits[0]).is_followed, followed, "{name}: {value}");
        }
    }

    #[test]
    fn bodies_have_their_languages() {
        for (content_type, language) in [
            ("text/HTML; charset=utf-8", Some(Language::Html)),
            ("image/svg+xml", Some(Language::Xml)),
            ("application/hal+json", Some(Language::Json)),
            ("application/x-javascript", Some(Language::Script)),
            ("text/plain", Some(Language::Plain)),
            ("image/png", None),
        ] {
            assert_eq!(Language::of(content_type, b""), language, "{content_type}");
        }
        assert_eq!(Language::of("", b" <p>"), Some(Language::Html));
    }
}
