//! The table itself: every published app by its hosts, and how a URL of the other side is written.
//!
//! It refuses to choose between apps that both match; `choice` does.

use std::fmt;

use crate::choice::{stays, wild};
use crate::idn;
use crate::index::Index;
use crate::place::{Below, Place, below, write_path};
use crate::url::{self, Form, Port, Split};

/// One published app as its configuration has it.
#[derive(Clone, Copy, Debug)]
pub struct AppUrls<'a> {
    /// Unique.
    pub name: &'a str,
    /// Where users reach it.
    pub external: &'a str,
    /// Where its backend is.
    pub internal: &'a str,
}

/// The two sides of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Users, and everything sent to them.
    External,
    /// The backend, and everything sent to it.
    Internal,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::External => Side::Internal,
            Side::Internal => Side::External,
        }
    }
}

/// An app of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppId(pub(crate) u16);

impl AppId {
    /// Its place in the list the table was made of.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Why a table was refused: which app, which of its keys, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    app: String,
    reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "app `{}`: {}", self.app, self.reason)
    }
}

impl std::error::Error for Refused {}

/// Where a URL leads on the other side.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'t, 'u> {
    /// The app that publishes it.
    pub app: AppId,
    /// The side the URL was on.
    pub from: &'t Place,
    /// The side it is mapped to.
    pub to: &'t Place,
    /// What the `*` of a wildcard app stands for.
    pub label: &'u [u8],
}

/// The start of a URL that was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The app that publishes it.
    pub app: AppId,
    /// Bytes of the URL that the mapped start stands for.
    pub length: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct App {
    name: String,
    external: Place,
    internal: Place,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    pub(crate) exact: Index,
    pub(crate) wildcard: Index,
}

/// All published apps. Lookups take a hash per URL and allocate nothing unless something matches.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(crate) apps: Vec<App>,
    pub(crate) names: Index,
    pub(crate) external: Hosts,
    pub(crate) internal: Hosts,
}

impl Table {
    /// Builds the table; at most 65,535 apps.
    pub fn new(apps: &[AppUrls]) -> Result<Self, Refused> {
        let mut table = Table::default();
        for app in apps {
            let refused = |reason: String| Refused { app: app.name.to_owned(), reason };
            let place =
                |key: &str, text| Place::parse(text).map_err(|reason| refused(format!("`{key}` = {text:?}: {reason}")));
            let (external, internal) = (place("external", app.external)?, place("internal", app.internal)?);
            if external.wildcard != internal.wildcard {
                return Err(refused("`external` and `internal` must both begin with `*.` or neither".into()));
            }
            if table.app(app.name.as_bytes()).is_some() {
                return Err(refused("the name is used twice".into()));
            }
            let id = u16::try_from(table.apps.len()).map_err(|_| refused("one app too many (65,535)".into()))?;
            table.names.insert(app.name.as_bytes(), id);
            table.apps.push(App { name: app.name.to_owned(), external, internal });
        }
        for side in [Side::External, Side::Internal] {
            table.index(side);
        }
        Ok(table)
    }

    /// Longest path first, so that the first match of a lookup is the most specific one.
    fn index(&mut self, side: Side) {
        let mut ids: Vec<u16> = (0..).take(self.apps.len()).collect();
        ids.sort_by_key(|&id| std::cmp::Reverse(self.place(AppId(id), side).path.len()));
        let mut hosts = Hosts::default();
        for id in ids {
            let place = self.place(AppId(id), side);
            let index = if place.wildcard { &mut hosts.wildcard } else { &mut hosts.exact };
            index.insert(&place.host, id);
            if let Some(name) = idn::unicode(&place.host) {
                index.insert(name.as_bytes(), id);
            }
        }
        match side {
            Side::External => self.external = hosts,
            Side::Internal => self.internal = hosts,
        }
    }

    /// The app of this name.
    pub fn app(&self, name: &[u8]) -> Option<AppId> {
        let mut ids = self.names.find(name).iter().copied();
        let same = |id: &u16| self.apps.get(usize::from(*id)).is_some_and(|app| app.name.as_bytes() == name);
        ids.find(same).map(AppId)
    }

    /// One side of an app.
    pub fn place(&self, app: AppId, side: Side) -> &Place {
        // An AppId is only made by this table, and apps are never taken out.
        let app = &self.apps[usize::from(app.0)];
        match side {
            Side::External => &app.external,
            Side::Internal => &app.internal,
        }
    }

