//! The table against values real applications send, in both directions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use origins::{AppUrls, Side, Table};

fn app<'a>(name: &'a str, external: &'a str, internal: &'a str) -> AppUrls<'a> {
    AppUrls { name, external, internal }
}

fn table() -> Table {
    Table::new(&[
        app("intranet", "https://intranet.example.com/", "http://intranet.corp/"),
        app("wiki", "https://app.example/docs/", "http://10.0.0.1:3000/wiki/"),
        app("all", "https://all.example/", "http://10.0.0.1:3000/"),
        app("plain", "http://plain.example:8080/", "https://plain.corp/"),
        app("teams", "https://*.teams.example/", "http://*.teams.corp/"),
        app("ops", "https://ops.example/", "http://ops.teams.corp/"),
        app("moved", "https://moved.example/docs/", "http://moved.corp/"),
        app("split", "https://split.example/docs/", "https://split.example/"),
        app("six", "https://six.example/", "http://[fd00::1]:8080/"),
    ])
    .unwrap()
}

fn map(towards: Side, current: &str, url: &str) -> Option<String> {
    let table = table();
    let mut out = Vec::new();
    let mapped = table.map_url(towards, table.app(current.as_bytes()), url.as_bytes(), &mut out);
    assert_eq!(mapped, !out.is_empty(), "{url}");
    mapped.then(|| String::from_utf8(out).unwrap())
}

#[test]
fn internal_becomes_external() {
    for (current, url, expected) in [
        ("intranet", "http://intranet.corp/x?y#z", "https://intranet.example.com/x?y#z"),
        ("intranet", "http://intranet.corp", "https://intranet.example.com"),
        ("intranet", "http://intranet.corp?q", "https://intranet.example.com?q"),
        ("intranet", "HTTP://Intranet.CORP:80/X", "https://intranet.example.com/X"),
        ("intranet", "http://intranet.corp./x", "https://intranet.example.com/x"),
        ("intranet", "http://intranet.corp:/x", "https://intranet.example.com/x"),
        ("intranet", "//intranet.corp/x", "//intranet.example.com/x"),
        ("intranet", "\\\\intranet.corp\\x", "//intranet.example.com/x"),
        ("plain", "//intranet.corp/x", "https://intranet.example.com/x"),
        ("nobody", "//intranet.corp/x", "https://intranet.example.com/x"),
        ("intranet", " http:\\\\intranet.corp\\x ", "https://intranet.example.com/x"),
        ("intranet", "ht\ntp://intra\tnet.corp/x", "https://intranet.example.com/x"),
        ("intranet", "ws://intranet.corp/s", "wss://intranet.example.com/s"),
        ("plain", "wss://plain.corp/s", "ws://plain.example:8080/s"),
        ("plain", "https://plain.corp:443/", "http://plain.example:8080/"),
        ("intranet", "http://10.0.0.1:3000/wiki/p", "https://app.example/docs/p"),
        ("wiki", "http://10.0.0.1:3000/wiki/p", "https://app.example/docs/p"),
        ("all", "http://10.0.0.1:3000/wiki/p", "https://all.example/wiki/p"),
        ("wiki", "http://10.0.0.1:3000/other", "https://all.example/other"),
        ("wiki", "http://10.0.0.1:3000/wiki", "https://app.example/docs"),
        ("wiki", "http://10.0.0.1:3000/wiki?q", "https://app.example/docs?q"),
        ("wiki", "http://10.0.0.1:3000/wikis", "https://all.example/wikis"),
        ("wiki", "http://10.0.0.1:3000\\wiki\\p", "https://app.example/docs/p"),
        ("wiki", "/wiki/p", "/docs/p"),
        ("wiki", "/wiki", "/docs"),
        ("moved", "/x", "/docs/x"),
        ("moved", "http://moved.corp", "https://moved.example/docs/"),
        ("moved", "http://moved.corp/docs/x", "https://moved.example/docs/docs/x"),
        ("split", "https://split.example/x", "https://split.example/docs/x"),
        ("teams", "http://red.teams.corp/x", "https://red.teams.example/x"),
        ("teams", "http://ops.teams.corp/x", "https://ops.example/x"),
        ("six", "http://[FD00::1]:8080/x", "https://six.example/x"),
    ] {
        assert_eq!(map(Side::External, current, url).as_deref(), Some(expected), "{current}: {url}");
    }
}

#[test]
fn external_becomes_internal() {
    for (current, url, expected) in [
        ("intranet", "https://intranet.example.com/x", "http://intranet.corp/x"),
        ("wiki", "https://app.example/docs/p?q", "http://10.0.0.1:3000/wiki/p?q"),
        ("all", "https://all.example/wiki/p", "http://10.0.0.1:3000/wiki/p"),
        ("plain", "http://plain.example:8080/", "https://plain.corp/"),
        ("plain", "ws://plain.example:8080/", "wss://plain.corp/"),
        ("teams", "https://Red.Teams.Example/x", "http://Red.teams.corp/x"),
        ("wiki", "/docs/a", "/wiki/a"),
        ("moved", "/docs", "/"),
        ("split", "https://split.example/docs/x", "https://split.example/x"),
    ] {
        assert_eq!(map(Side::Internal, current, url).as_deref(), Some(expected), "{current}: {url}");
    }
}

