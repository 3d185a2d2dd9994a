//! Room 2: host and path to app.
//!
//! ```text
//!   scheme ─▶ host, else *.parent ─▶ longest path on a segment border ─▶ app
//! ```
//!
//! A path is matched in its normal form; where a more liberal reading of it would lead to another
//! app, the request is refused. The room refuses to know what an app is: it maps places to values.

use std::collections::HashMap;
use std::sync::Arc;

use crate::http::path::Normal;
use crate::http::{Authority, Scheme};

/// Where a value is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Which listener.
    pub scheme: Scheme,
    /// The host, lower case; for a wildcard the part after `*.`.
    pub host: String,
    /// One label before `host` is free.
    pub wildcard: bool,
    /// The port of the external URL.
    pub port: u16,
    /// The published path, beginning and ending in a slash.
    pub path: String,
}

/// All published places.
pub struct Table<T> {
    exact: [HashMap<Box<str>, Vec<Entry<T>>>; 2],
    wildcard: [HashMap<Box<str>, Vec<Entry<T>>>; 2],
}

struct Entry<T> {
    port: u16,
    path: Box<str>,
    value: Arc<T>,
}

/// What a place leads to.
#[derive(Debug)]
pub enum Outcome<'a, T> {
    /// This app; with the first label of the host when it was free.
    Found(&'a Arc<T>, Option<&'a str>),
    /// The path of an app without its final slash.
    MissingSlash,
    /// Nothing.
    NotPublished,
    /// Two readings of the path lead to different places.
    Disputed,
}

impl<T> Table<T> {
    /// A table of `entries`; of two at the same place the first wins (the configuration refuses
    /// such a pair).
    pub fn new(entries: impl IntoIterator<Item = (Published, Arc<T>)>) -> Self {
        let mut table = Self { exact: Default::default(), wildcard: Default::default() };
        for (place, value) in entries {
            let maps = if place.wildcard { &mut table.wildcard } else { &mut table.exact };
            let entry = Entry { port: place.port, path: place.path.into(), value };
            maps[place.scheme as usize].entry(place.host.into()).or_default().push(entry);
        }
        for entries in table.exact.iter_mut().chain(&mut table.wildcard).flat_map(HashMap::values_mut) {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.path.len()));
        }
        table
    }

    /// Finds the app for a request.
    #[must_use]
    pub fn find<'a>(&'a self, scheme: Scheme, authority: &'a Authority, path: &Normal) -> Outcome<'a, T> {
        let normal = self.look_up(scheme, authority, path.target.path());
        let Some(judged) = &path.judged else { return normal };
        match (&normal, self.look_up(scheme, authority, judged)) {
            (Outcome::Found(one, _), Outcome::Found(other, _)) if Arc::ptr_eq(one, other) => normal,
            (Outcome::NotPublished, Outcome::NotPublished) => normal,
            _ => Outcome::Disputed,
        }
    }

    fn look_up<'a>(&'a self, scheme: Scheme, authority: &'a Authority, path: &str) -> Outcome<'a, T> {
        let host = authority.host();
        let port = authority.effective_port(scheme);
        if let Some(entries) = self.exact[scheme as usize].get(host) {
            match match_path(entries, port, path) {
                Outcome::Found(value, _) => return Outcome::Found(value, None),
                Outcome::MissingSlash => return Outcome::MissingSlash,
                _ => {}
            }
        }
        let Some((label, parent)) = host.split_once('.') else { return Outcome::NotPublished };
        match self.wildcard[scheme as usize].get(parent) {
            None => Outcome::NotPublished,
            Some(entries) => match match_path(entries, port, path) {
                Outcome::Found(value, _) => Outcome::Found(value, Some(label)),
                other => other,
            },
        }
    }
}

