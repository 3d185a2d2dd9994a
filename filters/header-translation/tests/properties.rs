//! What holds for every value: translated once is translated for good, foreign hosts and any bytes
//! pass, there and back is where it was.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use abi::{Pairs, apply, borrowed, serialise};
use header_translation::{Current, REQUEST_FIELDS, RESPONSE_FIELDS, config, translate_request, translate_response};
use origins::Table;
use proptest::prelude::*;

type List = Vec<(Vec<u8>, Vec<u8>)>;

fn table() -> Table {
    let json = br#"{"apps":[
        {"name":"a","external":"https://a.example/","internal":"http://int.corp/"},
        {"name":"b","external":"https://b.example/docs/","internal":"http://10.0.0.1:3000/wiki/"},
        {"name":"t","external":"https://*.t.example/","internal":"http://*.t.corp/"}
    ]}"#;
    config::table(json).unwrap()
}

fn current(table: &Table, which: u8) -> Current<'_> {
    let name: &[u8] = [&b"a"[..], b"b", b"t", b"?"][usize::from(which % 4)];
    Current { app: table.app(name), label: if name == b"t" { b"x" } else { b"" } }
}

fn response(table: &Table, which: u8, list: &List) -> List {
    let mut after = list.clone();
    apply(&translate_response(table, current(table, which), borrowed(list)), &mut after);
    after
}

/// Values made of what the grammars are made of, and of bytes they are not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "http://int.corp",
        " *.corp ",
        " http://*.corp",
        "http://10.0.0.1:3000/wiki/x",
        "//x.t.corp/",
        "int.corp",
        "*.t.corp",
        "/wiki/y",
        "/",
        "http://int.corp.evil/",
        "Domain=",
        "; Path=/wiki",
        "; Secure",
        "; SameSite=None",
        "__Host-a=b",
        "url=",
        "0;",
        "<",
        ">",
        "\"",
        "\\",
        "\\/",
        "(",
        ")",
        ",",
        ";",
        " ",
        "=",
        "'",
        "*",
        ":*",
        "img-src ",
        "report-uri ",
        "\u{e9}",
        "ALLOW-FROM ",
        "int.corp",
        ".",
        "@",
        "t.corp",
        "10.0.0.1",
    ];
    let word = prop_oneof![
        8 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

fn list(names: &'static [&'static str]) -> impl Strategy<Value = List> {
    let field = (prop::sample::select(names), value());
    prop::collection::vec(field.prop_map(|(name, value)| (name.as_bytes().to_vec(), value)), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn once_is_for_good(list in list(RESPONSE_FIELDS), which: u8) {
        let table = table();
        let once = response(&table, which, &list);
        prop_assert_eq!(response(&table, which, &once), once);
    }

    #[test]
    fn any_request_is_survived(list in list(REQUEST_FIELDS), which: u8) {
        let table = table();
        translate_request(&table, current(&table, which), borrowed(&list));
    }

    #[test]
    fn the_serialised_map_gives_the_same_edits(list in list(RESPONSE_FIELDS), which: u8) {
        let table = table();
        let map = serialise(borrowed(&list));
        let read = translate_response(&table, current(&table, which), Pairs::parse(&map));
        prop_assert_eq!(read, translate_response(&table, current(&table, which), borrowed(&list)));
    }

    #[test]
    fn values_without_an_internal_host_stay(
        name in prop::sample::select(RESPONSE_FIELDS).prop_filter("dropped whatever it says", |name| *name != "alt-svc"),
        value in "[a-z:/.;=<>\"', ?@*-]{0,40}",
    ) {
        prop_assume!(!value.contains("corp"));
        prop_assume!(!value.to_lowercase().contains("samesite") && !value.starts_with("__"));
        let list = vec![(name.as_bytes().to_vec(), value.into_bytes())];
        prop_assert_eq!(response(&table(), 0, &list), list);
    }

    #[test]
    fn there_and_back_is_identity(host in 0..3_usize, tail in "[a-z/?=#]{0,12}", which: u8) {
        let url = ["http://int.corp/", "http://10.0.0.1:3000/wiki/", "http://q.t.corp/"][host].to_owned() + &tail;
        let table = table();
        let there = response(&table, which, &vec![(b"location".to_vec(), url.clone().into_bytes())]);
        let mut back = vec![(b"referer".to_vec(), there[0].1.clone())];
        prop_assert!(!there[0].1.starts_with(b"http://"));
        let edits = translate_request(&table, current(&table, which), borrowed(&back.clone()))
            .into_iter().map(|edit| match edit { abi::Edit::Set(_, value) => value, _ => Vec::new() }).collect::<Vec<_>>();
        back[0].1 = edits[0].clone();
        prop_assert_eq!(String::from_utf8_lossy(&back[0].1), url);
    }
}
