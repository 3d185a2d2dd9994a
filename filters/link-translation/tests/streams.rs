//! Bodies on their way: what is held back, limits, charsets, many apps.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use std::rc::Rc;

use link_translation::{Body, Kind, Maps};
use world::{APPS, maps, translate};

fn body(maps: &Rc<Maps>, app: &str, kind: Kind) -> Body {
    Body::new(maps, maps.table.app(app.as_bytes()), kind)
}

/// After each chunk, what came out so far.
fn stages(app: &str, kind: Kind, chunks: &[&str]) -> Vec<String> {
    let maps = maps();
    let mut body = body(&maps, app, kind);
    let mut out = Vec::new();
    let mut stage = |chunk: &&str| {
        body.write(chunk.as_bytes(), &mut out);
        String::from_utf8(std::mem::take(&mut out)).unwrap()
    };
    chunks.iter().map(&mut stage).collect()
}

#[test]
fn the_first_chunk_of_a_page_leaves_at_once() {
    let head = "<!DOCTYPE html><head><link rel=stylesheet href=\"http://i.corp/a.css\"></head>\n";
    let clean = "<!DOCTYPE html><head><script>f()</script>";
    assert_eq!(stages("i", Kind::Html, &[head]), [head.replace("http://i.corp", "https://i.example")]);
    assert_eq!(stages("i", Kind::Html, &[clean]), [clean]);
    assert_eq!(stages("w", Kind::Html, &[clean]), [clean]);
}

#[test]
fn only_an_unfinished_token_is_held_back() {
    assert_eq!(
        stages("i", Kind::Html, &["<p>text <a href='http://i", ".corp/", "'>x</a> more", " and more"]),
        ["<p>text ", "", "<a href='https://i.example/'>x</a> more", " and more"]
    );
    assert_eq!(stages("w", Kind::Html, &["<p>text <!-- com", "ment --><b"]), ["<p>text <!-- com", "ment -->"]);
    assert_eq!(stages("i", Kind::Css, &["a{b:url(htt", "p://i.corp/x)}"]), ["a{b:url(", "https://i.example/x)}"]);
}

#[test]
fn a_space_that_ends_an_escape_may_be_where_a_chunk_ends() {
    for space in [" ", "\t", "\x0c"] {
        let chunks = [&format!("a{{b:url(http\\3a{space}"), "//i.corp/x)}"];
        assert_eq!(stages("i", Kind::Css, &chunks).concat(), "a{b:url(https://i.example/x)}", "{space:?}");
    }
}

#[test]
fn an_event_is_never_held_back() {
    let events = ["data: {\"u\":\"http://i.corp/a\"}\n\n", "data: http://i.corp/b\n\n", "data: x\n", "\n"];
    let expected: Vec<_> = events.iter().map(|event| event.replace("http://i.corp", "https://i.example")).collect();
    assert_eq!(stages("js", Kind::EventStream, &events), expected);
}

