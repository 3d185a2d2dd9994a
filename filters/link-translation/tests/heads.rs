//! Heads, point by point of the checklist.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use abi::{apply, borrowed};
use link_translation::Kind;
use link_translation::head::{REQUEST_FIELDS, RESPONSE_FIELDS, Response, request, response};
use world::maps;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields(text: &str) -> Fields {
    let field = |line: &str| {
        let (name, value) = line.trim().split_once(": ").unwrap();
        (name.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(field).collect()
}

fn show(fields: &Fields) -> String {
    let line = |field: &(Vec<u8>, Vec<u8>)| {
        format!("{}: {}\n", String::from_utf8_lossy(&field.0), String::from_utf8_lossy(&field.1))
    };
    fields.iter().map(line).collect()
}

fn answer(app: &str, has_our_tag: bool, text: &str) -> (Option<Kind>, String) {
    let maps = maps();
    let mut list = fields(text);
    let app = maps.table.app(app.as_bytes());
    let (kind, edits) = match response(&maps, app, has_our_tag, borrowed(&list)) {
        Response::Passed => (None, Vec::new()),
        Response::Head(edits) => (None, edits),
        Response::Translated(kind, edits) => (Some(kind), edits),
    };
    apply(&edits, &mut list);
    (kind, show(&list))
}

#[test]
fn a_translated_response_says_no_more_than_is_true() {
    let (kind, head) = answer(
        "i",
        false,
        ":status: 200
         content-type: text/html; charset=utf-8
         content-length: 5
         content-md5: x
         digest: x
         content-digest: x
         repr-digest: x
         accept-ranges: bytes
         etag: \"abc\"
         x: y",
    );
    assert_eq!(kind, Some(Kind::Html));
    let expected =
        ":status: 200\ncontent-type: text/html; charset=utf-8\nx: y\netag: W/\"abc;lg-v1\"\nvary: Accept-Encoding\n";
    assert_eq!(head, expected);
}

#[test]
fn vary_is_said_once() {
    for (vary, added) in
        [("accept-encoding", false), ("*", false), ("Cookie, Accept-Encoding", false), ("cookie", true)]
    {
        let (_, head) = answer("i", false, &format!(":status: 200\ncontent-type: text/css\nvary: {vary}"));
        assert_eq!(head.contains("vary: Accept-Encoding\n"), added, "{vary}");
    }
}

#[test]
fn what_is_not_translated_passes_untouched() {
    for (app, text) in [
        ("i", ":status: 206\ncontent-type: text/html\netag: \"a\"\ncontent-range: bytes 0-1/2"),
        ("i", ":status: 101\ncontent-type: text/html"),
        ("i", ":status: 204\ncontent-type: text/html"),
        ("i", ":status: 200\ncontent-type: image/png\netag: \"a\"\ncontent-length: 3"),
        ("i", ":status: 200\ncontent-type: text/html\ncache-control: public, No-Transform"),
        ("i", ":status: 200\ncontent-type: text/html\ncontent-encoding: unknown"),
        ("i", ":status: 200\ncontent-type: application/json"),
        ("i", ":status: 200\ncontent-type: text/javascript"),
        ("i", ":status: 200\ncontent-type: text/event-stream"),
        ("i", ":status: 200\netag: \"a\""),
        ("i", ":status: 304\netag: \"a\""),
        ("off", ":status: 200\ncontent-type: text/html"),
        ("nobody", ":status: 200\ncontent-type: text/html"),
    ] {
        let (kind, head) = answer(app, false, text);
        assert_eq!((kind, head), (None, show(&fields(text))), "{text}");
    }
}

#[test]
fn scripts_and_events_where_asked() {
    for (content_type, expected) in [
        ("application/json", Kind::Script),
        ("text/javascript", Kind::Script),
        ("text/event-stream", Kind::EventStream),
        ("application/manifest+json", Kind::Manifest),
    ] {
        let (kind, _) = answer("js", false, &format!(":status: 404\ncontent-type: {content_type}"));
        assert_eq!(kind, Some(expected), "{content_type}");
    }
}

#[test]
fn a_304_has_the_tag_of_the_200() {
    let (kind, head) = answer("i", true, ":status: 304\netag: W/\"a\"");
    assert_eq!((kind, head.as_str()), (None, ":status: 304\netag: W/\"a;lgw-v1\"\n"));
}

#[test]
fn conditions_are_the_backends_again() {
    for (name, value, expected, ours) in [
        ("if-none-match", "W/\"a;lg-v1\"", "if-none-match: \"a\"\n", true),
        ("if-none-match", "W/\"a;lgw-v1\", \"b\"", "if-none-match: W/\"a\", \"b\"\n", true),
        ("if-none-match", "W/\"a;lg-v0\"", "", false),
        ("if-none-match", "W/\"a;lg-v0\", W/\"b;lg-v1\"", "if-none-match: \"b\"\n", true),
        ("if-none-match", "\"a\",W/\"b\"", "if-none-match: \"a\",W/\"b\"\n", false),
        ("if-none-match", "*", "if-none-match: *\n", false),
        ("if-match", "W/\"a;lg-v0\"", "if-match: \"a\"\n", true),
        ("if-range", "W/\"a;lg-v1\"", "", false),
        ("if-range", "\"a\"", "range: bytes=0-1\nif-range: \"a\"\n", false),
    ] {
        let range = if name == "if-range" { "range: bytes=0-1\n" } else { "" };
        let mut list = fields(&format!("{range}{name}: {value}"));
        let asked = request("v1", borrowed(&list));
        apply(&asked.edits, &mut list);
        assert_eq!((show(&list).as_str(), asked.has_our_tag), (expected, ours), "{name}: {value}");
    }
}

#[test]
fn the_manifest_names_the_fields_of_the_code() {
    let manifest = include_str!("../filter.toml");
    let list =
        |names: &[&str]| format!("[{}]", names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "));
    assert!(manifest.contains(&format!("request = {}", list(REQUEST_FIELDS))));
    assert!(manifest.contains(&format!("response = {}", list(RESPONSE_FIELDS))));
}
