//! The rules between settings of an edge: no single setting can break them.
//!
//! Refuses to speak of a setting that is bad by itself, so that one mistake is told once.

use std::collections::BTreeMap;

use url::Url;

use super::app::{AppSettings, BackendProtocol};
use super::edge::{EdgeConfig, LimitSettings, Listen};
use super::error::{Findings, Wrong, cited, nearest};
use super::filter::FilterSettings;
use super::published_url::{PublishedUrl, Scheme};

/// Records what the settings of an edge break together.
pub(super) fn check_edge(config: &EdgeConfig, text: &str, findings: &mut Findings) {
    check_listen(&config.listen, findings);
    check_limits(&config.limits, findings);
    for (index, app) in config.apps.iter().enumerate() {
        check_app(app, &format!("app[{index}]"), findings);
    }
    for (name, filter) in &config.filters {
        check_filter(filter, &format!("filter.{name}"), findings);
    }
    check_chains(config, findings);
    let names = config.apps.iter().map(|app| app.name.clone());
    check_unique("name", names, text, findings);
    let urls = config.apps.iter().map(|app| app.external_url.to_string());
    check_unique("external_url", urls, text, findings);
}

fn check_listen(listen: &Listen, findings: &mut Findings) {
    let addresses =
        [("listen.https", Some(listen.https)), ("listen.http", listen.http), ("listen.admin", listen.admin)];
    for (index, (key, address)) in addresses.iter().enumerate() {
        let Some(address) = address.filter(|address| address.port() != 0) else {
            continue;
        };
        if let Some((other, _)) = addresses[..index].iter().find(|(_, other)| *other == Some(address)) {
            findings.fault_between(key, other, format!("{key} and {other} are both {address}; each needs its own"));
        }
    }
}

fn check_limits(limits: &LimitSettings, findings: &mut Findings) {
    if limits.uri_bytes_max > limits.head_bytes_max {
        let reason = "uri_bytes_max exceeds head_bytes_max, of which the target is a part";
        findings.fault_between("limits.uri_bytes_max", "limits.head_bytes_max", reason);
    }
}

fn check_app(app: &AppSettings, path: &str, findings: &mut Findings) {
    let key = |name: &str| format!("{path}.{name}");
    let (external, internal, home) = (key("external_url"), key("internal_url"), key("home_url"));
    if !findings.is_sound(&external) || !findings.is_sound(&internal) {
        return;
    }
    if app.internal_url.wildcard && !app.external_url.wildcard {
        findings.fault_at(&internal, "a wildcard here needs a wildcard in external_url, which says what * is");
    }
    if let Some(page) = &app.home_url
        && findings.is_sound(&home)
        && !Url::parse(page).is_ok_and(|page| app.external_url.covers(&page))
    {
        findings.fault_at(&home, format!("is not inside external_url, {}", app.external_url));
    }
    for (name, is_set) in [
        ("translate_urls_in_scripts", app.translate_urls_in_scripts),
        ("translate_urls_in_event_streams", app.translate_urls_in_event_streams),
        ("translate_attributes", !app.translate_attributes.is_empty()),
        ("translate_also", !app.translate_also.is_empty()),
    ] {
        if is_set && !app.translate_urls_in_body {
            findings.fault_at(&key(name), "has no effect without translate_urls_in_body = true");
        }
    }
    // Said here with its place; the filter would refuse it too, when the edge is running already.
    for url in app.translate_also.iter().flat_map(|(from, to)| [from, to]) {
        if let Err(reason) = PublishedUrl::parse(url) {
            findings.fault_at(&key("translate_also"), format!("{}: {reason}", cited(url)));
        }
    }
    if app.backend_protocol == BackendProtocol::H2c && app.internal_url.scheme == Scheme::Https {
        let reason = "h2c is HTTP/2 without TLS; for https use \"auto\", which negotiates HTTP/2";
        findings.fault_at(&key("backend_protocol"), reason);
    }
}

fn check_filter(filter: &FilterSettings, path: &str, findings: &mut Findings) {
    if filter.limits.http_calls_per_stream > filter.limits.http_calls {
        let reason = "http_calls_per_stream exceeds http_calls, of which it is a part";
        let (key, other) = (format!("{path}.limits.http_calls_per_stream"), format!("{path}.limits.http_calls"));
        findings.fault_between(&key, &other, reason);
    }
}

/// Every filter that an app names must be there.
fn check_chains(config: &EdgeConfig, findings: &mut Findings) {
    for (index, app) in config.apps.iter().enumerate() {
        for (position, name) in app.filters.iter().enumerate().filter(|(_, name)| !config.filters.contains_key(*name)) {
            let reason = format!("there is no filter {}, no [filter.{name}] in this file", cited(name));
            let nearest = nearest(name, config.filters.keys().map(String::as_str));
            let wrong = Wrong { nearest, ..Wrong::new(reason) };
            findings.wrong_at(&format!("app[{index}].filters[{position}]"), wrong);
        }
    }
}

