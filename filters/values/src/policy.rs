//! The source lists of a Content-Security-Policy.
//!
//! A source is an origin with or without a scheme, a port that may be `*`, and a path. One without a
//! path stands for its whole origin and becomes the whole external origin. Without a scheme it means
//! the scheme of the page: it gets one only if the mapped app has another scheme than the page.
//!
//! It refuses keywords, hashes, nonces, scheme sources and directives that hold no sources. A
//! wildcard source becomes the external one if a wildcard app publishes exactly that domain.
//! Otherwise it stays, and the external origins of the apps below it are put behind it.

use std::ops::Range;

use origins::url::{Form, Port, Split, host_and_port, read};
use origins::{Hit, Side};

use crate::{Patch, View, words};

/// Directives whose words are no sources.
const NO_SOURCES: &[&[u8]] = &[
    b"report-to",
    b"sandbox",
    b"plugin-types",
    b"require-sri-for",
    b"require-trusted-types-for",
    b"trusted-types",
    b"upgrade-insecure-requests",
    b"block-all-mixed-content",
];

/// Translates `Content-Security-Policy` and `Content-Security-Policy-Report-Only`.
pub fn policy(view: &View, value: &[u8]) -> Option<Vec<u8>> {
    let mut patch = Patch::new(value);
    for_sources(view, value, |start, end, write| patch.part(start, end, write));
    patch.finish()
}

/// The same, source by source: where each that changes stands, and what takes its place.
pub fn policy_parts(view: &View, value: &[u8]) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut parts = Vec::new();
    for_sources(view, value, |start, end, write| {
        let mut out = Vec::new();
        if let Some(part) = value.get(start..end)
            && write(part, &mut out)
            && out != part
        {
            parts.push((start..end, out));
        }
    });
    parts
}

/// What writes the translation of a source, or says that there is none.
type Write<'w> = &'w dyn Fn(&[u8], &mut Vec<u8>) -> bool;

fn for_sources(view: &View, value: &[u8], mut each: impl FnMut(usize, usize, Write)) {
    for (start, end) in words(value, |byte| byte == b';' || byte == b',') {
        let Some(directive) = value.get(start..end) else { continue };
        let mut parts = words(directive, |byte| byte.is_ascii_whitespace());
        let Some((name_start, name_end)) = parts.next() else { continue };
        let name = directive.get(name_start..name_end).unwrap_or_default();
        if NO_SOURCES.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            continue;
        }
        let report = name.eq_ignore_ascii_case(b"report-uri");
        for (from, to) in parts {
            each(start + from, start + to, &|part, out| {
                if report {
                    view.table.map_url(view.towards, view.app, part, out)
                } else {
                    source(view, part, out) || apps_below(view, directive, part, out)
                }
            });
        }
    }
}

fn source(view: &View, source: &[u8], out: &mut Vec<u8>) -> bool {
    // Keywords, nonces and hashes, `*`, and scheme sources such as `https:`.
    if matches!(source, [b'\'', ..] | b"*" | [.., b':']) {
        return false;
    }
    let Some(split) = split(source) else { return false };
    let whole = matches!(split.rest, b"" | b"/");
    if whole || split.port == Port::Any {
        let Some(hit) = view.table.find_origin(view.towards, view.app, &split) else { return false };
        if hit.from.same_origin(hit.to) || !(whole || hit.from.path == hit.to.path) {
            return false;
        }
        write_origin(view, &split, &hit, out);
        out.extend_from_slice(split.rest);
        return true;
    }
    with_path(view, source, &split, out)
}

/// 32: a policy must not grow with the number of apps without end.
const APPS_BELOW_MAX: usize = 32;

/// `*.corp` allowed what the published apps below `corp` serve; outside they have other hosts.
fn apps_below(view: &View, directive: &[u8], source: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut split) = split(source) else { return false };
    let Some(parent) = split.host.strip_prefix(b"*.") else { return false };
    split.host = parent;
    let covered = |host: &[u8]| host.ends_with(&[b".", parent].concat());
    let mut added: Vec<Vec<u8>> = Vec::new();
    for hit in view.table.below(view.towards, &split).filter(|hit| !covered(&hit.to.host)).take(APPS_BELOW_MAX) {
        let mut origin = Vec::new();
        write_origin(view, &split, &hit, &mut origin);
        let mut said =
            words(directive, |byte| byte.is_ascii_whitespace()).filter_map(|(from, to)| directive.get(from..to));
        if !added.contains(&origin) && !said.any(|word| word == origin) {
            added.push(origin);
        }
    }
    if added.is_empty() {
        return false;
    }
    out.extend_from_slice(source);
    added.iter().for_each(|origin| out.extend([b" ", origin.as_slice()].concat()));
    true
}

/// A source with a path goes through the table as a URL, and loses a scheme it did not have.
fn with_path(view: &View, source: &[u8], split: &Split, out: &mut Vec<u8>) -> bool {
    if split.scheme.is_some() {
        return view.table.map_url(view.towards, view.app, source, out);
    }
    let mut mapped = Vec::new();
    if !view.table.map_url(view.towards, view.app, &[b"//", source].concat(), &mut mapped) {
        return false;
    }
    out.extend_from_slice(mapped.strip_prefix(b"//").unwrap_or(&mapped));
    true
}

fn split(source: &[u8]) -> Option<Split<'_>> {
    let scheme_end = source.windows(3).position(|window| window == b"://");
    if let Form::Origin(split) = read(source) {
        return scheme_end.map(|_| split);
    }
    let (scheme, authority) = match scheme_end {
        // Here the port is `*`, which no URL has: the scheme is read by the help of a host.
        Some(end) => (Some(scheme(source.get(..end)?)?), source.get(end + 3..)?),
        None => (None, source),
    };
    let end = authority.iter().position(|&byte| byte == b'/').unwrap_or(authority.len());
    let (authority, rest) = authority.split_at_checked(end)?;
    if authority.contains(&b'@') {
        return None;
    }
    let (host, port) = host_and_port(authority)?;
    Some(Split { scheme, host, port, rest })
}

fn scheme(name: &[u8]) -> Option<origins::url::Scheme> {
    match read(&[name, b"://x"].concat()) {
        Form::Origin(split) => split.scheme,
        _ => None,
    }
}

fn write_origin(view: &View, split: &Split, hit: &Hit, out: &mut Vec<u8>) {
    let page = view.app.map(|app| view.table.place(app, Side::External).secure);
    let socket = split.scheme.is_some_and(|scheme| scheme.socket);
    out.extend_from_slice(match (split.scheme.is_none() && page == Some(hit.to.secure), socket, hit.to.secure) {
        (true, _, _) => b"",
        (false, false, false) => b"http://",
        (false, false, true) => b"https://",
        (false, true, false) => b"ws://",
        (false, true, true) => b"wss://",
    });
    if split.port != Port::Any {
        return hit.to.write_authority(hit.label, out);
    }
    if hit.to.wildcard {
        out.extend_from_slice(hit.label);
        out.push(b'.');
    }
    out.extend_from_slice(&hit.to.host);
    out.extend_from_slice(b":*");
}
