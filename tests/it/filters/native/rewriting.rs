//! `header-rewrite`, natively and as a module: generated rules on generated messages.

use abi::borrowed;
use header_rewrite::Phase;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Exchange, ID, List, Outcome, Worker, edited, for_each, grouped, header_map};

/// Names that rules and messages share.
const NAMES: &[&str] = &["x-a", "x-b", "server", "location", "set-cookie", "accept"];

#[rustfmt::skip]
const PLAIN_PIECES: &[&str] = &["a", "b=1", "/old/", "x", "", " ", "caf\u{e9}", "1", "; ", "https://o.example"];

/// What rules may do; the native crate says which of these it takes.
fn actions() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(NAMES);
    #[rustfmt::skip]
    let templates = &[
        "v", "", "${client.address}", "${app}-${request.id}", "${request.host}${request.path}", "${request.method} ${scheme}",
        "${header.x-a}|${header.location}", "${request.header.accept}", "$$", "a\u{e9}b",
    ][..];
    let template = || prop::sample::select(templates);
    let pattern = prop::sample::select(&["^/old/(.*)", "([a-z])=([0-9])", "", "x*", "(?i)CAF."][..]);
    prop_oneof![
        (name(), template()).prop_map(|(name, value)| json!({"set": {name: value}})),
        (name(), template()).prop_map(|(name, value)| json!({"append": {name: value}})),
        name().prop_map(|name| json!({"remove": name})),
        (name(), name()).prop_map(|(from, to)| json!({"rename": {from: to}})),
        (name(), pattern, prop::sample::select(&["/new/", "<$0>", "", "${app}"][..]))
            .prop_map(|(name, pattern, with)| json!({"replace": {"name": name, "pattern": pattern, "with": with}})),
    ]
}

fn conditions() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        1 => prop::sample::select(&["*.example", "a.example", "none"][..]).prop_map(|host| json!({"host": [host]})),
        1 => Just(json!({"path_prefix": "/api/"})),
        1 => Just(json!({"method": ["GET"]})),
        1 => Just(json!({"header": {"name": "x-a", "matches": "^a"}})),
    ]
}

/// Rules the native crate accepts.
fn rules() -> impl Strategy<Value = String> {
    let phase = prop::sample::select(&["request", "response"][..]);
    let rule = (phase, conditions(), prop::collection::vec(actions(), 1..4));
    let rule = rule.prop_map(|(on, when, actions)| json!({"on": on, "when": when, "do": actions}));
    let rules = prop::collection::vec(rule, 1..5).prop_map(|rules| json!({ "rules": rules }).to_string());
    rules.prop_filter("the rules are right", |rules| header_rewrite::config::rules(rules.as_bytes()).is_ok())
}

fn rewriting() -> impl Strategy<Value = Exchange> {
    let line = (prop::sample::select(&["GET", "POST"][..]), prop::sample::select(&["a.example", "b.other:81"][..]));
    let path = prop::sample::select(&["/", "/api/x?q=1"][..]);
    let fields = (header_map(NAMES, PLAIN_PIECES), header_map(NAMES, PLAIN_PIECES));
    let status = prop::sample::select(&[200, 404, 503][..]);
    (line, path, fields, status).prop_map(|((method, authority), path, (request, response), status)| Exchange {
        app: "shop",
        method,
        authority,
        path,
        status,
        request,
        response,
    })
}

/// What a rule may ask of the exchange; the request as the rules have left it.
struct Known<'a>(&'a Exchange, &'a List);

impl header_rewrite::Facts for Known<'_> {
    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = String::from_utf8(path.to_vec()).unwrap().replace('\0', ".");
        if let Some(name) = path.strip_prefix("request.headers.") {
            return self.1.iter().find(|field| field.0 == name.as_bytes()).map(|field| field.1.clone());
        }
        let text = match path.as_str() {
            "source.address" => "192.0.2.1:4000",
            "xds.route_name" => self.0.app,
            "request.id" => ID,
            "request.host" => self.0.authority,
            "request.path" => self.0.path,
            "request.method" => self.0.method,
            "request.scheme" => "https",
            _ => panic!("{path}: a property this test does not know"),
        };
        Some(text.as_bytes().to_vec())
    }
}

fn rewritten(rules: &str, exchange: &Exchange) -> Outcome {
    let rules = header_rewrite::config::rules(rules.as_bytes()).unwrap();
    let (asked, answered) = (exchange.asked(), exchange.answered());
    let outcome = rules.run(Phase::Request, borrowed(&asked), &Known(exchange, &asked));
    let request = edited(asked.clone(), &outcome.edits);
    let outcome = rules.run(Phase::Response, borrowed(&answered), &Known(exchange, &request));
    let response = edited(answered.clone(), &outcome.edits);
    Outcome::Passed { request: grouped(&request), response: grouped(&response) }
}

#[test]
fn header_rewrite_is_the_same_in_wasm() {
    let worker = Worker::new("header-rewrite");
    let first = worker.load(r#"{"rules": []}"#, &[]);
    let exchanges = prop::collection::vec(rewriting(), 6);
    for_each(96, &(rules(), exchanges), |(rules, exchanges)| {
        let plugin = worker.load(&rules, std::slice::from_ref(&first));
        let outcomes = worker.pass(&plugin, &exchanges);
        plugin.retire();
        for (exchange, outcome) in exchanges.iter().zip(outcomes) {
            prop_assert_eq!(outcome, rewritten(&rules, exchange), "{}", rules);
        }
        Ok(())
    });
}
