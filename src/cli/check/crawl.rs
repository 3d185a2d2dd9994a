//! The walk through an app: breadth first, each URL once, never out of the app.
//!
//! ```text
//!   queue ─▶ GET ─▶ fields and body scanned ─▶ Finding …
//!     ▲                └ links inside the app, one step deeper
//!     └──────────────────────┘
//! ```
//!
//! Depth, pages, bytes of a page and time of a request are bounded. It refuses to ask for what is
//! outside the app's external URL, and to run more than one request at a time.

use std::collections::{HashSet, VecDeque};

use http::header::{self, HeaderMap};
use url::Url;

use super::client::{Answer, Client};
use super::follow;
use super::known::Known;
use super::layout::Layout;
use super::place::{self, Language, Place};
use super::scan::{What, scan};
use crate::config::PublishedUrl;
use crate::filters::charset::charset_of;

/// Where to walk.
pub(super) struct Walk {
    pub(super) app: PublishedUrl,
    pub(super) start: Url,
    pub(super) depth: usize,
    pub(super) pages_max: usize,
    /// URLs with one of these in them are left out.
    pub(super) skip: Vec<String>,
}

/// An address that shows.
pub(super) struct Finding {
    pub(super) url: String,
    pub(super) position: Option<Position>,
    pub(super) place: Place,
    pub(super) address: String,
    /// It is an address of an app; a name alone and a foreign port are not.
    pub(super) is_apps: bool,
}

/// A byte of a decoded body; line and column count from one, the column in bytes.
pub(super) struct Position {
    pub(super) byte: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What a walk saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    pub(super) pages: usize,
    pub(super) bytes: usize,
    /// URLs that could not be read, or not wholly, and why.
    pub(super) unread: Vec<(String, String)>,
    /// URLs that were not asked for, because of the limit of pages,
    pub(super) left_out: usize,
    /// and because of the depth.
    pub(super) too_deep: usize,
}

/// Walks until there is nothing left to ask for.
pub(super) async fn walk(walk: &Walk, known: &Known, client: &mut Client) -> Seen {
    let mut seen = Seen::default();
    let mut queue = VecDeque::from([(walk.start.clone(), 0)]);
    let mut met = HashSet::from([walk.start.clone()]);
    while let Some((url, depth)) = queue.pop_front() {
        if seen.pages == walk.pages_max {
            seen.left_out = queue.len() + 1;
            break;
        }
        seen.pages += 1;
        let answer = match client.get(&url, is_text).await {
            Ok(answer) => answer,
            Err(reason) => {
                seen.unread.push((url.to_string(), reason));
                continue;
            }
        };
        // A link that leads nowhere is the app's affair; a walk that begins nowhere is not.
        if answer.status >= if depth == 0 { 400 } else { 500 } {
            seen.unread.push((url.to_string(), format!("status {}", answer.status)));
        }
        for link in read(&url, known, answer, &mut seen) {
            if !walk.is_inside(&link) || !met.insert(link.clone()) {
                continue;
            }
            if depth < walk.depth {
                queue.push_back((link, depth + 1));
            } else {
                seen.too_deep += 1;
            }
        }
    }
    seen
}

impl Walk {
    fn is_inside(&self, url: &Url) -> bool {
        let skipped = self.skip.iter().any(|part| url.as_str().contains(part.as_str()));
        // Of a wildcard app the walk stays on the host it began on.
        self.app.covers(url) && url.host_str() == self.start.host_str() && !skipped
    }
}

