//! Where in a field value the URLs stand, one function per grammar: for the headers that
//! header-translation reads, and for what `<meta http-equiv>` says in their place.
//!
//! Each function gets the value and a [`View`], and gives the translated value or nothing if
//! nothing in it changes. They refuse to normalise: what is no URL is copied byte for byte.

mod policy;

use std::borrow::Cow;
use std::ops::Range;

use origins::{AppId, Side, Table};

pub use policy::{policy, policy_parts};

/// From where a value is looked at: the table, the direction, the app of this request.
#[derive(Clone, Copy, Debug)]
pub struct View<'t> {
    /// All published apps.
    pub table: &'t Table,
    /// The side the value goes to.
    pub towards: Side,
    /// The app this request belongs to.
    pub app: Option<AppId>,
    /// What its `*` stands for.
    pub label: &'t [u8],
}

impl View<'_> {
    fn url(&self, url: &[u8], out: &mut Vec<u8>) -> bool {
        self.table.map_url(self.towards, self.app, url, out)
    }

    fn origin(&self, url: &[u8], out: &mut Vec<u8>) -> bool {
        self.table.map_origin(self.towards, self.app, url, out)
    }
}

/// A value being copied with some of its parts replaced. Allocates at the first replacement.
pub(crate) struct Patch<'v> {
    value: &'v [u8],
    copied: usize,
    out: Vec<u8>,
}

impl<'v> Patch<'v> {
    pub(crate) fn new(value: &'v [u8]) -> Self {
        Patch { value, copied: 0, out: Vec::new() }
    }

    /// Lets `write` put something in the place of `value[start..end]`, or leave it by saying no.
    pub(crate) fn part(&mut self, start: usize, end: usize, write: impl FnOnce(&[u8], &mut Vec<u8>) -> bool) {
        let (Some(before), Some(part)) = (self.value.get(self.copied..start), self.value.get(start..end)) else {
            return;
        };
        let length = self.out.len();
        if length == 0 {
            // Room for an external host that is longer than the internal one.
            self.out.reserve(self.value.len() + 64);
        }
        self.out.extend_from_slice(before);
        if write(part, &mut self.out) {
            self.copied = end;
        } else {
            self.out.truncate(length);
        }
    }

    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        if self.copied == 0 {
            return None;
        }
        self.out.extend_from_slice(self.value.get(self.copied..).unwrap_or_default());
        (self.out != self.value).then_some(self.out)
    }
}

/// The whole value is one URL: `Location`, `Referer`, `SourceMap` …
pub fn url(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    view.url(value, &mut out).then_some(out)
}

/// Origins, separated by spaces or commas: `Origin`, `Access-Control-Allow-Origin`, `Timing-Allow-Origin`.
pub fn origins(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let mut patch = Patch::new(value);
    for (start, end) in words(value, |byte| byte == b',' || byte.is_ascii_whitespace()) {
        patch.part(start, end, |part, out| view.origin(part, out));
    }
    patch.finish()
}

/// `Refresh: 5; url=…`, as HTML reads it: the separator may be `;`, `,` or a space, `url=` and quotes
/// may be missing.
pub fn refresh(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let place = refresh_url(value)?;
    let mut patch = Patch::new(value);
    patch.part(place.start, place.end, |part, out| view.url(part, out));
    patch.finish()
}

/// Where in a `Refresh` its URL stands; nothing if it has none.
pub fn refresh_url(value: &[u8]) -> Option<Range<usize>> {
    let skip = |at: usize, what: fn(u8) -> bool| at + value.iter().skip(at).take_while(|&&byte| what(byte)).count();
    let space = |byte: u8| byte.is_ascii_whitespace();
    let digits = skip(skip(0, space), |byte| byte.is_ascii_digit() || byte == b'.');
    let mut start = skip(digits, space);
    if matches!(value.get(start), Some(b';' | b',')) {
        start = skip(start + 1, space);
    } else if start == digits {
        return None;
    }
    if value.get(start..start + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
        let equals = skip(start + 3, space);
        if value.get(equals) == Some(&b'=') {
            start = skip(equals + 1, space);
        }
    }
    let mut end = value.len();
    if let Some(quote @ (b'"' | b'\'')) = value.get(start) {
        start += 1;
        end = start + value.iter().skip(start).take_while(|&byte| byte != quote).count();
    }
    Some(start..end)
}

/// `Link: <…>; rel="a, <b>", <…>`: every target, none of what quotes hold.
pub fn link(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    targets(view, value, false)
}

/// `If: <…> (<token> ["etag"])` of WebDAV: the tagged resources, not the state tokens.
pub fn tagged(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    targets(view, value, true)
}

fn targets(view: &View, value: &[u8], lists: bool) -> Option<Vec<u8>> {
    let mut patch = Patch::new(value);
    let (mut at, mut depth, mut quoted) = (0, 0_usize, false);
    while let Some(&byte) = value.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'(' if lists && !quoted => depth += 1,
            b')' if lists && !quoted => depth = depth.saturating_sub(1),
            b'<' if !quoted => {
                let Some(length) = value.iter().skip(at).position(|&byte| byte == b'>') else { break };
                if depth == 0 {
                    patch.part(at + 1, at + length, |part, out| view.url(part, out));
                }
                at += length;
            }
            _ => {}
        }
        at += 1;
    }
    patch.finish()
}

/// Every quoted string that is a URL: `Report-To` (JSON), `Reporting-Endpoints`, `Permissions-Policy`.
/// Escaped slashes of JSON are read; a string with any other escape is left alone.
pub fn quoted(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let mut patch = Patch::new(value);
    let (mut at, mut opened) = (0, None);
    while let Some(&byte) = value.get(at) {
        match (byte, opened) {
            (b'\\', Some(_)) => at += 1,
            (b'"', None) => opened = Some(at + 1),
            (b'"', Some(start)) => {
                patch.part(start, at, |part, out| unescaped(part).is_some_and(|part| view.url(&part, out)));
                opened = None;
            }
            _ => {}
        }
        at += 1;
    }
    patch.finish()
}

fn unescaped(part: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !part.contains(&b'\\') {
        return Some(Cow::Borrowed(part));
    }
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(*bytes.next().filter(|&&byte| byte == b'/')?),
            _ => plain.push(byte),
        }
    }
    Some(Cow::Owned(plain))
}

/// `X-Frame-Options: ALLOW-FROM https://…`.
pub fn frame_options(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let mut words = words(value, |byte| byte.is_ascii_whitespace());
    let (start, end) = words.next()?;
    if !value.get(start..end)?.eq_ignore_ascii_case(b"allow-from") {
        return None;
    }
    let (start, end) = words.next()?;
    let mut patch = Patch::new(value);
    patch.part(start, end, |part, out| view.origin(part, out) || view.url(part, out));
    patch.finish()
}

/// The ranges of `value` between separators, empty ones left out.
pub fn words(value: &[u8], separates: impl Fn(u8) -> bool) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let skipped = value.get(at..)?.iter().take_while(|&&byte| separates(byte)).count();
        let start = at + skipped;
        let length = value.get(start..)?.iter().take_while(|&&byte| !separates(byte)).count();
        at = start + length;
        (length > 0).then_some((start, at))
    })
}