#[test]
fn everything_else_is_untouched() {
    for (current, url) in [
        ("intranet", "http://intranet.corp.evil/"),
        ("intranet", "http://intranet.corp@evil/"),
        ("intranet", "http://user:pass@intranet.corp/"),
        ("intranet", "http://intranet.corp:3001/"),
        ("intranet", "https://intranet.corp/"),
        ("intranet", "http://intranet.corp:443/"),
        ("intranet", "http://evil/http://intranet.corp/"),
        ("intranet", "http://evil/?u=http://intranet.corp/"),
        ("intranet", "http://xintranet.corp/"),
        ("intranet", "http://intra%6eet.corp/"),
        ("intranet", "https://intranet.example.com/"),
        ("intranet", "/x"),
        ("intranet", "x/y"),
        ("intranet", "?http://intranet.corp/"),
        ("intranet", "intranet.corp/x"),
        ("intranet", "http:intranet.corp/x"),
        ("intranet", "http:/intranet.corp/x"),
        ("intranet", "mailto:x@intranet.corp"),
        ("intranet", "data:text/html,http://intranet.corp/"),
        ("intranet", "javascript:location='http://intranet.corp/'"),
        ("intranet", "blob:http://intranet.corp/1"),
        ("intranet", ""),
        ("wiki", "/wikis"),
        ("wiki", "/docs/p"),
        ("moved", "/docs/x"),
        ("nobody", "/wiki/x"),
        ("split", "https://split.example/docs/x"),
        ("teams", "http://a.b.teams.corp/"),
        ("teams", "http://teams.corp/"),
        ("teams", "http://%41.teams.corp/"),
        ("teams", "http://.teams.corp/"),
    ] {
        assert_eq!(map(Side::External, current, url), None, "{current}: {url}");
    }
}

#[test]
fn origins_belong_to_the_current_app() {
    let table = table();
    let origin = |towards, current: &str, url: &str| {
        let mut out = Vec::new();
        let mapped = table.map_origin(towards, table.app(current.as_bytes()), url.as_bytes(), &mut out);
        mapped.then(|| String::from_utf8(out).unwrap())
    };
    for (towards, current, url, expected) in [
        (Side::Internal, "wiki", "https://app.example", Some("http://10.0.0.1:3000")),
        (Side::External, "wiki", "http://10.0.0.1:3000", Some("https://app.example")),
        (Side::External, "all", "http://10.0.0.1:3000/", Some("https://all.example/")),
        (Side::External, "six", "http://10.0.0.1:3000", Some("https://all.example")),
        (Side::External, "teams", "http://a.teams.corp", Some("https://a.teams.example")),
        (Side::External, "split", "https://split.example", None),
        (Side::Internal, "wiki", "null", None),
        (Side::Internal, "wiki", "https://app.example/docs/", None),
        (Side::Internal, "wiki", "https://app.example.evil", None),
    ] {
        assert_eq!(origin(towards, current, url).as_deref(), expected, "{current}: {url}");
    }
}

#[test]
fn the_free_label_is_read_from_either_side() {
    let table = table();
    for (app, authority, expected) in [
        ("teams", "red.teams.example", "red"),
        ("teams", "Red.Teams.Example:443", "Red"),
        ("teams", "blue.teams.corp", "blue"),
        ("teams", "a.b.teams.corp", ""),
        ("wiki", "app.example", ""),
    ] {
        let label = table.label(table.app(app.as_bytes()).unwrap(), authority.as_bytes());
        assert_eq!(label, expected.as_bytes(), "{authority}");
    }
}

#[test]
fn a_refused_table_says_which_app_and_why() {
    for (external, internal, expected) in [
        ("https://a/", "http://b", "app `x`: `internal` = \"http://b\": its path must begin and end with `/`"),
        ("https://a/", "b", "app `x`: `internal` = \"b\": must look like"),
        ("ws://a/", "http://b/", "app `x`: `external` = \"ws://a/\": must begin with http:// or https://"),
        ("https://u@a/", "http://b/", "app `x`: `external` = \"https://u@a/\": must look like"),
        ("https://a/?q/", "http://b/", "app `x`: `external` = \"https://a/?q/\": its path must be plain"),
        ("https://a:0/", "http://b/", "app `x`: `external` = \"https://a:0/\": port 0"),
        ("https://b\u{fc}cher/", "http://b/", "app `x`: `external` = \"https://bücher/\": its host must be ASCII"),
        ("https://a.*.b/", "http://b/", "app `x`: `external` = \"https://a.*.b/\": its host must be ASCII"),
        ("https://*.a/", "http://b/", "app `x`: `external` and `internal` must both"),
    ] {
        let refused = Table::new(&[app("x", external, internal)]).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    let twice = [app("x", "https://a/", "http://b/"), app("x", "https://c/", "http://d/")];
    assert_eq!(Table::new(&twice).unwrap_err().to_string(), "app `x`: the name is used twice");
}

#[test]
fn of_two_apps_with_one_url_the_scheme_decides() {
    let app = |name, external, internal| AppUrls { name, external, internal };
    let table = Table::new(&[
        app("a", "https://a.example/", "http://a.corp/"),
        app("a-http", "http://a.example/", "http://a.corp/"),
        app("b-http", "http://b.example/", "http://b.corp/"),
        app("b", "https://b.example/", "http://b.corp/"),
    ])
    .unwrap();
    for (current, expected) in
        [("a", "https://b.example/x"), ("a-http", "http://b.example/x"), ("", "http://b.example/x")]
    {
        let mut out = Vec::new();
        assert!(table.map_url(Side::External, table.app(current.as_bytes()), b"http://b.corp/x", &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{current}");
        let mut out = Vec::new();
        assert!(table.map_origin(Side::External, table.app(current.as_bytes()), b"http://b.corp", &mut out));
        let origin = expected.trim_end_matches("/x");
        assert!(current.is_empty() || String::from_utf8(out).unwrap() == origin, "{current}");
    }
}
