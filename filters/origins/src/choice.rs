//! Who wins when several apps match a URL.
//!
//! Towards the outside the current app's mapping wins, then the longest path: several apps may
//! publish one internal origin, and a page should stay in the app it belongs to; of two that publish
//! the same, one with the scheme of the current app. Towards the inside the longest path wins, because
//! that is how the edge routes. An exact host beats a wildcard.

use crate::place::{Below, Place, below};
use crate::table::{AppId, Hit, Side, Table};
use crate::url::Split;

impl Table {
    /// Who wins for a URL; nobody if it stays as it is.
    pub(crate) fn resolve<'t, 'u>(
        &'t self,
        towards: Side,
        current: Option<AppId>,
        split: &Split<'u>,
    ) -> Option<(Hit<'t, 'u>, Below<'u>)> {
        let mut best: Option<(Hit, Below)> = None;
        for hit in self.hits(towards, split) {
            let Some(below) = below(split.rest, &hit.from.path) else { continue };
            if hit.from.wildcard && best.is_some_and(|(best, _)| !best.from.wildcard) {
                break;
            }
            let preferred = towards == Side::External && current == Some(hit.app);
            if preferred || best.is_none_or(|(best, _)| self.suits_better(towards, current, &hit, &best)) {
                best = Some((hit, below));
            }
            if preferred || towards == Side::Internal {
                break;
            }
        }
        let is_there = |(hit, _): &(Hit, Below)| hit.from.same_origin(hit.to) && stays(split.rest, hit.from, hit.to);
        best.filter(|best| !is_there(best))
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
            if last.is_none_or(|last| !self.suits_better(towards, current, &last, &hit)) {
                last = Some(hit);
            }
        }
        last
    }

    /// Whether of two apps that publish the same URL only `hit` has the scheme of the current app: a page
    /// of `https` would not load what is `http`.
    fn suits_better(&self, towards: Side, current: Option<AppId>, hit: &Hit, than: &Hit) -> bool {
        let Some(current) = current.filter(|_| towards == Side::External) else { return false };
        let secure = self.place(current, towards).secure;
        hit.from.path == than.from.path && hit.to.secure == secure && than.to.secure != secure
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

    /// The apps whose host, scheme and port a URL has, best first: exact hosts, then wildcards.
    pub(crate) fn hits<'t, 'u>(&'t self, towards: Side, split: &Split<'u>) -> impl Iterator<Item = Hit<'t, 'u>> {
        let hosts = match towards {
            Side::External => &self.internal,
            Side::Internal => &self.external,
        };
        let free = if hosts.wildcard.is_empty() { None } else { wild(split.host) };
        let (label, parent) = free.unwrap_or((b"", b""));
        let exact = hosts.exact.host(split.host).iter().map(|&id| (id, &b""[..]));
        let wildcard = hosts.wildcard.host(parent).iter().map(move |&id| (id, label));
        let split = *split;
        exact.chain(wildcard).filter_map(move |(id, label)| {
            let (from, to) = (self.place(AppId(id), towards.other()), self.place(AppId(id), towards));
            from.serves(&split).then_some(Hit { app: AppId(id), from, to, label })
        })
    }
}

/// Splits off the label a wildcard leaves free. `*` itself passes, for source lists.
pub(crate) fn wild(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = host.iter().position(|&byte| byte == b'.')?;
    let (label, parent) = host.split_at_checked(dot)?;
    let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let free = label == b"*" || (plain && !label.is_empty());
    if free { Some((label, parent.get(1..)?)) } else { None }
}

/// Whether a path needs no mapping: both sides have the same one, or the path is already below the
/// longer one. An app published at `/docs/` that writes `/docs/x` knows where it is.
pub(crate) fn stays(path: &[u8], from: &Place, to: &Place) -> bool {
    from.path == to.path || (to.path.starts_with(&from.path) && below(path, &to.path).is_some())
}
