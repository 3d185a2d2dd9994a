//! A small world of apps, and bodies that pass through it in every chunking.
#![allow(dead_code, reason = "each test file uses a part")]

use std::rc::Rc;

use link_translation::{Body, Kind, Maps};

/// `i.corp` is `i.example`; `10.0.0.1:3000/wiki/` is `w.example/docs/`; the others have one trait each.
pub const APPS: &str = r#"{"version":"v1","apps":[
    {"name":"i","external":"https://i.example/","internal":"http://i.corp/"},
    {"name":"w","external":"https://w.example/docs/","internal":"http://10.0.0.1:3000/wiki/"},
    {"name":"js","external":"https://js.example/","internal":"http://js.corp:8080/","translate_scripts":true,
     "translate_event_streams":true,"attributes":["data-url","hx-get"]},
    {"name":"p","external":"http://p.example/","internal":"https://p.corp/"},
    {"name":"idn","external":"https://idn.example/","internal":"http://xn--bcher-kva.corp/"},
    {"name":"teams","external":"https://*.t.example/","internal":"http://*.t.corp/"},
    {"name":"x","external":"https://x.example/","internal":"http://x.corp/",
     "mappings":[{"from":"http://old.corp/a/","to":"https://x.example/old/"}]},
    {"name":"odd","external":"https://odd.example/a&b('c')/","internal":"http://odd.corp/"},
    {"name":"off","external":"https://off.example/","internal":"http://off.corp/","translate":false}
]}"#;

pub fn maps() -> Rc<Maps> {
    Rc::new(Maps::read(APPS.as_bytes()).unwrap())
}

pub fn translate<'c>(maps: &Rc<Maps>, app: &str, kind: Kind, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut body = Body::new(maps, maps.table.app(app.as_bytes()), kind);
    let mut out = Vec::new();
    for chunk in chunks {
        body.write(chunk, &mut out);
    }
    body.end(&mut out);
    out
}

/// The body as a whole, byte by byte, and in every two parts; all have to be the same.
pub fn every_way(maps: &Rc<Maps>, app: &str, kind: Kind, body: &[u8]) -> Vec<u8> {
    let whole = translate(maps, app, kind, [body]);
    let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let bytewise = translate(maps, app, kind, body.chunks(1));
    assert_eq!(shown(&bytewise), shown(&whole), "byte by byte: {}", shown(body));
    for at in 0..=body.len() {
        let parts = translate(maps, app, kind, [&body[..at], &body[at..]]);
        assert_eq!(shown(&parts), shown(&whole), "cut at {at}: {}", shown(body));
    }
    whole
}

/// Rows of app, body and what becomes of it.
pub fn check(kind: Kind, rows: &[(&str, &str, &str)]) {
    let maps = maps();
    for (app, body, expected) in rows {
        let translated = every_way(&maps, app, kind, body.as_bytes());
        assert_eq!(String::from_utf8_lossy(&translated), *expected, "{app}: {body}");
    }
}

/// Rows that stay as they are.
pub fn untouched(kind: Kind, rows: &[(&str, &str)]) {
    let rows: Vec<_> = rows.iter().map(|(app, body)| (*app, *body, *body)).collect();
    check(kind, &rows);
}
