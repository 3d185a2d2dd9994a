//! Field values of real applications, as the apps of this table send and receive them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use abi::{apply, borrowed};
use header_translation::{Current, config, translate_request, translate_response};

const APPS: &str = r#"{"apps":[
    {"name":"intranet","external":"https://intranet.example.com/","internal":"http://intranet.corp/"},
    {"name":"wiki","external":"https://app.example/docs/","internal":"http://10.0.0.1:3000/wiki/"},
    {"name":"plain","external":"http://plain.example/","internal":"https://plain.corp/"},
    {"name":"teams","external":"https://*.teams.example/","internal":"http://*.teams.corp/"},
    {"name":"moved","external":"https://moved.example/m/","internal":"http://moved.corp/"}
]}"#;

fn translated(response: bool, app: &str, name: &str, values: &[&str]) -> Vec<String> {
    let table = config::table(APPS.as_bytes()).unwrap();
    let label: &[u8] = if app == "teams" { b"red" } else { b"" };
    let current = Current { app: table.app(app.as_bytes()), label };
    let mut list = vec![(b"x-first".to_vec(), b"1".to_vec())];
    list.extend(values.iter().map(|value| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
    let edits = match response {
        true => translate_response(&table, current, borrowed(&list)),
        false => translate_request(&table, current, borrowed(&list)),
    };
    let mut list = list.clone();
    apply(&edits, &mut list);
    let text = |field: &(Vec<u8>, Vec<u8>)| String::from_utf8(field.1.clone()).unwrap();
    list.iter().filter(|field| field.0 == name.as_bytes()).map(text).collect()
}

fn check(response: bool, rows: &[(&str, &str, &str, &str)]) {
    for (app, name, value, expected) in rows {
        assert_eq!(translated(response, app, name, &[value]), [expected.to_string()], "{app}: {name}: {value}");
    }
}

#[test]
fn requests_become_internal() {
    check(
        false,
        &[
            ("wiki", "origin", "https://app.example", "http://10.0.0.1:3000"),
            ("intranet", "origin", "null", "null"),
            ("intranet", "origin", "https://evil.example", "https://evil.example"),
            ("wiki", "referer", "https://app.example/docs/p?q", "http://10.0.0.1:3000/wiki/p?q"),
            ("wiki", "referer", "https://intranet.example.com/x", "http://intranet.corp/x"),
            ("wiki", "referer", "https://app.example.evil/docs/p", "https://app.example.evil/docs/p"),
            ("wiki", "destination", "https://app.example/docs/b", "http://10.0.0.1:3000/wiki/b"),
            ("wiki", "destination", "/docs/b", "/wiki/b"),
            ("teams", "referer", "https://blue.teams.example/", "http://blue.teams.corp/"),
            (
                "wiki",
                "if",
                "<https://app.example/docs/a> (<urn:uuid:1> [\"(\\\"\"]) </docs/b> (Not <https://app.example/docs/c>)",
                "<http://10.0.0.1:3000/wiki/a> (<urn:uuid:1> [\"(\\\"\"]) </wiki/b> (Not <https://app.example/docs/c>)",
            ),
            ("wiki", "x-other", "https://app.example/docs/", "https://app.example/docs/"),
        ],
    );
}

#[test]
fn responses_become_external() {
    check(
        true,
        &[
            (
                "wiki",
                "location",
                "http://10.0.0.1:3000/wiki/login?next=/wiki/",
                "https://app.example/docs/login?next=/wiki/",
            ),
            ("wiki", "location", "/wiki/login", "/docs/login"),
            ("intranet", "location", "/login", "/login"),
            ("intranet", "location", "login", "login"),
            ("intranet", "location", "//intranet.corp/", "//intranet.example.com/"),
            ("intranet", "location", "https://intranet.example.com/a", "https://intranet.example.com/a"),
            ("intranet", "location", "", ""),
            ("intranet", "content-location", "http://intranet.corp/a.en", "https://intranet.example.com/a.en"),
            ("intranet", "sourcemap", "http://intranet.corp/a.map", "https://intranet.example.com/a.map"),
            ("moved", "service-worker-allowed", "/", "/m/"),
            ("intranet", "refresh", "0; url=http://intranet.corp/a", "0; url=https://intranet.example.com/a"),
            ("intranet", "refresh", "5;URL = 'http://intranet.corp/a' x", "5;URL = 'https://intranet.example.com/a' x"),
            ("intranet", "refresh", "1.5,http://intranet.corp/", "1.5,https://intranet.example.com/"),
            ("intranet", "refresh", "5", "5"),
            ("intranet", "refresh", "5url=http://intranet.corp/", "5url=http://intranet.corp/"),
            ("moved", "refresh", "3; url=/x", "3; url=/m/x"),
            (
                "intranet",
                "link",
                "<http://intranet.corp/a,b>; rel=\"next, <http://intranet.corp/>\", <//intranet.corp/c>; rel=preload, </d>",
                "<https://intranet.example.com/a,b>; rel=\"next, <http://intranet.corp/>\", <//intranet.example.com/c>; rel=preload, </d>",
            ),
            ("intranet", "link", "<http://intranet.corp/", "<http://intranet.corp/"),
            ("intranet", "access-control-allow-origin", "http://intranet.corp", "https://intranet.example.com"),
            ("intranet", "access-control-allow-origin", "*", "*"),
            ("wiki", "access-control-allow-origin", "http://10.0.0.1:3000", "https://app.example"),
            ("wiki", "timing-allow-origin", "http://intranet.corp, http://x", "https://intranet.example.com, http://x"),
            (
                "intranet",
                "x-frame-options",
                "ALLOW-FROM http://intranet.corp/",
                "ALLOW-FROM https://intranet.example.com/",
            ),
            ("intranet", "x-frame-options", "SAMEORIGIN", "SAMEORIGIN"),
            (
                "intranet",
                "report-to",
                r#"{"group":"x","endpoints":[{"url":"http:\/\/intranet.corp\/r"},{"url":"http://other/\"http://intranet.corp/"}]}"#,
                r#"{"group":"x","endpoints":[{"url":"https://intranet.example.com/r"},{"url":"http://other/\"http://intranet.corp/"}]}"#,
            ),
            (
                "intranet",
                "reporting-endpoints",
                "a=\"http://intranet.corp/r\", b=\"/r\"",
                "a=\"https://intranet.example.com/r\", b=\"/r\"",
            ),
            (
                "intranet",
                "permissions-policy",
                "camera=(self \"http://intranet.corp\")",
                "camera=(self \"https://intranet.example.com\")",
            ),
            ("intranet", "clear-site-data", "\"http://intranet.corp\"", "\"http://intranet.corp\""),
        ],
    );
}

#[test]
fn policies_keep_their_shape() {
    for name in ["content-security-policy", "content-security-policy-report-only"] {
        for (app, value, expected) in [
            (
                "intranet",
                "default-src 'self' http://intranet.corp; script-src intranet.corp *.intranet.corp 'nonce-x' https: *",
                "default-src 'self' https://intranet.example.com; script-src intranet.example.com *.intranet.corp 'nonce-x' https: *",
            ),
            ("intranet", "connect-src ws://intranet.corp/s", "connect-src wss://intranet.example.com/s"),
            ("plain", "img-src intranet.corp", "img-src https://intranet.example.com"),
            ("wiki", "img-src 10.0.0.1:3000 10.0.0.1:3000/wiki/a/", "img-src app.example app.example/docs/a/"),
            ("wiki", "img-src http://10.0.0.1:3000", "img-src https://app.example"),
            ("wiki", "img-src http://10.0.0.1:*", "img-src https://app.example:*"),
            ("wiki", "img-src http://10.0.0.1:3001 10.0.0.1", "img-src http://10.0.0.1:3001 10.0.0.1"),
            (
                "wiki",
                "report-uri /wiki/csp http://intranet.corp/r",
                "report-uri /docs/csp https://intranet.example.com/r",
            ),
            (
                "teams",
                "frame-ancestors *.teams.corp http://*.teams.corp",
                "frame-ancestors *.teams.example https://*.teams.example",
            ),
            ("intranet", "report-to intranet.corp; sandbox", "report-to intranet.corp; sandbox"),
            (
                "plain",
                "img-src *.corp",
                "img-src *.corp https://intranet.example.com plain.example https://moved.example",
            ),
            (
                "intranet",
                "img-src http://*.corp a",
                "img-src http://*.corp https://intranet.example.com https://moved.example a",
            ),
            (
                "intranet",
                "img-src https://*.corp; font-src *.corp:81",
                "img-src https://*.corp http://plain.example; font-src *.corp:81",
            ),
            (
                "intranet",
                "img-src intranet.corp.evil intranet.corp@evil",
                "img-src intranet.corp.evil intranet.corp@evil",
            ),
            (
                "intranet",
                "img-src data:, a http://intranet.corp,;;",
                "img-src data:, a https://intranet.example.com,;;",
            ),
        ] {
            assert_eq!(translated(true, app, name, &[value]), [expected], "{app}: {value}");
        }
    }
}

#[test]
fn cookies_arrive_at_the_external_url() {
    check(
        true,
        &[
            ("intranet", "set-cookie", "a=b", "a=b"),
            ("intranet", "set-cookie", "", ""),
            ("intranet", "set-cookie", "a=b; Path=/x; HttpOnly; Max-Age=3", "a=b; Path=/x; HttpOnly; Max-Age=3"),
            ("intranet", "set-cookie", "a=b; Domain=intranet.corp; Path=/", "a=b; Path=/"),
            ("intranet", "set-cookie", "a=b;domain = .INTRANET.corp. ;path=/", "a=b;path=/"),
            ("intranet", "set-cookie", "a=b; Domain=corp", "a=b"),
            ("intranet", "set-cookie", "a=b; Domain=ranet.corp", "a=b; Domain=ranet.corp"),
            ("intranet", "set-cookie", "a=b; Domain=example.com", "a=b; Domain=example.com"),
            ("intranet", "set-cookie", "a=b; Domain=evil", "a=b; Domain=evil"),
            ("intranet", "set-cookie", "a=b; Domain=", "a=b; Domain="),
            ("wiki", "set-cookie", "a=b; Domain=10.0.0.1; Path=/wiki", "a=b; Path=/docs"),
            ("wiki", "set-cookie", "a=b; Path=/wiki/x/; SameSite=Lax ", "a=b; Path=/docs/x/; SameSite=Lax "),
            ("wiki", "set-cookie", "a=b; Path=/", "a=b; Path=/docs/"),
            ("wiki", "set-cookie", "a=b; Path=/wikis", "a=b; Path=/wikis"),
            ("wiki", "set-cookie", "__Host-a=b; Path=/; Secure; Domain=10.0.0.1", "__Host-a=b; Path=/; Secure"),
            ("wiki", "set-cookie", "__host-a=b; Path=/", "__host-a=b; Path=/; Secure"),
            ("moved", "set-cookie", "a=b; Path=/", "a=b; Path=/m/"),
            ("intranet", "set-cookie", "a=b; SameSite=None", "a=b; SameSite=None; Secure"),
            ("intranet", "set-cookie", "a=b; SameSite= none ; secure", "a=b; SameSite= none ; secure"),
            ("intranet", "set-cookie", "__Secure-a=b", "__Secure-a=b; Secure"),
            ("plain", "set-cookie", "a=b; Secure; HttpOnly", "a=b; HttpOnly"),
            ("plain", "set-cookie", "a=b; Secure; SameSite=None", "a=b; Secure; SameSite=None"),
            ("plain", "set-cookie", "__Secure-a=b; Secure", "__Secure-a=b; Secure"),
            ("teams", "set-cookie", "a=b; Domain=.teams.corp", "a=b; Domain=teams.example"),
            ("teams", "set-cookie", "a=b; Domain=red.teams.corp", "a=b"),
            ("teams", "set-cookie", "a=b; Domain=blue.teams.corp", "a=b; Domain=blue.teams.corp"),
            ("teams", "set-cookie", "a=b; Domain=corp", "a=b"),
            ("unknown", "set-cookie", "a=b; Domain=intranet.corp", "a=b; Domain=intranet.corp"),
            ("intranet", "set-cookie", ";Domain=intranet.corp", ";Domain=intranet.corp"),
        ],
    );
}

#[test]
fn several_fields_keep_their_order_and_number() {
    let cookies = ["a=1", "b=2; Domain=intranet.corp", "", "c=3"];
    assert_eq!(translated(true, "intranet", "set-cookie", &cookies), ["a=1", "b=2", "", "c=3"]);
    let unchanged = ["a=1", "b=2"];
    assert_eq!(translated(true, "intranet", "set-cookie", &unchanged), unchanged);
}

#[test]
fn alternative_services_are_not_advertised() {
    assert!(translated(true, "intranet", "alt-svc", &["h3=\":443\"", "h2=\"x\""]).is_empty());
}