/// No two apps may have the same value of `name`; told at the later one.
fn check_unique(name: &str, values: impl Iterator<Item = String>, text: &str, findings: &mut Findings) {
    let mut first_with: BTreeMap<String, String> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let key = format!("app[{index}].{name}");
        if !findings.is_sound(&key) {
            continue;
        }
        if let Some(first) = first_with.get(&value) {
            let line = findings.line_of(first, text);
            findings.fault_at(&key, format!("{value} is already {first} on line {line}; it must be unique"));
        } else {
            first_with.insert(value, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse::parse_edge;

    const APP: &str = "[[app]]\nname = \"a\"\nexternal_url = \"https://a.test/\"\ninternal_url = \"http://a.corp/\"\n";

    fn faults(text: &str) -> Vec<String> {
        let errors = parse_edge(Path::new("f"), text).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    fn keys(text: &str) -> Vec<String> {
        faults(text).iter().filter_map(|fault| fault.split(": ").nth(1).map(str::to_owned)).collect()
    }

    #[test]
    fn rules_of_an_app_are_told_with_their_place() {
        for (more, expected) in [
            ("extenal_url = \"x\"", "f:5:1: app[0].extenal_url: unknown setting; did you mean \"external_url\"?"),
            (
                "pre_authentication = \"oidc\"",
                "f:5:22: app[0].pre_authentication: sign-in (\"oidc\") is not part of this build yet; use \"passthrough\"",
            ),
            ("home_url = \"https://b.test/\"", "f:5:12: app[0].home_url: is not inside external_url, https://a.test/"),
            (
                "translate_urls_in_scripts = true",
                "f:5:29: app[0].translate_urls_in_scripts: has no effect without translate_urls_in_body = true",
            ),
            (
                "translate_urls_in_body = true\ntranslate_also = { \"http://cdn.corp\" = \"https://cdn.test/\" }",
                "f:6:18: app[0].translate_also: \"http://cdn.corp\": the path must end in /; write \"http://cdn.corp/\"",
            ),
            ("[app.cookies]\nsecure = 1", "f:6:10: app[0].cookies.secure: expected true or false, found an integer"),
            (APP, "f:6:8: app[1].name: a is already app[0].name on line 2; it must be unique"),
        ] {
            let text = format!("{APP}{more}");
            assert_eq!(faults(&text).first().map(String::as_str), Some(expected), "{text}");
        }
        for (from, to, expected) in [
            (
                "http://a.corp/",
                "http://*.corp/",
                "f:4:16: app[0].internal_url: a wildcard here needs a wildcard in external_url, which says what * is",
            ),
            (
                "https://a.test/",
                "https://a.test",
                "f:3:16: app[0].external_url: the path must end in /; write \"https://a.test/\"",
            ),
            ("name = \"a\"", "", "f:1:1: app[0].name: required setting is missing; write for example name = \"shop\""),
            (
                "http://a.corp/\"",
                "https://a.corp/\"\nbackend_protocol = \"h2c\"",
                "f:5:20: app[0].backend_protocol: h2c is HTTP/2 without TLS; for https use \"auto\", which negotiates HTTP/2",
            ),
        ] {
            assert_eq!(faults(&APP.replace(from, to)), [expected]);
        }
        let same_place = APP.replace("\"a\"", "\"b\"").replace("https://a.test/", "HTTPS://A.test.:443/");
        let reason =
            "f:7:16: app[1].external_url: https://a.test/ is already app[0].external_url on line 3; it must be unique";
        assert_eq!(faults(&format!("{APP}{same_place}")), [reason]);
    }

    #[test]
    fn a_setting_that_is_bad_by_itself_is_not_compared() {
        let text = "[listen]\nhttps = \"x\"\nhttp = \"0.0.0.0:443\"\n[limits]\nuri_bytes_max = true\nhead_bytes_max = \"8KiB\"\n";
        assert_eq!(keys(text), ["listen.https", "limits.uri_bytes_max"]);
    }

    #[test]
    fn a_bad_element_of_a_list_does_not_shift_the_others() {
        let app = |name| format!("{{name = \"{name}\", external_url = \"https://a/\", internal_url = \"http://b/\"}}");
        let text = format!("app = [3, {},\n{}]", app("a"), app("b"));
        assert_eq!(keys(&text), ["app[0]", "app[2].external_url"]);
        assert_eq!(keys("[[app]]\n[[app]]").len(), 6, "examples stand in for what is missing and are not compared");
    }
}
