//! The table itself: who wins when several apps match, and how the winner's URL is written.
//!
//! Towards the outside the current app's mapping wins, then the longest path: several apps may
//! publish one internal origin, and a page should stay in the app it belongs to. Towards the inside
//! the longest path wins, because that is how the edge routes. An exact host beats a wildcard.

use std::fmt;

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
    fn other(self) -> Side {
        match self {
            Side::External => Side::Internal,
            Side::Internal => Side::External,
        }
    }
}

/// An app of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppId(u16);

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

#[derive(Clone, Debug)]
struct App {
    name: String,
    external: Place,
    internal: Place,
}

#[derive(Clone, Debug, Default)]
struct Hosts {
    exact: Index,
    wildcard: Index,
}

/// All published apps. Lookups take a hash per URL and allocate nothing unless something matches.
#[derive(Clone, Debug, Default)]
pub struct Table {
    apps: Vec<App>,
    names: Index,
    external: Hosts,
    internal: Hosts,
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

    fn map_split(&self, towards: Side, current: Option<AppId>, split: &Split, out: &mut Vec<u8>) -> bool {
        let mut best: Option<(Hit, Below)> = None;
        for hit in self.hits(towards, split) {
            let Some(below) = below(split.rest, &hit.from.path) else { continue };
            if hit.from.wildcard && best.is_some_and(|(best, _)| !best.from.wildcard) {
                break;
            }
            let preferred = towards == Side::External && current == Some(hit.app);
            if preferred || best.is_none() {
                best = Some((hit, below));
            }
            if preferred || towards == Side::Internal {
                break;
            }
        }
        let Some((hit, below)) = best else { return false };
        if hit.from.same_origin(hit.to) && stays(split.rest, hit.from, hit.to) {
            return false;
        }
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

    /// The app an origin stands for: the current one if it has it, else the one with the shortest path.
    pub fn find_origin<'t, 'u>(
        &'t self,
        towards: Side,
        current: Option<AppId>,
        split: &Split<'u>,
    ) -> Option<Hit<'t, 'u>> {
        let mut last = None;
        for hit in self.hits(towards, split) {
            if Some(hit.app) == current {
                return Some(hit);
            }
            last = Some(hit);
        }
        last
    }

    /// The apps with a host below the one of `split`, for a source list that says `*.host`.
    pub fn below<'t>(&'t self, towards: Side, split: &Split) -> impl Iterator<Item = Hit<'t, 'static>> {
        (0..).take(self.apps.len()).map(AppId).filter_map(move |app| {
            let (from, to) = (self.place(app, towards.other()), self.place(app, towards));
            let (label, rest) = from.host.split_at_checked(from.host.len().checked_sub(split.host.len())?)?;
            let below = label.ends_with(b".") && rest.eq_ignore_ascii_case(split.host);
            (below && !from.wildcard && from.serves(split)).then_some(Hit { app, from, to, label: b"" })
        })
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

    /// The apps whose host, scheme and port a URL has, best first: exact hosts, then wildcards.
    fn hits<'t, 'u>(&'t self, towards: Side, split: &Split<'u>) -> impl Iterator<Item = Hit<'t, 'u>> {
        let hosts = match towards {
            Side::External => &self.internal,
            Side::Internal => &self.external,
        };
        let free = if hosts.wildcard.is_empty() { None } else { wild(split.host) };
        let (label, parent) = free.unwrap_or((b"", b""));
        let exact = hosts.exact.find(split.host).iter().map(|&id| (id, &b""[..]));
        let wildcard = hosts.wildcard.find(parent).iter().map(move |&id| (id, label));
        let split = *split;
        exact.chain(wildcard).filter_map(move |(id, label)| {
            let (from, to) = (self.place(AppId(id), towards.other()), self.place(AppId(id), towards));
            from.serves(&split).then_some(Hit { app: AppId(id), from, to, label })
        })
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

/// Splits off the label a wildcard leaves free. `*` itself passes, for source lists.
fn wild(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = host.iter().position(|&byte| byte == b'.')?;
    let (label, parent) = host.split_at_checked(dot)?;
    let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let free = label == b"*" || (plain && !label.is_empty());
    if free { Some((label, parent.get(1..)?)) } else { None }
}

/// Whether a path needs no mapping: both sides have the same one, or the path is already below the
/// longer one. An app published at `/docs/` that writes `/docs/x` knows where it is.
fn stays(path: &[u8], from: &Place, to: &Place) -> bool {
    from.path == to.path || (to.path.starts_with(&from.path) && below(path, &to.path).is_some())
}
