//! Prints how fast bodies are translated natively: `cargo run --release --example throughput [FILE…]`.
//!
//! Without files it makes a page in the manner of rustdoc with an internal address about every 100
//! bytes, the same page with addresses of others, and the same without any; and lol_html over the
//! same bytes, with handlers for the attributes that count, for comparison.

use std::rc::Rc;
use std::time::{Duration, Instant};

use link_translation::{Body, Kind, Maps};
use lol_html::{HtmlRewriter, Settings, element};

const CHUNK_BYTES: usize = 16 * 1024;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    for apps in [5, 500] {
        let maps = maps(apps);
        println!("{apps} apps");
        let bodies = [
            ("page, internal links", Kind::Html, page("http://docs1.corp:8080/std/")),
            ("page, others' links", Kind::Html, page("https://docs.rs/std/")),
            ("page, relative links", Kind::Html, page("../std/")),
            ("script, no address", Kind::Script, script("https://docs.rs/x")),
            ("script, addresses", Kind::Script, script("http://docs1.corp:8080/x")),
            ("style sheet, no address", Kind::Css, style("../a.png")),
            ("style sheet, addresses", Kind::Css, style("http://docs1.corp:8080/a.png")),
        ];
        for (name, kind, body) in &bodies {
            measure(name, body, || translate(&maps, *kind, body));
        }
        for file in &files {
            let Ok(body) = std::fs::read(file) else { continue };
            let kind = match file.rsplit('.').next() {
                Some("css") => Kind::Css,
                Some("js" | "json") => Kind::Script,
                Some("xml" | "svg") => Kind::Xml,
                _ => Kind::Html,
            };
            let name = file.rsplit('/').next().unwrap_or(file);
            measure(name, &body, || translate(&maps, kind, &body));
            if kind == Kind::Html {
                measure(&format!("{name}, lol_html"), &body, || lol(&body));
            }
        }
    }
    let body = page("http://docs1.corp:8080/std/");
    measure("page, internal links, lol_html", &body, || lol(&body));
    let body = page("../std/");
    measure("page, relative links, lol_html", &body, || lol(&body));
}

fn measure(name: &str, body: &[u8], run: impl Fn() -> usize) {
    let began = Instant::now();
    let mut best = Duration::MAX;
    let mut length = 0;
    while began.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        length = run();
        best = best.min(start.elapsed());
    }
    #[expect(clippy::cast_precision_loss, reason = "sizes of pages")]
    let speed = body.len() as f64 / best.as_secs_f64() / 1e6;
    println!("{name:36} {:9} -> {length:9} bytes  {speed:7.0} MB/s", body.len());
}

fn maps(apps: usize) -> Rc<Maps> {
    let app = |i| {
        format!(
            r#"{{"name":"d{i}","external":"https://docs{i}.example/","internal":"http://docs{i}.corp:8080/","translate_scripts":true}}"#
        )
    };
    let apps: Vec<String> = (0..apps).map(app).collect();
    let json = format!(r#"{{"version":"1","apps":[{}]}}"#, apps.join(","));
    Rc::new(Maps::read(json.as_bytes()).expect("written above"))
}

fn translate(maps: &Rc<Maps>, kind: Kind, text: &[u8]) -> usize {
    let mut body = Body::new(maps, maps.table.app(b"d1"), kind);
    let (mut out, mut length) = (Vec::new(), 0);
    for chunk in text.chunks(CHUNK_BYTES) {
        out.clear();
        body.write(chunk, &mut out);
        length += out.len();
    }
    out.clear();
    body.end(&mut out);
    length + out.len()
}

/// The same edits by lol_html: a prefix exchanged, as simple as can be.
fn lol(text: &[u8]) -> usize {
    let mut length = 0;
    let handler = |attribute: &'static str| {
        element!(format!("[{attribute}]"), move |element| {
            if let Some(value) = element.get_attribute(attribute)
                && let Some(rest) = value.strip_prefix("http://docs1.corp:8080/")
            {
                element.set_attribute(attribute, &format!("https://docs1.example/{rest}"))?;
            }
            Ok(())
        })
    };
    let settings = ["href", "src", "action", "srcset", "style", "poster", "content"]
        .into_iter()
        .fold(Settings::new().with_strict(false), |settings, attribute| {
            settings.append_element_content_handler(handler(attribute))
        });
    let mut rewriter = HtmlRewriter::new(settings, |chunk: &[u8]| length += chunk.len());
    for chunk in text.chunks(CHUNK_BYTES) {
        if rewriter.write(chunk).is_err() {
            return 0;
        }
    }
    if rewriter.end().is_err() {
        return 0;
    }
    length
}

fn page(base: &str) -> Vec<u8> {
    let mut page =
        b"<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>std</title></head><body>".to_vec();
    for i in 0..4500 {
        let item = format!(
            "<li><div class=\"item-name\"><a class=\"fn\" href=\"{base}fn.item{i}.html\" title=\"fn std::item{i}\">item<wbr>{i}</a></div>\
             <div class=\"desc docblock-short\">Gives the item &amp; more</div></li>\n"
        );
        page.extend_from_slice(item.as_bytes());
    }
    page
}

fn script(url: &str) -> Vec<u8> {
    let line = format!(
        "function a(b,c){{if(b&&c/2>1)return b.map(function(d){{return{{e:\"/p/\"+d,f:'{url}',g:[1,2,3],h:!0}}}});var i={{j:\"k\",l:\"m n\"}};return i.j+c}}\n"
    );
    line.repeat(5000).into_bytes()
}

fn style(url: &str) -> Vec<u8> {
    let rule = format!(
        ".a-class > .other:hover, #id{{color:#fff;margin:0 auto 1px;background:url({url}) no-repeat;font:12px/1.5 \"Fira Sans\",sans-serif}}\n"
    );
    rule.repeat(5000).into_bytes()
}
