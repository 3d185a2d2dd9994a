//! `websocket`, natively and as a module: handshakes that are almost right, under several policies. The data
//! phase is not here: what the module does there, it does in its adapter.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::websocket::{Verdict, judge, policy};
use abi::borrowed;
use http::HeaderMap;
use lockgate::filters::Plugin;
use proptest::prelude::*;

use super::{Exchange, Fields, Outcome, Worker, edited, fields, for_each, grouped, value};

#[rustfmt::skip]
const POLICIES: [&str; 6] = [
    "{}",
    r#"{"origins":["same"]}"#,
    r#"{"origins":["https://*.b.example","https://c.example:8443"],"allow_missing_origin":false}"#,
    r#"{"subprotocols":["chat","graphql-ws"]}"#,
    r#"{"inspect":{"max_message":1000}}"#,
    r#"{"origins":["same"],"subprotocols":["chat"],"inspect":{"compression":"keep"}}"#,
];

/// A correct handshake with a few fields exchanged, doubled or left out.
fn handshake() -> impl Strategy<Value = Exchange> {
    #[rustfmt::skip]
    let changes = prop::sample::select(&[
        ("upgrade", ""), ("upgrade", "h2c, WebSocket"), ("upgrade", "h2c"), ("sec-websocket-version", "8"),
        ("sec-websocket-version", "13, 8"), ("sec-websocket-key", "short=="), ("sec-websocket-key", ""), ("origin", ""),
        ("origin", "https://app.example"), ("origin", "https://x.b.example"), ("origin", "https://c.example:8443"),
        ("origin", "https://app.example/"), ("origin", "null"), ("sec-websocket-protocol", "chat"),
        ("sec-websocket-protocol", "soap, graphql-ws ,chat"), ("sec-websocket-protocol", "soap"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ][..]);
    let odd = prop_oneof![6 => Just(None), 1 => value(&["https://", "13", "chat", ", "]).prop_map(Some)];
    let method = prop_oneof![4 => Just("GET"), 1 => Just("POST")];
    (prop::collection::vec((changes, odd, any::<bool>()), 0..4), method).prop_map(|(changes, method)| {
        let mut list: Vec<(&str, Vec<u8>)> = [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", "https://app.example"),
        ]
        .map(|(name, value)| (name, value.as_bytes().to_vec()))
        .to_vec();
        for ((name, value), odd, beside) in changes {
            list.retain(|field| beside || field.0 != name);
            if !value.is_empty() {
                list.push((name, odd.unwrap_or_else(|| value.as_bytes().to_vec())));
            }
        }
        let (authority, path) = ("app.example", "/socket");
        Exchange {
            app: "shop",
            method,
            authority,
            path,
            status: 101,
            request: fields(list),
            response: HeaderMap::new(),
        }
    })
}

fn judged(json: &str, exchange: &Exchange) -> Outcome {
    let asked = exchange.asked();
    let request = match judge(&policy(json.as_bytes()).unwrap(), borrowed(&asked)) {
        Verdict::Pass => asked.clone(),
        Verdict::Accept { edits, .. } => edited(asked.clone(), &edits),
        Verdict::Refuse(refusal) => {
            let length = refusal.body.len().to_string();
            let own = [("content-type", "text/plain; charset=utf-8"), ("content-length", &length)];
            let all = own.iter().chain(refusal.headers);
            let list = all.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
            return Outcome::Refused { status: refusal.status, fields: grouped(&list), body: refusal.body };
        }
    };
    Outcome::Passed { request: grouped(&request), response: Fields::new() }
}

#[test]
fn websocket_is_the_same_in_wasm() {
    let worker = Worker::new("websocket");
    let mut serving: Vec<Arc<Plugin>> = Vec::new();
    for policy in POLICIES {
        serving.push(worker.load(policy, &serving));
    }
    let seen = std::cell::RefCell::new(BTreeMap::new());
    for_each(400, &(0..POLICIES.len(), handshake()), |(which, exchange)| {
        let outcome = worker.pass(&serving[which], std::slice::from_ref(&exchange)).remove(0);
        prop_assert_eq!(&outcome, &judged(POLICIES[which], &exchange), "{}", POLICIES[which]);
        let kind = if let Outcome::Refused { status, .. } = outcome { status } else { 101 };
        *seen.borrow_mut().entry(kind).or_insert(0) += 1;
        Ok(())
    });
    // The generator makes something of each kind, or it would prove little.
    assert_eq!(seen.borrow().keys().copied().collect::<Vec<u16>>(), [101, 400, 403, 426]);
}
