//! The gate as a whole, with the configuration and the tokens of `tests/`.

use crate::config::Config;
use crate::gate::{Denial, Entry, decide};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2027, between the tokens' `nbf` and `exp`.
const NOW: u64 = 1_800_000_000;

fn config() -> Config {
    Config::parse(include_bytes!("../tests/config.json")).expect("the configuration of the tests")
}

fn tokens() -> BTreeMap<String, String> {
    serde_json::from_str(include_str!("../tests/tokens.json")).expect("the tokens of the tests")
}

fn with(headers: &[(&str, &[u8])], path: &str) -> Result<Entry, Denial> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    decide(&config(), path.as_bytes(), &headers, NOW)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn tokens_are_told_apart() {
    for (name, token) in tokens() {
        let answer = with(&[("authorization", format!("Bearer {token}").as_bytes())], "/");
        match answer {
            Ok(entry) => {
                assert!(!name.starts_with("bad"), "{name} passed");
                assert_eq!(entry.set, pairs(&[("x-admin", "true"), ("x-user", "alice")]), "{name}");
                assert_eq!(entry.remove, ["authorization", "x-api-key"]);
            }
            Err(denial) => assert!(name.starts_with("bad"), "{name} was refused: {denial:?}"),
        }
    }
}

#[test]
fn time_ends_a_token() {
    let token = format!("Bearer {}", tokens()["EdDSA"]);
    let at = |now| decide(&config(), b"/", &[("authorization".to_owned(), token.clone().into_bytes())], now).is_ok();
    assert!(at(4_102_444_829) && !at(4_102_444_830), "30 seconds of leeway at the end");
    assert!(at(1_599_999_970) && !at(1_599_999_969), "and at the beginning");
}

#[test]
fn api_keys() {
    assert_eq!(with(&[("x-api-key", b"secret-of-ci")], "/").map(|entry| entry.set), Ok(pairs(&[("x-user", "ci")])));
    assert_eq!(with(&[("x-api-key", b"secret-of-ops")], "/").map(|entry| entry.set), Ok(pairs(&[("x-user", "ops")])));
    assert_eq!(with(&[("x-api-key", b"")], "/"), Err(Denial::Key));
    assert_eq!(with(&[("x-api-key", b"caf\xe9")], "/"), Err(Denial::Key));
    assert_eq!(with(&[("x-api-key", b"a"), ("x-api-key", b"secret-of-ci")], "/"), Err(Denial::Several));
    assert_eq!(with(&[("authorization", b"Basic YTpi"), ("x-api-key", b"secret-of-ci")], "/"), Err(Denial::Several));
    assert_eq!(with(&[], "/"), Err(Denial::Missing));
}

#[test]
fn look_alikes_go_on_every_path() {
    for path in ["/health", "/assets/logo.svg"] {
        let entry = with(&[("x-user", b"root"), ("X_USER", b"root"), ("x_admin", b"1"), ("x-other", b"1")], path);
        assert_eq!(entry.map(|entry| entry.remove), Ok(vec!["x-user".into(), "X_USER".into(), "x_admin".into()]));
    }
}

#[test]
fn public_paths_are_meant_exactly() {
    for path in ["/health?x=1", "/assets/a/b", "/health#a"] {
        assert!(with(&[], path).is_ok(), "{path}");
    }
    for path in [
        "/healthy",
        "/health/",
        "/assets/../admin",
        "/assets/%2e%2e/admin",
        "/assets//a",
        "/assets/\\..",
        "",
        "/Health",
    ] {
        assert!(with(&[], path).is_err(), "{path}");
    }
}

#[test]
fn challenges() {
    let config = config();
    assert_eq!(Denial::Missing.challenge(&config), r#"Bearer realm="api""#);
    assert_eq!(Denial::Several.challenge(&config), r#"Bearer realm="api", error="invalid_request""#);
    assert_eq!(Denial::Key.challenge(&config), r#"Bearer realm="api", error="invalid_token""#);
}

proptest! {
    #[test]
    fn any_bytes_are_refused(value in proptest::collection::vec(any::<u8>(), 0..300), bearer in any::<bool>()) {
        let value = if bearer { [b"Bearer ", value.as_slice()].concat() } else { value };
        prop_assert!(with(&[("authorization", &value)], "/").is_err());
    }

    #[test]
    fn one_changed_byte_is_refused(which in 0usize..5, at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let mut good = tokens().into_iter().filter(|(name, _)| !name.starts_with("bad"));
        let token = good.nth(which).expect("five good ones").1;
        let mut changed = token.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] = to.as_bytes()[0];
        prop_assume!(changed != token.as_bytes());
        prop_assert!(with(&[("authorization", &[b"Bearer ", changed.as_slice()].concat())], "/").is_err());
    }
}
