//! The forms of a URL in HTML: schemes, hosts, ports, entities, paths, mappings of one app.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use link_translation::Kind;
use world::{check, untouched};

#[test]
fn url_forms() {
    for (url, expected) in [
        ("http://i.corp", "https://i.example"),
        ("HTTP://I.Corp:80/X?y", "https://i.example/X?y"),
        ("http://i.corp./x", "https://i.example/x"),
        ("//i.corp/x", "//i.example/x"),
        ("ws://i.corp/x", "wss://i.example/x"),
        ("https://p.corp/x", "http://p.example/x"),
        ("wss://p.corp/x", "ws://p.example/x"),
        ("//p.corp/x", "http://p.example/x"),
        ("  http://i.corp/x  ", "  https://i.example/x  "),
        ("ht\ntp:/\t/i.co\r\nrp/x\ty", "https://i.example/x\ty"),
        ("\\\\i.corp\\x", "//i.example\\x"),
        ("http:\\\\i.corp\\x\\y", "https://i.example\\x\\y"),
        ("http&#58;&#x2F;&sol;i&period;corp&#47;a&amp;b", "https://i.example&#47;a&amp;b"),
        ("&#104;ttp://i.corp/?a&amp;b=&quot;", "https://i.example/?a&amp;b=&quot;"),
        ("http://xn--bcher-kva.corp/", "https://idn.example/"),
        ("http://b\u{fc}cher.corp/", "https://idn.example/"),
        ("http://B\u{dc}CHER.corp/", "https://idn.example/"),
        ("http://b&#252;cher.corp/", "https://idn.example/"),
        ("http://red.t.corp/x", "https://red.t.example/x"),
        ("http://10.0.0.1:3000/wiki/p", "https://w.example/docs/p"),
        ("http://10.0.0.1:3000/wiki", "https://w.example/docs"),
        ("http://js.corp:8080/", "https://js.example/"),
        ("http://odd.corp/d?e&f", "https://odd.example/a%26b%28%27c%27%29/d?e&f"),
    ] {
        check(Kind::Html, &[("i", &format!("<a href=\"{url}\">"), &format!("<a href=\"{expected}\">"))]);
    }
}

#[test]
fn other_urls_stay() {
    for url in [
        "http://i.corp.evil/",
        "http://i.corpx/",
        "http://xi.corp/",
        "http://i.corp@evil/",
        "http://user:secret@i.corp/",
        "http://i.corp:81/",
        "https://i.corp/",
        "http://evil/http://i.corp/",
        "http://evil/?u=http://i.corp/",
        "http:i.corp/",
        "/x",
        "x",
        "?http://i.corp/",
        "#",
        "",
        "javascript:location='http://i.corp/'",
        "data:text/html,<a%20href='http://i.corp/'>",
        "blob:http://i.corp/1",
        "mailto:a@i.corp",
        "https://i.example/",
        "http://10.0.0.1:3000/wikis",
        "http://10.0.0.1:3000/",
        "http://a.b.t.corp/",
    ] {
        untouched(Kind::Html, &[("i", &format!("<a href=\"{url}\">"))]);
    }
}

#[test]
fn paths_of_an_app_whose_path_differs() {
    check(
        Kind::Html,
        &[
            (
                "w",
                "<a href=/wiki/p><a href='/wiki'><a href=/wikis><a href=p>",
                "<a href=/docs/p><a href='/docs'><a href=/wikis><a href=p>",
            ),
            ("w", "<img srcset='/wiki/a 1x, /wiki/b'>", "<img srcset='/docs/a 1x, /docs/b'>"),
            ("w", "<style>a{b:url(/wiki/x)}</style>", "<style>a{b:url(/docs/x)}</style>"),
            ("i", "<a href=/wiki/p>", "<a href=/wiki/p>"),
            // A base leads paths elsewhere.
            ("w", "<base href='http://i.corp/'><a href=/wiki/p>", "<base href='https://i.example/'><a href=/wiki/p>"),
            (
                "i",
                "<base href='http://10.0.0.1:3000/wiki/a/'><a href=/wiki/p>",
                "<base href='https://w.example/docs/a/'><a href=/docs/p>",
            ),
            ("w", "<base href='http://other/'><a href=/wiki/p>", "<base href='http://other/'><a href=/wiki/p>"),
        ],
    );
}

#[test]
fn mappings_of_one_app() {
    check(
        Kind::Html,
        &[
            (
                "x",
                "<a href=http://old.corp/a/b><a href=http://old.corp/>",
                "<a href=https://x.example/old/b><a href=http://old.corp/>",
            ),
            ("i", "<a href=http://old.corp/a/b>", "<a href=http://old.corp/a/b>"),
        ],
    );
}
