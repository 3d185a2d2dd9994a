//! The table against a slow, obvious one: every app is tried in turn, and URLs come in parts, so
//! that the reference needs no parser.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use origins::{AppUrls, Side, Table};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Url {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn text(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let default = if self.secure { 443 } else { 80 };
        let port = if self.port == default { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}{}", self.host, self.path)
    }
}

#[derive(Clone, Debug)]
struct App {
    external: Url,
    internal: Url,
}

/// External hosts and internal ones never meet, as long as nobody publishes in circles.
fn url(hosts: &'static [&'static str]) -> impl Strategy<Value = Url> {
    let path = prop::sample::select(vec!["/", "/a/", "/a/b/", "/c/"]);
    let port = prop::sample::select(vec![80, 443, 3000]);
    (any::<bool>(), prop::sample::select(hosts), port, path).prop_map(|(secure, host, port, path)| Url {
        secure,
        host: host.into(),
        port,
        path: path.into(),
    })
}

fn apps() -> impl Strategy<Value = Vec<App>> {
    let app = (url(&["x.example", "y.example"]), url(&["int.corp", "b.int.corp", "10.0.0.1"]));
    prop::collection::vec(app.prop_map(|(external, internal)| App { external, internal }), 1..6)
}

fn visited() -> impl Strategy<Value = Url> {
    let hosts = &["int.corp", "b.int.corp", "10.0.0.1", "int.corp.evil", "evil-int.corp", "x.example"];
    let path = prop::sample::select(vec!["/", "/a/", "/a/x", "/ab/x", "/a/b/x?http://int.corp/", "/c/#y", "/d"]);
    (url(hosts), path).prop_map(|(url, path)| Url { path: path.into(), ..url })
}

fn built(apps: &[App]) -> Table {
    let texts: Vec<_> =
        (0..).zip(apps).map(|(i, app): (u16, _)| (i.to_string(), app.external.text(), app.internal.text())).collect();
    let rows: Vec<_> = texts.iter().map(|(name, external, internal)| AppUrls { name, external, internal }).collect();
    Table::new(&rows).unwrap()
}

fn reference(apps: &[App], towards: Side, current: usize, url: &Url) -> Option<String> {
    let sides = |app: &App| match towards {
        Side::External => (app.internal.clone(), app.external.clone()),
        Side::Internal => (app.external.clone(), app.internal.clone()),
    };
    let mut best: Option<(bool, usize, Url)> = None;
    for (i, app) in apps.iter().enumerate() {
        let (from, mut to) = sides(app);
        let same = from.secure == url.secure && from.host == url.host && from.port == url.port;
        let Some(tail) = url.path.strip_prefix(&from.path).filter(|_| same) else { continue };
        let preferred = towards == Side::External && i == current;
        let better = best.as_ref().is_none_or(|best| (preferred, from.path.len()) > (best.0, best.1));
        if better {
            to.path.push_str(tail);
            best = Some((preferred, from.path.len(), to));
        }
    }
    best.map(|best| best.2.text())
}

fn map(table: &Table, towards: Side, current: usize, url: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    table.map_url(towards, table.app(current.to_string().as_bytes()), url, &mut out).then_some(out)
}

proptest! {
    #[test]
    fn the_table_agrees_with_the_reference(apps in apps(), url in visited(), current in 0..6_usize, out: bool) {
        let towards = if out { Side::External } else { Side::Internal };
        let mapped = map(&built(&apps), towards, current, url.text().as_bytes());
        let expected = reference(&apps, towards, current, &url).map(String::into_bytes);
        prop_assert_eq!(mapped, expected);
    }

    #[test]
    fn mapped_once_is_mapped_for_good(apps in apps(), url in visited(), current in 0..6_usize) {
        let table = built(&apps);
        if let Some(mapped) = map(&table, Side::External, current, url.text().as_bytes()) {
            prop_assert_eq!(map(&table, Side::External, current, &mapped), None);
        }
    }

    #[test]
    fn there_and_back_is_where_it_was(external in url(&["x.example"]), internal in url(&["int.corp"]), tail in "[a-z/?#]{0,8}") {
        let table = built(&[App { external, internal: internal.clone() }]);
        let url = internal.text() + &tail;
        let there = map(&table, Side::External, 0, url.as_bytes()).unwrap();
        let back = map(&table, Side::Internal, 0, &there).unwrap();
        prop_assert_eq!(back, url.as_bytes());
    }

    #[test]
    fn decorated_origins_are_other_origins(apps in apps(), url in visited(), what in "[-.a-z0-9@%_]{1,5}") {
        let table = built(&apps);
        let text = url.text();
        let (scheme, rest) = text.split_once("://").unwrap();
        let before = format!("{scheme}://{what}{rest}");
        let host_end = scheme.len() + 3 + url.host.len();
        let after = format!("{}.{what}.{}", &text[..host_end], &text[host_end..]);
        for decorated in [before, after] {
            let host = decorated.split("://").nth(1).unwrap().split(['/', ':', '?', '#']).next().unwrap();
            if apps.iter().all(|app| app.internal.host != host.trim_end_matches('.')) {
                prop_assert_eq!(map(&table, Side::External, 0, decorated.as_bytes()), None, "{}", decorated);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(apps in apps(), url: Vec<u8>, junk in "[a-z:/\\\\@.\\[\\]?#*0-9]{0,24}") {
        let table = built(&apps);
        for towards in [Side::External, Side::Internal] {
            map(&table, towards, 0, &url);
            map(&table, towards, 0, junk.as_bytes());
            table.map_origin(towards, None, &url, &mut Vec::new());
        }
    }
}