/// The longest published path that `path` lies in, an entry of the very port first.
fn match_path<'a, T>(entries: &'a [Entry<T>], port: u16, path: &str) -> Outcome<'a, T> {
    let inside = |entry: &&Entry<T>| path.starts_with(&*entry.path);
    let found = entries
        .iter()
        .filter(|entry| entry.port == port)
        .find(inside)
        // A port that differs is a port forwarded on the way; it names no other place.
        .or_else(|| entries.iter().find(inside));
    // A published path without its slash is that app's, not one's that lies around it.
    let slashless = entries.iter().find(|entry| entry.path.strip_suffix('/') == Some(path));
    match (found, slashless) {
        (Some(found), Some(slashless)) if slashless.path.len() > found.path.len() => Outcome::MissingSlash,
        (Some(found), _) => Outcome::Found(&found.value, None),
        (None, Some(_)) => Outcome::MissingSlash,
        (None, None) => Outcome::NotPublished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::normalise;
    use bytes::Bytes;

    fn table(places: &[&'static str]) -> Table<&'static str> {
        Table::new(places.iter().map(|&place| {
            let (host, path) = place.split_once('/').expect("a place has a path");
            let (host, port) = host.split_once(':').unwrap_or((host, "443"));
            let wildcard = host.starts_with("*.");
            let published = Published {
                scheme: Scheme::Https,
                host: host.trim_start_matches("*.").to_owned(),
                wildcard,
                port: port.parse().expect("a port"),
                path: format!("/{path}"),
            };
            (published, Arc::new(place))
        }))
    }

    fn find(table: &Table<&'static str>, place: &str) -> String {
        let (host, path) = place.split_once('/').expect("a place has a path");
        let authority = Authority::parse(&Bytes::copy_from_slice(host.as_bytes())).expect("a host");
        let Ok(normal) = normalise(&Bytes::from(format!("/{path}"))) else { return "refused".into() };
        match table.find(Scheme::Https, &authority, &normal) {
            Outcome::Found(value, label) => format!("{value}{}", label.map(|l| format!(" [{l}]")).unwrap_or_default()),
            Outcome::MissingSlash => "slash".into(),
            Outcome::NotPublished => "none".into(),
            Outcome::Disputed => "disputed".into(),
        }
    }

    #[test]
    fn the_most_specific_place_wins() {
        let table = table(&[
            "a.test/",
            "a.test/hr/",
            "a.test/hr/pay/",
            "*.w.test/",
            "x.w.test/",
            "b.test/only/",
            "p.test:8443/",
            "p.test:9443/",
        ]);
        for (place, app) in [
            ("a.test/", "a.test/"),
            ("a.test/hr/x", "a.test/hr/"),
            ("a.test/hrx", "a.test/"),
            ("a.test/hr/pay/1?x=/..", "a.test/hr/pay/"),
            ("a.test:8443/hr/", "a.test/hr/"),
            ("y.w.test/z", "*.w.test/ [y]"),
            ("x.w.test/z", "x.w.test/"),
            ("a.b.w.test/", "none"),
            ("w.test/", "none"),
            ("b.test/", "none"),
            ("b.test/only", "slash"),
            ("a.test/hr", "slash"),
            ("a.test/hr/pay", "slash"),
            ("b.test/only/x", "b.test/only/"),
            ("b.test/onlyx", "none"),
            ("c.test/", "none"),
            ("p.test:9443/", "p.test:9443/"),
            ("p.test:8443/", "p.test:8443/"),
        ] {
            assert_eq!(find(&table, place), app, "{place}");
        }
    }

    #[test]
    fn a_path_cannot_escape_or_be_read_two_ways() {
        let table = table(&["a.test/", "a.test/hr/", "b.test/only/"]);
        for (place, outcome) in [
            ("a.test/hr/../x", "a.test/"),
            ("a.test/hr%2fx", "disputed"),
            ("a.test/hr;v=1/x", "disputed"),
            ("a.test//hr/x", "a.test/hr/"),
            ("a.test/hr//x", "a.test/hr/"),
            ("a.test/hr/a%2Fb", "a.test/hr/"),
            ("a.test/x%2fy", "a.test/"),
            ("b.test/only/../secret", "none"),
            ("b.test/only/%2e%2e/secret", "none"),
            ("b.test/only/..%2fsecret", "refused"),
            ("b.test/only/..;/secret", "refused"),
            ("b.test/x/..%5conly/", "refused"),
            ("b.test/..", "refused"),
            ("b.test/x//../only/", "none"),
        ] {
            assert_eq!(find(&table, place), outcome, "{place}");
        }
    }
}