#[test]
fn a_tag_beyond_the_limit_passes_and_the_rest_is_translated() {
    let apps = APPS.replacen("\"apps\"", "\"limits\":{\"held\":2000},\"apps\"", 1);
    let maps = Rc::new(Maps::read(apps.as_bytes()).unwrap());
    let image =
        format!("<img longdesc='http://i.corp/l' src='data:,{}' data-src='http://i.corp/lost'>", "x".repeat(5000));
    let page = format!("{image}<a href='http://i.corp/'><style>a{{b:url(http://i.corp/)}}</style>");
    let expected = page
        .replace("'http://i.corp/l'", "'https://i.example/l'")
        .replace("'http://i.corp/'", "'https://i.example/'")
        .replace("(http://i.corp/", "(https://i.example/");
    for chunk in [1, 7, 100, 1000] {
        let mut body = body(&maps, "i", Kind::Html);
        let mut out = Vec::new();
        for part in page.as_bytes().chunks(chunk) {
            body.write(part, &mut out);
        }
        body.end(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{chunk}");
        assert_eq!(body.long_tokens(), 1);
    }
    // A text element whose start tag was too long is still one.
    let script = format!("<script data-x='{}'><a href='http://i.corp/'></script>", "x".repeat(5000));
    assert_eq!(translate(&maps, "i", Kind::Html, script.as_bytes().chunks(100)), script.as_bytes());
}

#[test]
fn a_long_page_without_an_address_is_not_kept_beyond_the_limit() {
    let apps = APPS.replacen("\"apps\"", "\"limits\":{\"held\":2000},\"apps\"", 1);
    let maps = Rc::new(Maps::read(apps.as_bytes()).unwrap());
    let page =
        format!("{}<a href='http://i.corp/'>{}", "<p class=a>b</p>\n".repeat(1000), "<p class=a>b</p>\n".repeat(1000));
    let out = translate(&maps, "i", Kind::Html, page.as_bytes().chunks(100));
    assert_eq!(String::from_utf8(out).unwrap(), page.replace("http://i.corp", "https://i.example"));
}

#[test]
fn what_hides_ascii_passes() {
    let maps = maps();
    for start in [&b"\xff\xfe"[..], b"\xfe\xff", b"<\0", b"\0<"] {
        let page = [start, b"a\0<a href='http://i.corp/'>"].concat();
        let mut body = body(&maps, "i", Kind::Html);
        let mut out = Vec::new();
        for part in page.chunks(1) {
            body.write(part, &mut out);
        }
        body.end(&mut out);
        assert_eq!(out, page);
        assert!(body.is_passed());
    }
    for (charset, unreadable) in [
        ("UTF-8", false),
        ("Shift_JIS", false),
        ("UTF-16LE", true),
        ("UTF-16BE", true),
        ("ISO-2022-JP", true),
        ("replacement", true),
        ("unknown", false),
    ] {
        assert_eq!(Body::is_unreadable(charset.as_bytes()), unreadable, "{charset}");
    }
    // The byte order mark of UTF-8 hides nothing.
    assert_eq!(
        translate(&maps, "i", Kind::Css, [&b"\xef\xbb\xbf@import 'http://i.corp/'"[..]]),
        b"\xef\xbb\xbf@import 'https://i.example/'"
    );
}

#[test]
fn five_hundred_apps_are_found_as_one_is() {
    let app = |i| format!(r#"{{"name":"a{i}","external":"https://a{i}.example/","internal":"http://a{i}.corp/"}}"#);
    let apps: Vec<String> = (0..500).map(app).collect();
    let maps = Rc::new(Maps::read(format!(r#"{{"version":"1","apps":[{}]}}"#, apps.join(",")).as_bytes()).unwrap());
    let page: String = (0..500).map(|i| format!("<a href=http://a{i}.corp/x>{i}</a>")).collect();
    let out = translate(&maps, "a3", Kind::Html, [page.as_bytes()]);
    assert_eq!(String::from_utf8(out).unwrap(), page.replace("http://", "https://").replace(".corp", ".example"));
}

#[test]
fn what_was_translated_is_counted() {
    let maps = maps();
    let mut body = body(&maps, "i", Kind::Html);
    let mut out = Vec::new();
    body.write(b"<a href=http://i.corp/><img srcset='//i.corp/a, //i.corp/b'>", &mut out);
    body.end(&mut out);
    assert_eq!((body.translated(), body.long_tokens()), (3, 0));
}

#[test]
fn many_bodies_together_keep_no_more_than_half_of_the_memory() {
    let (maps, clean, link) = (maps(), "<p>clean</p>\n".repeat(1200), "<a href='http://i.corp/'>");
    let mut bodies: Vec<(Body, Vec<u8>)> = (0..100).map(|_| (body(&maps, "i", Kind::Html), Vec::new())).collect();
    for _ in 0..40 {
        for (body, out) in &mut bodies {
            body.write(clean.as_bytes(), out);
            // The one that fills it up goes over it, by what a vector grows at once, and all have a chunk.
            assert!(maps.kept() <= (32 + 4) << 20, "{}", maps.kept());
        }
    }
    assert!(maps.kept() > 16 << 20, "nothing was kept: {}", maps.kept());
    let expected = clean.repeat(40) + "<a href='https://i.example/'>";
    for (body, out) in &mut bodies {
        body.write(link.as_bytes(), out);
        body.end(out);
        assert_eq!(out.len(), expected.len());
        assert!(*out == expected.as_bytes());
    }
    drop(bodies);
    assert_eq!(maps.kept(), 0);
}
