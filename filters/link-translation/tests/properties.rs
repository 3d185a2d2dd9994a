//! Bodies made of pieces, against the rules that have no exception, and against lol_html as the
//! judge of what is a tag.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use std::cell::RefCell;
use std::rc::Rc;

use link_translation::{Body, Kind, Maps};
use lol_html::{HtmlRewriter, Settings, element};
use proptest::prelude::*;
use world::{maps, translate};

const KINDS: [Kind; 5] = [Kind::Html, Kind::Xml, Kind::Css, Kind::Script, Kind::Playlist];

/// What a document of these tests is made of.
const WORDS: &[&str] = &[
    "<a href=",
    "<a href=\"",
    "\">",
    "'>",
    ">",
    "<",
    "</",
    "/>",
    "<!--",
    "-->",
    "--!>",
    "<!-->",
    "<img srcset='",
    " 1x, ",
    "<p style=\"a:url(",
    ")",
    "url(",
    "url('",
    "\"",
    "'",
    "<style>",
    "</style>",
    "<script>",
    "</script>",
    "<script><!--<script>",
    "<title>",
    "</title>",
    "<textarea>",
    "</textarea>",
    "<svg>",
    "</svg>",
    "<math>",
    "<noscript>",
    "</noscript>",
    "<![CDATA[",
    "]]>",
    "<!doctype html>",
    "<?x ",
    "?>",
    "<iframe srcdoc=\"",
    "&quot;",
    "&lt;",
    "&#47;",
    "&amp;",
    "@import ",
    "/*",
    "*/",
    "\\",
    "\\/",
    "\\u002f",
    "\\n",
    ";",
    "{",
    "}",
    "(",
    " ",
    "\n",
    "\t",
    "=",
    "/",
    "//",
    ":",
    "http:",
    "http",
    "https://",
    "http://i.corp/",
    "http://i.corp",
    "//i.corp/x",
    "http:\\/\\/i.corp",
    "http://i.corp.evil/",
    "http://10.0.0.1:3000/wiki/",
    "i.corp",
    "http://evil/?",
    "data-x=y",
    "x",
    "foreignObject>",
    "<title ",
    "<meta http-equiv=refresh content='0;url=",
    "<base href=",
    "\u{fc}",
    "\0",
    "<plaintext>",
];

