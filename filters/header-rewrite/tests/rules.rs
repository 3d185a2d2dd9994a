//! What rules do to messages.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use abi::{apply, borrowed};
use header_rewrite::{Facts, Outcome, Phase, Rules, config};
use proptest::prelude::*;
use serde_json::{Value, json};

struct World;

impl Facts for World {
    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        let text = match String::from_utf8(path.to_vec()).unwrap().replace('\0', ".").as_str() {
            "source.address" => "192.0.2.7:5555",
            "xds.route_name" => "wiki",
            "request.id" => "id-1",
            "request.host" => "App.Example:8443",
            "request.path" => "/api/x?q=1",
            "request.method" => "GET",
            "request.scheme" => "https",
            "request.headers.origin" => "https://o.example",
            _ => return None,
        };
        Some(text.as_bytes().to_vec())
    }
}

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn list(fields: &[(&str, &str)]) -> List {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn read(rules: &[Value]) -> Rules {
    config::rules(json!({ "rules": rules }).to_string().as_bytes()).unwrap()
}

fn run(rules: &[Value], phase: Phase, before: &List) -> (List, Outcome) {
    let outcome = read(rules).run(phase, borrowed(before), &World);
    let mut after = before.clone();
    apply(&outcome.edits, &mut after);
    (after, outcome)
}

fn answer() -> List {
    list(&[(":status", "404"), ("server", "x"), ("location", "/old/a"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])
}

fn acted(actions: Value) -> Vec<String> {
    let (after, outcome) = run(&[json!({"on": "response", "do": actions})], Phase::Response, &answer());
    assert_eq!(outcome.problems, Vec::<String>::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    after.iter().skip(1).map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}

#[test]
fn every_action_does_what_it_says() {
    assert_eq!(
        acted(json!([{"set": {"Server": "y", "x-n": "1"}}])),
        ["location: /old/a", "set-cookie: a=1", "set-cookie: b=2", "server: y", "x-n: 1"]
    );
    assert_eq!(
        acted(json!([{"append": {"set-cookie": "c=3"}}, {"remove": ["server", "location", "x-none"]}])),
        ["set-cookie: a=1", "set-cookie: b=2", "set-cookie: c=3"]
    );
    assert_eq!(
        acted(json!([{"rename": {"set-cookie": "server", "x-none": "location"}}])),
        ["location: /old/a", "server: a=1", "server: b=2"]
    );
    assert_eq!(
        acted(
            json!([{"replace": {"name": "set-cookie", "pattern": "^(.)=(.)", "with": "${2}=$1$$"}}, {"remove": "server"}])
        ),
        ["location: /old/a", "set-cookie: 1=a$", "set-cookie: 2=b$"]
    );
    assert_eq!(
        acted(json!([{"replace": {"name": "location", "pattern": "^/old/(?P<rest>.*)", "with": "/${app}/${rest}"}}]))
            [3],
        "location: /wiki/a"
    );
}

#[test]
fn variables_are_what_the_proxy_knows() {
    let all = "${client.address} ${app} ${request.id} ${request.host} ${request.path} ${request.method} ${scheme} \
               ${header.server} ${request.header.origin} ${header.none}|";
    let expected = "x-v: 192.0.2.7 wiki id-1 App.Example:8443 /api/x?q=1 GET https x https://o.example |";
    assert_eq!(acted(json!([{"set": {"x-v": all}}])).last().unwrap(), expected);
}

#[test]
fn conditions_hold_together() {
    for (when, expected) in [
        (json!({}), true),
        (json!({"host": "app.example"}), true),
        (json!({"host": ["b", "*.example"]}), true),
        (json!({"host": "*.app.example"}), false),
        (json!({"host": "pp.example"}), false),
        (json!({"path": "/api/x"}), true),
        (json!({"path": "/api"}), false),
        (json!({"path_prefix": "/api/"}), true),
        (json!({"path_prefix": "/ap/"}), false),
        (json!({"method": ["POST", "GET"]}), true),
        (json!({"method": "get"}), false),
        (json!({"status": 404}), true),
        (json!({"status": [200, "4xx"]}), true),
        (json!({"status": "5xx"}), false),
        (json!({"header": {"name": "Server"}}), true),
        (json!({"header": {"name": "x-none"}}), false),
        (json!({"header": {"name": "set-cookie", "matches": "^b="}}), true),
        (json!({"header": {"name": "set-cookie", "matches": "^c="}}), false),
        (json!({"status": 404, "method": "POST"}), false),
    ] {
        let rule = json!({"on": "response", "when": when, "do": [{"set": {"x-hit": "1"}}]});
        let (after, _) = run(&[rule], Phase::Response, &answer());
        assert_eq!(after.len() == answer().len() + 1, expected, "{when}");
    }
}

#[test]
fn requests_are_judged_by_their_own_head() {
    let before = list(&[(":authority", "a.example"), (":path", "/p?x"), (":method", "PUT"), ("x-a", "b=1")]);
    let when = json!({"host": "A.example", "path": "/p", "method": "PUT", "header": {"name": "x-a", "matches": "(.)=(?P<n>.)"}});
    let rule = json!({"on": "request", "when": when, "do": [{"set": {"x-b": "$1${n}${1} ${request.path}"}}]});
    let (after, _) = run(&[rule], Phase::Request, &before);
    assert_eq!(after.last().unwrap().1, b"b1b /p?x");
}

#[test]
fn later_rules_see_what_earlier_ones_did() {
    let first = json!({"on": "response", "do": [{"rename": {"server": "x-s"}}]});
    let second = json!({"on": "response", "when": {"header": {"name": "x-s", "matches": "x"}}, "do": [{"set": {"x-t": "${header.x-s}y"}}]});
    assert_eq!(run(&[first, second], Phase::Response, &answer()).0.last().unwrap().1, b"xy");
}

#[test]
fn what_could_split_a_message_is_never_written() {
    let before = list(&[("x-evil", "a\r\nset-cookie: b")]);
    let rule = json!({"on": "response", "do": [{"set": {"x-a": "${header.x-evil}"}}, {"set": {"x-b": "fine"}}]});
    let (after, outcome) = run(&[rule], Phase::Response, &before);
    assert_eq!(after, [before[0].clone(), list(&[("x-b", "fine")])[0].clone()]);
    assert_eq!(outcome.problems, ["rule 1: `x-a` not written: its value has a control character"]);
}

fn rules() -> Vec<Value> {
    vec![
        json!({"on": "request", "when": {"header": {"name": "a", "matches": "(x)(y)?"}}, "do": [{"set": {"b": "$2${0}"}}]}),
        json!({"on": "request", "when": {"host": "*.x", "path_prefix": "/"}, "do": [{"rename": {"b": "c"}}, {"append": {"a": "${header.c}"}}]}),
        json!({"on": "request", "do": [{"replace": {"name": "c", "pattern": "", "with": "<$0>"}}]}),
        json!({"on": "request", "do": [{"set": {"d": "${header.a}${request.host}"}}]}),
        json!({"on": "response", "do": [{"set": {"never": "1"}}]}),
    ]
}

proptest! {
    #[test]
    fn any_message_is_survived_and_stays_whole(
        before in prop::collection::vec((prop::sample::select(vec![":authority", ":path", "a", "b", "c"]), any::<Vec<u8>>()), 0..6),
    ) {
        let before: List = before.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect();
        let (after, outcome) = run(&rules(), Phase::Request, &before);
        for (name, value) in &after {
            let unsafe_byte = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
            let was_there = before.iter().any(|field| field.0 == *name && field.1 == *value);
            prop_assert!(was_there || !value.iter().any(unsafe_byte));
            prop_assert!(name != b"never");
        }
        prop_assert!(outcome.problems.len() <= 64);
    }

    #[test]
    fn set_is_set_and_removed_is_gone(before: Vec<(u8, Vec<u8>)>) {
        let before: List = before.into_iter().map(|(name, value)| (vec![b'a' + name % 3], value)).collect();
        let rule = json!({"on": "response", "do": [{"set": {"a": "1"}}, {"remove": ["b"]}]});
        let (after, _) = run(&[rule], Phase::Response, &before);
        let named = |list: &List, name: &[u8]| list.iter().filter(|field| field.0 == name).map(|field| field.1.clone()).collect::<Vec<_>>();
        prop_assert_eq!(named(&after, b"a"), [b"1".to_vec()]);
        prop_assert!(named(&after, b"b").is_empty());
        prop_assert_eq!(named(&after, b"c"), named(&before, b"c"));
    }
}
