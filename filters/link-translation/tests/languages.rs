//! CSS, scripts, XML and the rest, point by point of the checklist.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use link_translation::Kind;
use world::{check, untouched};

#[test]
fn css() {
    check(
        Kind::Css,
        &[
            ("i", "a{b:url(http://i.corp/x)}", "a{b:url(https://i.example/x)}"),
            ("i", "a{b:url( 'http://i.corp/x' )}", "a{b:url( 'https://i.example/x' )}"),
            ("i", "a{b:URL(\"http://i.corp\")}", "a{b:URL(\"https://i.example\")}"),
            (
                "i",
                "@import 'http://i.corp/a';@IMPORT\"//i.corp/a\" screen;",
                "@import 'https://i.example/a';@IMPORT\"//i.example/a\" screen;",
            ),
            ("i", "@import url(http://i.corp/a) layer(x);", "@import url(https://i.example/a) layer(x);"),
            (
                "i",
                "a{b:image-set(\"http://i.corp/a\" 1x type(\"http://i.corp\"),url(http://i.corp/b) 2x)}",
                "a{b:image-set(\"https://i.example/a\" 1x type(\"http://i.corp\"),url(https://i.example/b) 2x)}",
            ),
            (
                "i",
                "@font-face{src:url(http://i.corp/f) format('x'),src('http://i.corp/g')}",
                "@font-face{src:url(https://i.example/f) format('x'),src('https://i.example/g')}",
            ),
            ("i", r"a{b:u\72 l(http\3a\2f\2f i.corp\/x)}", r"a{b:u\72 l(https://i.example\/x)}"),
            ("i", r#"a{b:url("http:\/\/i.corp/x\"y")}"#, r#"a{b:url("https://i.example/x\"y")}"#),
            ("i", "a{b:url(http://i.corp/x", "a{b:url(https://i.example/x"),
            ("i", "a{b:url(http://odd.corp/x)}", "a{b:url(https://odd.example/a%26b%28%27c%27%29/x)}"),
            ("w", "a{b:url(/wiki/x);c:url(x)}", "a{b:url(/docs/x);c:url(x)}"),
            ("i", "a{b:'un\nclosed;c:url(http://i.corp)}", "a{b:'un\nclosed;c:url(https://i.example)}"),
        ],
    );
    untouched(
        Kind::Css,
        &[
            ("i", "/* url(http://i.corp/) */a{content:\"http://i.corp/\"}"),
            ("i", "a{content:'url(http://i.corp/)';b:curl(http://i.corp/)}"),
            ("i", "@namespace 'http://i.corp/';@media x{a{content:'http://i.corp'}}"),
            ("i", "a{b:url(http://i.corp.evil/)}a[href='http://i.corp/']{}"),
            ("i", "a{b:attr(x 'http://i.corp/')}\\"),
            ("i", "@import;a{content:'http://i.corp/'}"),
        ],
    );
}

#[test]
fn scripts() {
    check(
        Kind::Script,
        &[
            ("js", r#"{"href":"http://i.corp/a"}"#, r#"{"href":"https://i.example/a"}"#),
            ("js", r#"{"href":"http:\/\/i.corp\/a"}"#, r#"{"href":"https:\/\/i.example\/a"}"#),
            ("js", r#"a="http:\u002f\u002fi.corp\u002Fa""#, r#"a="https:\u002f\u002fi.example\u002Fa""#),
            ("js", r#"a="http\u003a//i.corp",b='\x2f\x2fi.corp/'"#, r#"a="https://i.example",b='\x2f\x2fi.example/'"#),
            (
                "js",
                r#"{"@odata.context":"http://10.0.0.1:3000/wiki/$metadata#x"}"#,
                r#"{"@odata.context":"https://w.example/docs/$metadata#x"}"#,
            ),
            (
                "js",
                r#"{"_links":{"self":{"href":"http:\/\/10.0.0.1:3000\/wiki"}}}"#,
                r#"{"_links":{"self":{"href":"https:\/\/w.example\/docs"}}}"#,
            ),
            (
                "js",
                r#"{"html":"<a href=\"http://i.corp/\">\nhttp://i.corp\n\u003ca href=\u0022http://i.corp"}"#,
                r#"{"html":"<a href=\"https://i.example/\">\nhttps://i.example\n\u003ca href=\u0022https://i.example"}"#,
            ),
            (
                "js",
                r#"["http://i.corp","//i.corp/x","ws://i.corp"]"#,
                r#"["https://i.example","//i.example/x","wss://i.example"]"#,
            ),
            ("js", "f(`http://i.corp/${x}`)", "f(`https://i.example/${x}`)"),
            ("js", "'see http://i.corp. Or http://i.corp: x'", "'see https://i.example. Or https://i.example: x'"),
            ("js", "'http://i.corp,http://js.corp:8080'", "'https://i.example,https://js.example'"),
            ("js", "//# sourceMappingURL=http://i.corp/a.map", "//# sourceMappingURL=https://i.example/a.map"),
            ("js", "'http://red.t.corp/'+'HTTP://I.CORP/'", "'https://red.t.example/'+'https://i.example/'"),
        ],
    );
    untouched(
        Kind::Script,
        &[
            ("js", "'http://i.corp.evil/' 'http://i.corpx' 'xhttp://i.corp' 'http://i.corp:81' 'http://i.corp-x/'"),
            ("js", "'http://u:p@i.corp/' 'http://i.corp@evil/' 'http://i.corp;x@evil/' 'http://i.corp:80$@evil'"),
            ("js", "'http://evil/?u=http://i.corp/' 'https:\\/\\/evil\\/?u=http:\\/\\/i.corp\\/'"),
            ("js", "a=1//i.corp/x\nb=/http:/;c=d/ /i.corp/x"),
            ("js", "'http:/' + '/i.corp' + 'i.corp' + 'https://i.corp/'"),
            ("js", "'blob:http://i.corp/1'"),
        ],
    );
}

#[test]
fn manifests_and_events() {
    check(Kind::Manifest, &[("i", r#"{"start_url":"http://i.corp/"}"#, r#"{"start_url":"https://i.example/"}"#)]);
    check(
        Kind::EventStream,
        &[(
            "js",
            "event: a\ndata: {\"u\":\"http:\\/\\/i.corp/\"}\n\ndata: http://i.corp/x\n\n",
            "event: a\ndata: {\"u\":\"https:\\/\\/i.example/\"}\n\ndata: https://i.example/x\n\n",
        )],
    );
}

#[test]
fn playlists() {
    check(
        Kind::Playlist,
        &[(
            "i",
            "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"http://i.corp/k\"\nhttp://i.corp/a.ts\nb.ts\n",
            "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://i.example/k\"\nhttps://i.example/a.ts\nb.ts\n",
        )],
    );
}

#[test]
fn xml() {
    check(
        Kind::Xml,
        &[
            (
                "i",
                "<?xml version='1.0'?><?xml-stylesheet href='http://i.corp/a.xsl'?><a/>",
                "<?xml version='1.0'?><?xml-stylesheet href='https://i.example/a.xsl'?><a/>",
            ),
            (
                "i",
                "<rss><link>http://i.corp/a?b&amp;c</link><guid> http://i.corp/ </guid></rss>",
                "<rss><link>https://i.example/a?b&amp;c</link><guid> https://i.example/ </guid></rss>",
            ),
            (
                "i",
                "<description>&lt;a href=&quot;http://i.corp/&quot;&gt;&lt;img src=&quot;//i.corp/x&quot;&gt;</description>",
                "<description>&lt;a href=&quot;https://i.example/&quot;&gt;&lt;img src=&quot;//i.example/x&quot;&gt;</description>",
            ),
            (
                "i",
                "<c:encoded><![CDATA[<a href=\"http://i.corp/\">]]></c:encoded>",
                "<c:encoded><![CDATA[<a href=\"https://i.example/\">]]></c:encoded>",
            ),
            (
                "i",
                "<urlset xmlns='http://i.corp/ns'><loc>http://i.corp/x</loc></urlset>",
                "<urlset xmlns='http://i.corp/ns'><loc>https://i.example/x</loc></urlset>",
            ),
            ("i", "<soap:address location=\"http://i.corp/ws\"/>", "<soap:address location=\"https://i.example/ws\"/>"),
            (
                "i",
                "<svg xmlns:xlink='http://i.corp/'><image xlink:href='http://i.corp/a'/><style>a{b:url(http://i.corp/c)}</style></svg>",
                "<svg xmlns:xlink='http://i.corp/'><image xlink:href='https://i.example/a'/><style>a{b:url(https://i.example/c)}</style></svg>",
            ),
            (
                "i",
                "<!DOCTYPE x [<!ENTITY a '>'>]><a href='http://i.corp/'/>",
                "<!DOCTYPE x [<!ENTITY a '>'>]><a href='https://i.example/'/>",
            ),
            (
                "i",
                "<html xmlns='http://www.w3.org/1999/xhtml'><script/><a href='http://i.corp/'>x</a></html>",
                "<html xmlns='http://www.w3.org/1999/xhtml'><script/><a href='https://i.example/'>x</a></html>",
            ),
            (
                "i",
                "<BaseURL>http://i.corp/v/</BaseURL><SegmentTemplate media='http://i.corp/$Number$'/>",
                "<BaseURL>https://i.example/v/</BaseURL><SegmentTemplate media='https://i.example/$Number$'/>",
            ),
            ("i", "<a><!-- http://i.corp/ --></a>", "<a><!-- http://i.corp/ --></a>"),
        ],
    );
}