    /// What the `*` of a wildcard app stands for in an authority of either side; empty otherwise.
    pub fn label<'a>(&self, app: AppId, authority: &'a [u8]) -> &'a [u8] {
        let Some((host, _)) = url::host_and_port(authority) else { return b"" };
        let free = |side| {
            let place = self.place(app, side);
            let (label, parent) = wild(host)?;
            (place.wildcard && parent.eq_ignore_ascii_case(&place.host)).then_some(label)
        };
        free(Side::External).or_else(|| free(Side::Internal)).unwrap_or_default()
    }

    /// Maps a URL towards a side: appends the mapped URL to `out`, or appends nothing and says no.
    /// A path without an origin (`/path`) belongs to the current app.
    pub fn map_url(&self, towards: Side, current: Option<AppId>, url: &[u8], out: &mut Vec<u8>) -> bool {
        let url = url::trimmed(url);
        match url::read(&url) {
            Form::Origin(split) => self.map_split(towards, current, &split, out),
            Form::Path(path) => current.is_some_and(|app| self.map_path(towards, app, path, out)),
            Form::Other => false,
        }
    }

    /// Maps the start of a URL: appends what takes its place and says how far it reaches, so that the
    /// rest can stay as it is written. The URL went through [`url::trimmed`]; of a long one its
    /// first [`Table::longest`] bytes are enough.
    pub fn map_start(&self, towards: Side, current: Option<AppId>, url: &[u8], out: &mut Vec<u8>) -> Option<Start> {
        match url::read(url) {
            Form::Origin(split) => {
                let (hit, below) = self.resolve(towards, current, &split)?;
                let length = url.len() - below.tail.len();
                self.write_origin(towards, current, &split, &hit, out);
                write_path(Below { tail: b"", ..below }, hit.from, hit.to, out);
                Some(Start { app: hit.app, length })
            }
            Form::Path(path) => {
                let app = current?;
                let (from, to) = (self.place(app, towards.other()), self.place(app, towards));
                if stays(path, from, to) {
                    return None;
                }
                let below = below(path, &from.path)?;
                write_path(Below { tail: b"", ..below }, from, to, out);
                Some(Start { app, length: path.len() - below.tail.len() })
            }
            Form::Other => None,
        }
    }

    /// Bytes within which the end of what [`Table::map_start`] maps is found, whatever the URL:
    /// scheme, slashes, a name of 255 bytes, a port, and the longest path of an app.
    pub fn longest(&self) -> usize {
        const ORIGIN_BYTES_MAX: usize = 300;
        let path = |app: &App| app.external.path.len().max(app.internal.path.len());
        ORIGIN_BYTES_MAX + self.apps.iter().map(path).max().unwrap_or_default()
    }

    /// Whether some app has this host on this side, whatever its scheme, port and path.
    pub fn has_host(&self, side: Side, host: &[u8]) -> bool {
        let hosts = match side {
            Side::External => &self.external,
            Side::Internal => &self.internal,
        };
        let host = host.strip_suffix(b".").unwrap_or(host);
        let is_free = || wild(host).is_some_and(|(_, parent)| !hosts.wildcard.host(parent).is_empty());
        !hosts.exact.host(host).is_empty() || (!hosts.wildcard.is_empty() && is_free())
    }

    /// The app a URL belongs to that is on this side already.
    pub fn owner(&self, side: Side, url: &[u8]) -> Option<AppId> {
        let Form::Origin(split) = url::read(url) else { return None };
        let below = |hit: &Hit| below(split.rest, &hit.from.path).is_some();
        self.hits(side.other(), &split).find(below).map(|hit| hit.app)
    }

    fn map_split(&self, towards: Side, current: Option<AppId>, split: &Split, out: &mut Vec<u8>) -> bool {
        let Some((hit, below)) = self.resolve(towards, current, split) else { return false };
        self.write_origin(towards, current, split, &hit, out);
        write_path(below, hit.from, hit.to, out);
        true
    }

    /// Maps the origin of a URL that is nothing but an origin, with or without a last slash.
    pub fn map_origin(&self, towards: Side, current: Option<AppId>, url: &[u8], out: &mut Vec<u8>) -> bool {
        let url = url::trimmed(url);
        let Form::Origin(split) = url::read(&url) else { return false };
        if !matches!(split.rest, b"" | b"/") {
            return false;
        }
        let Some(hit) = self.find_origin(towards, current, &split) else { return false };
        if hit.from.same_origin(hit.to) {
            return false;
        }
        self.write_origin(towards, current, &split, &hit, out);
        out.extend_from_slice(split.rest);
        true
    }

    /// Maps a path of this app, which begins with a slash, towards a side.
    pub fn map_path(&self, towards: Side, app: AppId, path: &[u8], out: &mut Vec<u8>) -> bool {
        let (from, to) = (self.place(app, towards.other()), self.place(app, towards));
        if stays(path, from, to) {
            return false;
        }
        let Some(below) = below(path, &from.path) else { return false };
        write_path(below, from, to, out);
        true
    }

    /// The scheme, in the form the URL had, and the authority of the other side.
    fn write_origin(&self, towards: Side, current: Option<AppId>, split: &Split, hit: &Hit, out: &mut Vec<u8>) {
        // One allocation for what follows: scheme, authority, path, and what is left of the URL.
        out.reserve(10 + hit.label.len() + hit.to.authority.len() + hit.to.path.len() + split.rest.len());
        let socket = split.scheme.is_some_and(|scheme| scheme.socket);
        let relative =
            split.scheme.is_none() && current.is_some_and(|app| self.place(app, towards).secure == hit.to.secure);
        out.extend_from_slice(match (relative, socket, hit.to.secure) {
            (true, _, _) => b"//",
            (false, false, false) => b"http://",
            (false, false, true) => b"https://",
            (false, true, false) => b"ws://",
            (false, true, true) => b"wss://",
        });
        hit.to.write_authority(hit.label, out);
        debug_assert!(split.port != Port::Any, "only source lists say `*`, and they write their own");
    }
}