/// What markup, style sheets and scripts are made of, and addresses, some of which are ours.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(WORDS);
    let piece = prop_oneof![
        12 => words.prop_map(|word: &str| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn cut(body: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec()).collect()
}

fn run(maps: &Rc<Maps>, app: &str, kind: Kind, parts: &[Vec<u8>]) -> Vec<u8> {
    translate(maps, app, kind, parts.iter().map(Vec::as_slice))
}

/// Puts the internal origins back, longest first.
fn unmapped(text: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for (external, internal) in [
        ("https://i.example", "http://i.corp"),
        ("//i.example", "//i.corp"),
        ("https:\\/\\/i.example", "http:\\/\\/i.corp"),
        ("https://w.example/docs", "http://10.0.0.1:3000/wiki"),
    ] {
        text = text.replace(external, internal);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn chunks_make_no_difference(body in pieces(), cuts: [usize; 3], kind in 0..5_usize, scripts: bool) {
        let maps = maps();
        let app = if scripts { "js" } else { "w" };
        let whole = translate(&maps, app, KINDS[kind], [&body[..]]);
        let parts = run(&maps, app, KINDS[kind], &cut(&body, &cuts));
        prop_assert_eq!(String::from_utf8_lossy(&parts), String::from_utf8_lossy(&whole));
        let bytes = translate(&maps, app, KINDS[kind], body.chunks(1));
        prop_assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn looking_first_makes_no_difference(body in pieces(), filler in 0..3_usize, cuts: [usize; 3], kind in 0..3_usize, scripts: bool) {
        let maps = maps();
        let app = maps.table.app(if scripts { b"js" } else { b"i" });
        let filler = [&b""[..], b"<p class=x>y</p>", b"a{b:c}"][filler].repeat(20);
        let body = [&filler[..], &body, &filler].concat();
        let mut parsed = Vec::new();
        let mut always = Body::new(&maps, app, KINDS[kind]).without_looking();
        always.write(&body, &mut parsed);
        always.end(&mut parsed);
        let looked = run(&maps, if scripts { "js" } else { "i" }, KINDS[kind], &cut(&body, &cuts));
        prop_assert_eq!(String::from_utf8_lossy(&looked), String::from_utf8_lossy(&parsed));
    }

    #[test]
    fn any_bytes_are_survived_and_kept(body: Vec<u8>, cuts: [usize; 2], kind in 0..5_usize) {
        let maps = maps();
        prop_assert_eq!(run(&maps, "js", KINDS[kind], &cut(&body, &cuts)), body);
    }

    #[test]
    fn without_an_internal_host_nothing_changes(body in pieces(), kind in 0..5_usize) {
        let text = String::from_utf8_lossy(&body).replace("corp", "kopr").replace("10.0", "11.0");
        prop_assume!(!text.contains("integrity"));
        let translated = translate(&maps(), "js", KINDS[kind], [text.as_bytes()]);
        prop_assert_eq!(String::from_utf8_lossy(&translated), text);
    }

    #[test]
    fn putting_the_internal_origins_back_gives_the_source(body in pieces(), kind in 0..5_usize) {
        // Only forms whose translation says what it was: no odd spellings.
        let text = String::from_utf8_lossy(&body).replace("&#47;", "").replace("\\u002f", "").replace(['\\', '\n', '\t'], " ").replace("//", "/").replace(":/", "://")
            .replace(":?", "?").replace(":#", "#").replace("corp:/", "corp/"); // an empty port is not put back
        let translated = translate(&maps(), "js", KINDS[kind], [text.as_bytes()]);
        prop_assert_eq!(unmapped(&translated), text);
    }

    #[test]
    fn once_is_for_good(body in pieces(), kind in 0..5_usize) {
        let maps = maps();
        let once = translate(&maps, "js", KINDS[kind], [&body[..]]);
        let twice = translate(&maps, "js", KINDS[kind], [&once[..]]);
        prop_assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&once));
    }

    /// Every `href` that lol_html finds has been translated, and nothing else was.
    #[test]
    fn lol_html_finds_the_same_links(body in pieces()) {
        let text = String::from_utf8_lossy(&body).replace("noscript", "nothing").replace("srcdoc", "nothing")
            .replace("style", "nothing").replace(" content", " nothing").replace("<base", "<bass").replace('\0', "");
        let expected = hrefs(&text).iter().filter(|href| maps_to_i(href)).count();
        let translated = translate(&maps(), "i", Kind::Html, [text.as_bytes()]);
        let translated = String::from_utf8_lossy(&translated).into_owned();
        let left = hrefs(&translated).iter().filter(|href| maps_to_i(href)).count();
        prop_assert_eq!(left, 0, "{} -> {}", text, translated);
        prop_assert!(translated.matches("i.example").count() >= expected, "{} -> {}", text, translated);
        let srcset = text.contains("srcset");
        if !srcset {
            prop_assert_eq!(translated.matches("i.example").count(), expected, "{} -> {}", text, translated);
        }
    }
}

/// Whether a plain value is an address of `i`.
fn maps_to_i(href: &str) -> bool {
    let href = href.trim_matches(|c: char| c <= ' ').replace(['\t', '\n'], "").replace('\\', "/");
    let rest = href.strip_prefix("http:").unwrap_or(&href);
    let Some(rest) = rest.strip_prefix("//") else { return false };
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    matches!(rest[..end].strip_suffix('.').unwrap_or(&rest[..end]), "i.corp" | "i.corp:")
}

/// All values of `href`, references resolved as far as the pieces have them.
fn hrefs(html: &str) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    let settings = Settings::new().with_strict(false).append_element_content_handler(element!("[href]", |element| {
        // All of them: a browser ignores the second, but it is an address all the same.
        for attribute in element.attributes().iter().filter(|attribute| attribute.name() == "href") {
            let href = attribute.value();
            let plain = href
                .replace("&#47;", "/")
                .replace("&amp;", "&")
                .replace("&lt;", "<")
                .replace("&quot;", "\"")
                .replace("&#9;", "");
            found.borrow_mut().push(plain);
        }
        Ok(())
    }));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(html.as_bytes()).unwrap();
    rewriter.end().unwrap();
    found.into_inner()
}
