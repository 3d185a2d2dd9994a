//! Charsets as browsers find them; prescan cases after those of the web platform tests.

use super::*;
use proptest::prelude::*;

fn by_header(value: &'static str) -> Charset {
    charset_of(Some(&HeaderValue::from_static(value)), b"")
}

fn by_body(body: &str) -> Option<&'static str> {
    let charset = charset_of(None, body.as_bytes());
    assert_eq!(charset.source == Source::Unknown, charset.label == "unknown");
    (charset.source != Source::Unknown).then_some(charset.label)
}

#[test]
fn a_mark_outranks_the_header_and_the_header_the_body() {
    let header = HeaderValue::from_static("text/html; charset=koi8-r");
    let meta = b"<meta charset=shift_jis>";
    assert_eq!(charset_of(Some(&header), b"\xef\xbb\xbfx").label, "UTF-8");
    assert_eq!(charset_of(Some(&header), b"\xff\xfe<\0").source, Source::Mark);
    assert_eq!(charset_of(Some(&header), meta), Charset { label: "KOI8-R", source: Source::Header });
    assert_eq!(charset_of(None, meta), Charset { label: "Shift_JIS", source: Source::Body });
    assert_eq!(charset_of(None, b"<p>"), Charset { label: "unknown", source: Source::Unknown });
}

#[test]
fn utf_16_is_found_by_mark_header_and_declaration() {
    assert_eq!(charset_of(None, b"\xfe\xff\0<").label, "UTF-16BE");
    assert_eq!(charset_of(None, b"\xff\xfe<\0").label, "UTF-16LE");
    assert_eq!(by_header("text/html;charset=utf-16").label, "UTF-16LE");
    assert!(by_header("text/html;charset=utf-16be").hides_ascii());
    assert_eq!(charset_of(None, b"<\0?\0x\0m\0").label, "UTF-16LE");
    assert_eq!(charset_of(None, b"\0<\0?\0x\0m").label, "UTF-16BE");
    // Read as ASCII, so it cannot be.
    assert_eq!(by_body("<meta charset=utf-16>"), Some("UTF-8"));
    assert_eq!(by_body("<?xml version=\"1.0\" encoding=\"UTF-16\"?>"), Some("UTF-8"));
}

#[test]
fn rfc9110_8_3_1_the_parameter_is_found_however_it_is_written() {
    for value in [
        "text/html; charset=utf-8",
        "text/html;CHARSET=UTF8",
        "text/html;  charset=\"utf-8\"; x=y",
        "text/html; boundary=x; charset=utf-8 ; y",
        "text/html; xcharset=latin1; charset=utf-8",
        "; charset=utf-8",
    ] {
        assert_eq!(by_header(value), Charset { label: "UTF-8", source: Source::Header }, "{value}");
    }
    for value in
        ["text/html", "text/html; charset", "text/html; charset=", "text/html; charset=nonsense", "", ";", ";;"]
    {
        assert_eq!(by_header(value).source, Source::Unknown, "{value}");
    }
}

#[test]
fn html_13_2_3_2_prescan_finds_declarations() {
    let koi = Some("KOI8-R");
    for body in [
        "<meta charset=koi8-r>",
        "<META CHARSET = 'koi8-r' />",
        "<meta/charset=\"koi8-r\">",
        "<!doctype html><html lang=x><head><title>x</title><meta name=a content=b><meta charset=koi8-r>",
        "<meta http-equiv=Content-Type content='text/html; charset=koi8-r'>",
        "<meta content='text/html; charset=\"koi8-r\"' http-equiv='content-type'>",
        "<meta content='charset charset = koi8-r;x' http-equiv='content-type'>",
        "<!-- <meta charset=utf-8> --><meta charset=koi8-r>",
        "<!--><meta charset=koi8-r>",
        "<p title='<meta charset=utf-8>'><meta charset=koi8-r>",
        "</p x='>'><meta charset=koi8-r>",
        "<? <meta charset=utf-8 ?><meta charset=koi8-r>",
        "<meta charset=nonsense><meta charset=koi8-r>",
        "a < b <meta charset=koi8-r>",
        "<?xml version='1.0' encoding='koi8-r'?><html>",
        "<?xml version='1.0' encoding='utf-8'?><html><meta charset=koi8-r>",
        "<meta charset=koi8-r charset=utf-8>",
    ] {
        assert_eq!(by_body(body), koi, "{body}");
    }
}

#[test]
fn html_13_2_3_2_prescan_finds_nothing_else() {
    for body in [
        "<metacharset=koi8-r>",
        "<meta name=charset content=koi8-r>",
        "<meta content='text/html; charset=koi8-r'>",
        "<!-- <meta charset=koi8-r>",
        "<p title=\"<meta charset=koi8-r>\">",
        "<meta charset='koi8-r",
        "<meta charset='koi8-r'",
        "<meta charset=koi8-r ",
        "<meta http-equiv=content-type content='text/html; charset=\"koi8-r'>",
        "<",
        "<m",
        "<meta",
        "<meta ",
        "<!",
        "charset=koi8-r",
    ] {
        assert_eq!(by_body(body), None, "{body}");
    }
    let late = format!("{:1024}<meta charset=koi8-r>", "");
    assert_eq!(by_body(&late), None);
}

proptest! {
    #[test]
    fn no_body_and_no_header_panics(
        header in "[a-z;=\" ]{0,40}",
        body in prop::collection::vec(prop::sample::select(&b"<>!-/=?'\" metachrsxl;\0\xff\xfe"[..]), 0..200),
    ) {
        let header = HeaderValue::from_str(&header).ok();
        for header in [header.as_ref(), None] {
            let charset = charset_of(header, &body);
            prop_assert_eq!(charset.source == Source::Unknown, charset.label == "unknown");
        }
    }

    #[test]
    fn a_declaration_is_found_behind_any_text(before in "[^<]{0,200}") {
        let body = format!("{before}<meta charset=koi8-r>");
        let found = charset_of(None, body.as_bytes());
        prop_assert!(found.label == "KOI8-R" || found.source == Source::Mark);
    }
}
