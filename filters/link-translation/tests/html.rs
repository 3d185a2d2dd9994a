//! HTML, point by point of the checklist.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use link_translation::Kind;
use world::{check, untouched};

/// Element and attribute: what the original translates, and what Lockgate adds.
#[test]
fn every_attribute_of_the_list() {
    let listed = [
        ("a", "href"),
        ("area", "href"),
        ("audio", "src"),
        ("base", "href"),
        ("button", "formaction"),
        ("div", "data-background"),
        ("div", "data-src"),
        ("embed", "src"),
        ("form", "action"),
        ("frame", "src"),
        ("head", "profile"),
        ("html", "manifest"),
        ("iframe", "longdesc"),
        ("iframe", "src"),
        ("img", "longdesc"),
        ("img", "src"),
        ("input", "formaction"),
        ("input", "src"),
        ("input", "value"),
        ("link", "href"),
        ("menuitem", "icon"),
        ("meta", "content"),
        ("object", "archive"),
        ("object", "data"),
        ("object", "codebase"),
        ("script", "src"),
        ("source", "src"),
        ("track", "src"),
        ("video", "src"),
        ("video", "poster"),
        ("source", "srcset"),
        ("img", "srcset"),
        ("link", "imagesrcset"),
        ("blockquote", "cite"),
        ("body", "background"),
        ("a", "ping"),
        ("use", "xlink:href"),
        ("param", "value"),
    ];
    let rows: Vec<(String, String)> = listed
        .iter()
        .flat_map(|(element, attribute)| {
            [
                (
                    format!("<{element} {attribute}=\"http://i.corp/a?b#c\">"),
                    format!("<{element} {attribute}=\"https://i.example/a?b#c\">"),
                ),
                (
                    format!("<{element}\n {attribute} = 'http://i.corp' x>"),
                    format!("<{element}\n {attribute} = 'https://i.example' x>"),
                ),
                (
                    format!("<{element} {attribute}=http://i.corp/>"),
                    format!("<{element} {attribute}=https://i.example/>"),
                ),
            ]
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(body, expected)| ("i", body.as_str(), expected.as_str())).collect();
    check(Kind::Html, &rows);
}

#[test]
fn other_attributes_and_text_stay() {
    untouched(
        Kind::Html,
        &[
            ("i", "see http://i.corp/ and <b title='http://i.corp/'>http://i.corp/</b>"),
            ("i", "<!-- <a href='http://i.corp/'> --> <a class=http://i.corp/ data-url=http://i.corp/>"),
            ("i", "<li value=http://i.corp/><div data=http://i.corp/ content=http://i.corp/>"),
            ("i", "<script>a='http://i.corp/'</script><textarea><a href='http://i.corp/'></textarea>"),
            ("i", "<title><a href='http://i.corp/'></title><xmp><a href='http://i.corp/'></xmp>"),
            ("i", "<a onclick=\"location='http://i.corp/'\">"),
            ("i", "<plaintext><a href='http://i.corp/'>"),
            ("i", "</a href='http://i.corp/'>"),
            ("i", "<a href='http://i.corp/"),
        ],
    );
}

#[test]
fn srcset() {
    check(
        Kind::Html,
        &[
            (
                "i",
                "<img srcset=\"http://i.corp/a 1x, //i.corp/b,c 2x , rel 3x,http://evil/d\">",
                "<img srcset=\"https://i.example/a 1x, //i.example/b,c 2x , rel 3x,http://evil/d\">",
            ),
            (
                "i",
                "<img srcset='http://i.corp/a, http://i.corp/b&amp;c'>",
                "<img srcset='https://i.example/a, https://i.example/b&amp;c'>",
            ),
        ],
    );
}

#[test]
fn styles() {
    check(
        Kind::Html,
        &[
            ("i", "<p style=\"a:url(http://i.corp/x)\">", "<p style=\"a:url(https://i.example/x)\">"),
            (
                "i",
                "<p style=\"a:url(&quot;http://i.corp/x&quot;);b:url('//i.corp/')\">",
                "<p style=\"a:url(&quot;https://i.example/x&quot;);b:url('//i.example/')\">",
            ),
            (
                "i",
                "<style>@import \"http://i.corp/a.css\";b{c:url( http://i.corp/x )}</style><a href=http://i.corp>",
                "<style>@import \"https://i.example/a.css\";b{c:url( https://i.example/x )}</style><a href=https://i.example>",
            ),
            (
                "i",
                "<svg><path fill=\"url(http://i.corp/a#b)\"/></svg>",
                "<svg><path fill=\"url(https://i.example/a#b)\"/></svg>",
            ),
            (
                "i",
                "<svg><style>a{b:url(http://i.corp/x)}</style></svg>",
                "<svg><style>a{b:url(https://i.example/x)}</style></svg>",
            ),
        ],
    );
}

#[test]
fn srcdoc_is_a_document() {
    check(
        Kind::Html,
        &[
            (
                "i",
                "<iframe srcdoc=\"<a href=http://i.corp/><p style='a:url(http://i.corp/)'>http://i.corp/\">",
                "<iframe srcdoc=\"<a href=https://i.example/><p style='a:url(https://i.example/)'>http://i.corp/\">",
            ),
            (
                "i",
                "<iframe srcdoc='&lt;a href=&quot;http://i.corp/?a&amp;amp;b&quot;>'>",
                "<iframe srcdoc='&lt;a href=&quot;https://i.example/?a&amp;amp;b&quot;>'>",
            ),
            (
                "i",
                "<iframe srcdoc=\"<iframe srcdoc='<a href=http://i.corp/>'>\">",
                "<iframe srcdoc=\"<iframe srcdoc='<a href=https://i.example/>'>\">",
            ),
        ],
    );
}

#[test]
fn meta() {
    check(
        Kind::Html,
        &[
            (
                "i",
                "<meta http-equiv=refresh content='0; url=http://i.corp/a?b&amp;c'>",
                "<meta http-equiv=refresh content='0; url=https://i.example/a?b&amp;c'>",
            ),
            (
                "i",
                "<meta content=\"3;URL='http://i.corp/'\" http-equiv=Refresh>",
                "<meta content=\"3;URL='https://i.example/'\" http-equiv=Refresh>",
            ),
            (
                "i",
                "<meta http-equiv=Content-Security-Policy content='img-src &#39;self&#39; http://i.corp &eacute; img-src http://i.corp;'>",
                "<meta http-equiv=Content-Security-Policy content='img-src &#39;self&#39; https://i.example &eacute; img-src https://i.example;'>",
            ),
            (
                "i",
                "<meta http-equiv=refresh content=\"0;url= http://i.corp?>\na\n  b\">",
                "<meta http-equiv=refresh content=\"0;url= https://i.example?>\na\n  b\">",
            ),
            (
                "x",
                "<meta http-equiv=refresh content='0;url=http://old.corp/a/b'>",
                "<meta http-equiv=refresh content='0;url=https://x.example/old/b'>",
            ),
            (
                "i",
                "<meta http-equiv=Content-Security-Policy content=\"default-src 'self' http://i.corp; connect-src ws://i.corp\">",
                "<meta http-equiv=Content-Security-Policy content=\"default-src 'self' https://i.example; connect-src wss://i.example\">",
            ),
            (
                "i",
                "<meta property=og:url content=http://i.corp/x>",
                "<meta property=og:url content=https://i.example/x>",
            ),
            (
                "i",
                "<meta name=description content='see http://i.corp/'>",
                "<meta name=description content='see http://i.corp/'>",
            ),
        ],
    );
}

#[test]
fn noscript_is_markup_that_ends_where_its_text_does() {
    check(
        Kind::Html,
        &[
            (
                "i",
                "<noscript><img src=http://i.corp/></noscript><a href=http://i.corp/>",
                "<noscript><img src=https://i.example/></noscript><a href=https://i.example/>",
            ),
            (
                "i",
                "<noscript><!-- </noscript><a href=http://i.corp/>",
                "<noscript><!-- </noscript><a href=https://i.example/>",
            ),
            (
                "i",
                "<noscript><a title='</noscript><a href=http://i.corp/>",
                "<noscript><a title='</noscript><a href=https://i.example/>",
            ),
        ],
    );
}

#[test]
fn integrity_goes_where_its_target_is_translated() {
    check(
        Kind::Html,
        &[
            (
                "i",
                "<link rel=stylesheet href=http://i.corp/a.css integrity='sha256-x' crossorigin>",
                "<link rel=stylesheet href=https://i.example/a.css crossorigin>",
            ),
            ("i", "<link integrity=x rel=stylesheet href=/a.css>", "<link rel=stylesheet href=/a.css>"),
            (
                "i",
                "<link rel=stylesheet href=https://i.example/a.css integrity=x>",
                "<link rel=stylesheet href=https://i.example/a.css>",
            ),
            (
                "i",
                "<script src=http://js.corp:8080/a.js integrity='x'></script>",
                "<script src=https://js.example/a.js></script>",
            ),
            (
                "i",
                "<link href='http://js.corp:8080/a.js'integrity='x'rel=modulepreload>",
                "<link href='https://js.example/a.js'rel=modulepreload>",
            ),
            ("js", "<script src=a.js integrity=x />", "<script src=a.js />"),
            ("js", "<script src=a.js integrity='x'/>", "<script src=a.js />"),
            ("i", "<script src=http://i.corp/a.js integrity=x>", "<script src=https://i.example/a.js integrity=x>"),
            (
                "i",
                "<link rel=stylesheet href=http://off.corp/a.css integrity=x>",
                "<link rel=stylesheet href=https://off.example/a.css integrity=x>",
            ),
            (
                "i",
                "<link rel=stylesheet href=https://cdn/a.css integrity=x>",
                "<link rel=stylesheet href=https://cdn/a.css integrity=x>",
            ),
        ],
    );
}

#[test]
fn scripts_only_where_asked() {
    check(
        Kind::Html,
        &[
            (
                "js",
                "<a onclick=\"go('http://i.corp/')\" data-url=http://i.corp/ hx-get=/x><script>a=\"http:\\/\\/i.corp\\/x\"</script>",
                "<a onclick=\"go('https://i.example/')\" data-url=https://i.example/ hx-get=/x><script>a=\"https:\\/\\/i.example\\/x\"</script>",
            ),
            (
                "js",
                "<script><!--\n<script></script>'http://i.corp/'--></script><b title='http://i.corp/'>",
                "<script><!--\n<script></script>'https://i.example/'--></script><b title='http://i.corp/'>",
            ),
        ],
    );
}

#[test]
fn malformed_markup_stays() {
    check(
        Kind::Html,
        &[
            ("i", "<a\0href=x <b <a/href=http://i.corp/ //x=<>>", "<a\0href=x <b <a/href=https://i.example/ //x=<>>"),
            (
                "i",
                "<a href=\"http://i.corp/\"href='http://i.corp/'>",
                "<a href=\"https://i.example/\"href='https://i.example/'>",
            ),
            (
                "i",
                "< a href=http://i.corp/></><?x http://i.corp?><!x><!----!><a href=//i.corp>",
                "< a href=http://i.corp/></><?x http://i.corp?><!x><!----!><a href=//i.example>",
            ),
            (
                "i",
                "<!--><a href=//i.corp><!---><a href=//i.corp><!--->--><a href=//i.corp>",
                "<!--><a href=//i.example><!---><a href=//i.example><!--->--><a href=//i.example>",
            ),
            (
                "i",
                "<svg><![CDATA[<a href=//i.corp>]]><a href=//i.corp></svg><![CDATA[<a href=//i.corp>]]>",
                "<svg><![CDATA[<a href=//i.corp>]]><a href=//i.example></svg><![CDATA[<a href=//i.corp>]]>",
            ),
            (
                "i",
                "<svg><style/><a href=//i.corp></svg><svg><title></svg><a href=//i.corp>",
                "<svg><style/><a href=//i.example></svg><svg><title></svg><a href=//i.example>",
            ),
            ("i", "a & b < c > d \" ' \u{0}\u{1}", "a & b < c > d \" ' \u{0}\u{1}"),
        ],
    );
}