/// Whether a body is worth reading: images and archives are not.
fn is_text(headers: &HeaderMap) -> bool {
    Language::of(content_type(headers), b"<").is_some()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Scans a response and says where it leads.
fn read(url: &Url, known: &Known, mut answer: Answer, seen: &mut Seen) -> Vec<Url> {
    if let Some(reason) = answer.unread.take() {
        seen.unread.push((url.to_string(), reason));
    }
    for (name, value) in &answer.headers {
        for hit in scan(known, value.as_bytes()) {
            seen.findings.push(Finding {
                url: url.to_string(),
                position: None,
                place: place::in_field(name.as_str(), &hit),
                is_apps: hit.what == What::Address,
                address: hit.address,
            });
        }
    }
    let mut links: Vec<String> = Vec::new();
    let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    links.extend(location.map(str::to_owned));
    let body = in_ascii(&answer);
    seen.bytes += body.len();
    let mut base = url.clone();
    if let Some(language) = Language::of(content_type(&answer.headers), &body) {
        let layout = match language {
            Language::Html | Language::Xml => Layout::of(&body),
            _ => Layout::default(),
        };
        look(url, known, language, &layout, &body, seen);
        if let Some(written) = layout.base.as_deref().and_then(|written| url.join(written).ok()) {
            base = written;
        }
        links.extend(layout.links);
        if language == Language::StyleSheet || memchr::memmem::find(&body, b"<style").is_some() {
            follow::style_sheet(&String::from_utf8_lossy(&body), &mut links);
        }
    }
    let resolved = links.iter().filter_map(|link| base.join(link).ok());
    resolved
        .map(|mut link| {
            link.set_fragment(None);
            link
        })
        .collect()
}

fn look(url: &Url, known: &Known, language: Language, layout: &Layout, body: &[u8], seen: &mut Seen) {
    let (mut line, mut line_start, mut at) = (1, 0, 0);
    for hit in scan(known, body) {
        for (place, _) in
            body.get(at..hit.at).unwrap_or_default().iter().enumerate().filter(|(_, byte)| **byte == b'\n')
        {
            line += 1;
            line_start = at + place + 1;
        }
        at = hit.at;
        seen.findings.push(Finding {
            url: url.to_string(),
            position: Some(Position { byte: at, line, column: at - line_start + 1 }),
            place: place::in_body(language, layout, body, &hit),
            is_apps: hit.what == What::Address,
            address: hit.address,
        });
    }
}

/// The body with its ASCII as ASCII: UTF-16 becomes UTF-8, and places are counted in that.
fn in_ascii(answer: &Answer) -> Vec<u8> {
    let unit: fn([u8; 2]) -> u16 = match charset_of(answer.headers.get(header::CONTENT_TYPE), &answer.body).label {
        "UTF-16LE" => u16::from_le_bytes,
        "UTF-16BE" => u16::from_be_bytes,
        _ => return answer.body.clone(),
    };
    let units: Vec<u16> = answer.body.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &'static str, body: &[u8]) -> Answer {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
        Answer { status: 200, headers, body: body.to_vec(), unread: None }
    }

    #[test]
    fn a_page_says_what_shows_and_where_it_leads() {
        let mut known = Known::default();
        known.add(&PublishedUrl::parse("http://a.corp/").unwrap());
        let url = Url::parse("https://a.test/x/y").unwrap();
        let page = b"<base href=/z/>\n<a href='b#c'></a>\n  <a href=http://a.corp/d></a>";
        let mut seen = Seen::default();
        let links = read(&url, &known, answer("text/html", page), &mut seen);
        let links: Vec<&str> = links.iter().map(Url::as_str).collect();
        assert_eq!(links, ["https://a.test/z/b", "http://a.corp/d"]);
        let [finding] = &seen.findings[..] else { panic!("one finding") };
        let position = finding.position.as_ref().unwrap();
        assert_eq!((position.byte, position.line, position.column), (45, 3, 11));
    }

    #[test]
    fn utf_16_is_read() {
        let mut known = Known::default();
        known.add(&PublishedUrl::parse("http://a.corp/").unwrap());
        let url = Url::parse("https://a.test/").unwrap();
        let page: Vec<u8> = "<a href='http://a.corp/'>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut seen = Seen::default();
        read(&url, &known, answer("text/html; charset=utf-16le", &page), &mut seen);
        assert!(seen.findings.iter().any(|finding| finding.place.is_followed));
    }
}
