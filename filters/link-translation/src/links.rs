//! One value that may be an internal address, and the external one that takes its place.
//!
//! Only the start of a URL is replaced: scheme, authority and as much of the path as the app's own
//! path takes. What follows stays byte for byte, with its escapes and its oddities. It refuses to
//! resolve relative URLs: they lead where the page is.

use std::ops::Range;
use std::rc::Rc;

use origins::url::slash;
use origins::{AppId, Side, Table};
use values::View;

use crate::config::{Maps, Options};
use crate::decoded::Decoded;
use crate::search::find;

/// What one document's URLs are looked up in.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) maps: Rc<Maps>,
    app: Option<AppId>,
    /// The app that paths without a host belong to: the document's own until a `<base>` says another.
    path_app: Option<AppId>,
}

/// An address that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its place in the value.
    pub(crate) place: Range<usize>,
    /// The app that publishes it; nothing if an app's own mapping says where it leads.
    pub(crate) app: Option<AppId>,
}

impl Links {
    pub(crate) fn new(maps: Rc<Maps>, app: Option<AppId>) -> Self {
        Links { maps, app, path_app: app }
    }

    /// What is translated in this document.
    pub(crate) fn options(&self) -> Option<&Options> {
        self.app.map(|app| self.maps.options(app))
    }

    /// For the grammars of field values, in `<meta http-equiv>`.
    pub(crate) fn view(&self) -> View<'_> {
        View { table: &self.maps.table, towards: Side::External, app: self.app, label: b"" }
    }

    /// Maps the URL a value begins with, spaces before it aside, and writes what takes its place.
    pub(crate) fn map(&self, value: &[u8], out: &mut Vec<u8>) -> Option<Found> {
        let lead = value.iter().take_while(|&&byte| byte <= b' ').count();
        let url = value.get(lead..)?;
        if !self.concerns(url) {
            return None;
        }
        let url = match url.get(..self.maps.window) {
            Some(start) => start,
            None => url.trim_ascii_end(),
        };
        let start = out.len();
        let found = match without_controls(url) {
            None => self.map_start(url, out).map(|found| (0..kept_slash(url, found.0, out), found.1)),
            Some(decoded) => self.map_start(decoded.text(), out).map(|found| {
                let end = kept_slash(decoded.text(), found.0, out);
                (decoded.place(0..end), found.1)
            }),
        };
        let (place, app) = found?;
        if self.maps.has_delimiters {
            encode_delimiters(out, start);
        }
        Some(Found { place: lead + place.start..lead + place.end, app })
    }

    /// Whether a value could be an address at all, by its first two bytes.
    fn concerns(&self, url: &[u8]) -> bool {
        match url {
            [b'h' | b'H' | b'w' | b'W', ..] => true,
            [first, second, ..] if slash(*first) && (slash(*second) || *second < b' ') => true,
            [first, ..] => slash(*first) && self.maps_paths(),
            [] => false,
        }
    }

    /// Whether some address could have this host.
    pub(crate) fn knows(&self, host: &[u8]) -> bool {
        let knows = |table: &Table| table.has_host(Side::Internal, host);
        knows(&self.maps.table) || self.options().and_then(|options| options.extra.as_ref()).is_some_and(knows)
    }

    /// Whether paths without a host differ inside and outside.
    pub(crate) fn maps_paths(&self) -> bool {
        let path = |app, side| &self.maps.table.place(app, side).path;
        self.path_app.is_some_and(|app| path(app, Side::Internal) != path(app, Side::External))
    }

    fn map_start(&self, url: &[u8], out: &mut Vec<u8>) -> Option<(usize, Option<AppId>)> {
        let is_path =
            matches!(url, [first, rest @ ..] if slash(*first) && !rest.first().is_some_and(|&next| slash(next)));
        let current = if is_path { self.path_app } else { self.app };
        let extra = self.options().and_then(|options| options.extra.as_ref());
        let own = extra.filter(|_| !is_path).and_then(|extra| extra.map_start(Side::External, None, url, out));
        if let Some(start) = own {
            return Some((start.length, None));
        }
        let start = self.maps.table.map_start(Side::External, current, url, out)?;
        Some((start.length, Some(start.app)))
    }

    /// The app a URL of this document leads to, whichever side it is written for.
    pub(crate) fn target(&self, value: &[u8]) -> Option<AppId> {
        let value = origins::url::trimmed(value);
        match origins::url::read(&value) {
            origins::url::Form::Origin(_) => match self.map_start(&value, &mut Vec::new()) {
                Some((_, app)) => app,
                None => self.maps.table.owner(Side::External, &value),
            },
            origins::url::Form::Path(_) => self.path_app,
            origins::url::Form::Other if has_scheme(&value) => None,
            origins::url::Form::Other => self.path_app,
        }
    }

    /// Paths without a host lead where this URL of a `<base>` does from now on. Where that is an
    /// external address, or nobody's, they are what they say.
    pub(crate) fn rebase(&mut self, value: &[u8]) {
        let value = origins::url::trimmed(value);
        self.path_app = match origins::url::read(&value) {
            origins::url::Form::Origin(_) => self.map_start(&value, &mut Vec::new()).and_then(|(_, app)| app),
            origins::url::Form::Other if has_scheme(&value) => None,
            _ => self.path_app,
        };
    }
}

/// A slash at the end of both stays as it is written.
fn kept_slash(url: &[u8], length: usize, out: &mut Vec<u8>) -> usize {
    match length.checked_sub(1).and_then(|last| url.get(last)) {
        Some(&last) if slash(last) && out.ends_with(b"/") => {
            out.pop();
            length - 1
        }
        _ => length,
    }
}

fn has_scheme(url: &[u8]) -> bool {
    let end = url.iter().position(|&byte| matches!(byte, b':' | b'/' | b'?' | b'#'));
    end.is_some_and(|end| url.get(end) == Some(&b':'))
}

/// The URL without the tabs and line ends a browser ignores; nothing if there are none before its
/// query.
fn without_controls(url: &[u8]) -> Option<Decoded> {
    let first = find(url, 0, *b"?#\t\r\n").and_then(|at| url.get(at));
    if matches!(first, None | Some(b'?' | b'#')) {
        return None;
    }
    let control = |byte: &u8| matches!(byte, b'\t' | b'\r' | b'\n');
    let mut decoded = Decoded::default();
    for byte in url {
        if control(byte) {
            decoded.put(b"", 1);
        } else {
            decoded.copy(&[*byte]);
        }
    }
    Some(decoded)
}

/// What is written stands in attributes, style sheets and scripts: the few bytes of a configured
/// path that would end a string in one of them are percent-encoded, which leads to the same place.
fn encode_delimiters(out: &mut Vec<u8>, start: usize) {
    let written = out.split_off(start);
    for byte in written {
        if delimits(byte) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// Whether a byte of a URL ends something it may stand in.
pub(crate) fn delimits(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'(' | b')' | b'<' | b'>' | b'&' | b'`' | b'\\')
}
