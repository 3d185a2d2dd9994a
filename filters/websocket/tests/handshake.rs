//! Handshakes over HTTP/1.1 and HTTP/2 against policies.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use abi::{Edit, borrowed};
use proptest::prelude::*;
use websocket::{Verdict, judge, policy};

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn http1() -> List {
    list(&[
        (":method", "GET"),
        (":authority", "app.example"),
        (":scheme", "https"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("origin", "https://app.example"),
    ])
}

fn http2() -> List {
    list(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":authority", "app.example"),
        (":scheme", "https"),
        ("sec-websocket-version", "13"),
        ("origin", "https://app.example"),
    ])
}

fn list(fields: &[(&str, &str)]) -> List {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// The same with some fields replaced; an empty value takes one out.
fn with(mut base: List, changes: &[(&str, &str)]) -> List {
    base.retain(|field| !changes.iter().any(|change| change.0.as_bytes() == field.0));
    base.extend(list(changes).into_iter().filter(|field| !field.1.is_empty()));
    base
}

fn status(json: &str, request: &List) -> u16 {
    match judge(&policy(json.as_bytes()).unwrap(), borrowed(request)) {
        Verdict::Pass => 0,
        Verdict::Accept { .. } => 101,
        Verdict::Refuse(refusal) => {
            assert!(refusal.body.ends_with(".\n") && refusal.body.is_ascii());
            refusal.status
        }
    }
}

#[test]
fn rfc6455_4_2_1_correct_handshakes_pass() {
    assert_eq!(status("", &http1()), 101);
    assert_eq!(status("", &http2()), 101);
    assert_eq!(status("", &with(http1(), &[("upgrade", "h2c, websocket"), ("origin", "")])), 101);
}

#[test]
fn what_is_no_handshake_passes_untouched() {
    for request in [
        with(http1(), &[("upgrade", "")]),
        with(http1(), &[("upgrade", "h2c")]),
        with(http2(), &[(":protocol", "")]),
        with(http2(), &[(":protocol", "connect-udp")]),
        List::new(),
    ] {
        assert_eq!(status(r#"{"origins":["https://none"]}"#, &request), 0);
    }
}

#[test]
fn rfc6455_4_2_1_wrong_handshakes_are_refused() {
    for (changes, expected) in [
        (&[("sec-websocket-version", "")][..], 426),
        (&[("sec-websocket-version", "8")], 426),
        (&[("sec-websocket-version", "13, 8")], 426),
        (&[("sec-websocket-version", "13"), ("sec-websocket-version", "8")], 426),
        (&[(":method", "POST")], 400),
        (&[("sec-websocket-key", "")], 400),
        (&[("sec-websocket-key", "short==")], 400),
        (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==x")], 400),
    ] {
        assert_eq!(status("", &with(http1(), changes)), expected, "{changes:?}");
    }
    let old = with(http1(), &[("sec-websocket-version", "8")]);
    let Verdict::Refuse(refusal) = judge(&policy(b"").unwrap(), borrowed(&old)) else { panic!("not refused") };
    assert_eq!(refusal.headers, [("sec-websocket-version", "13")]);
}

#[test]
fn origins_are_compared_whole() {
    for (allowed, origin, expected) in [
        ("same", "https://app.example", 101),
        ("same", "https://APP.example:443", 101),
        ("same", "http://app.example", 403),
        ("same", "https://app.example:8443", 403),
        ("same", "https://app.example.evil", 403),
        ("https://a.example:1", "https://a.example:1", 101),
        ("https://a.example:1", "https://a.example", 403),
        ("https://*.b.example", "https://x.b.example", 101),
        ("https://*.b.example", "https://x.y.b.example", 101),
        ("https://*.b.example", "https://b.example", 403),
        ("https://*.b.example", "https://.b.example", 403),
        ("https://*.b.example", "https://xb.example", 403),
        ("https://*.b.example", "http://x.b.example", 403),
        ("same", "null", 403),
        ("same", "https://app.example/", 403),
        ("same", "https://app.example@evil", 403),
        ("same", "\u{e9}", 403),
        ("same", "", 101),
    ] {
        let json = format!(r#"{{"origins":["{allowed}"]}}"#);
        assert_eq!(status(&json, &with(http1(), &[("origin", origin)])), expected, "{allowed}: {origin}");
        assert_eq!(status(&json, &with(http2(), &[("origin", origin)])), expected, "{allowed}: {origin}");
    }
    let strict = r#"{"origins":["same"],"allow_missing_origin":false}"#;
    assert_eq!(status(strict, &with(http1(), &[("origin", "")])), 403);
    let two = with(http1(), &[("origin", "https://app.example"), ("origin", "https://app.example")]);
    assert_eq!(status(strict, &two), 403);
}

#[test]
fn subprotocols_are_intersected() {
    let policy = policy(br#"{"subprotocols":["a","b"]}"#).unwrap();
    for (asked, expected) in [
        (&["a"][..], Some(None)),
        (&["c, b, a"], Some(Some("b, a"))),
        (&["c", "a"], Some(Some("a"))),
        (&["c"], None),
        (&["A"], None),
        (&[], None),
    ] {
        let fields: Vec<_> = asked.iter().map(|name| ("sec-websocket-protocol", *name)).collect();
        let request = with(http1(), &fields);
        let got = match judge(&policy, borrowed(&request)) {
            Verdict::Accept { edits, .. } => Some(edits.first().map(|edit| match edit {
                Edit::Set(_, value) => String::from_utf8(value.clone()).unwrap(),
                other => panic!("{other:?}"),
            })),
            Verdict::Refuse(refusal) if refusal.status == 400 => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(got.as_ref().map(Option::as_deref), expected, "{asked:?}");
    }
}

#[test]
fn inspection_takes_extensions_out_unless_told_to_keep_them() {
    let request = with(http1(), &[("sec-websocket-extensions", "permessage-deflate")]);
    let edits = |json: &str| match judge(&policy(json.as_bytes()).unwrap(), borrowed(&request)) {
        Verdict::Accept { edits, extended: false } => edits.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(edits("{}"), 0);
    assert_eq!(edits(r#"{"inspect":{}}"#), 1);
    assert_eq!(edits(r#"{"inspect":{"compression":"keep"}}"#), 0);
}

proptest! {
    #[test]
    fn any_value_is_survived_and_a_changed_one_does_not_pass(name in 0..8_usize, value: Vec<u8>) {
        let mut request = http1();
        // Whether `Connection` names `Upgrade` is the connection's business: the host has read it.
        prop_assume!(request[name].0 != b"connection" && request[name].1 != value);
        request[name].1 = value;
        let policy = policy(br#"{"origins":["same"]}"#).unwrap();
        let accepted = matches!(judge(&policy, borrowed(&request)), Verdict::Accept { .. });
        prop_assert!(!accepted);
    }
}
