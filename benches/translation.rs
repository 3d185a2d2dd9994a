//! What link translation costs, stage by stage: the same logic native, through the host, and what taking
//! content codings off and putting them on again costs.
//!
//! ```text
//!   cargo bench --bench translation
//! ```
//!
//! Bytes are those of the page, decoded. Wall time informs. It refuses to judge: `perf/` says what a page
//! costs beside the peers.

#[allow(dead_code, reason = "each bench has its part of it")]
mod world;

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput};
use link_translation::{Kind, Maps};
use lockgate::filters::{Coding, Decoder, Encoder, Levels};
use world::{CHUNK_BYTES, World};

/// The application's own address.
const INTERNAL: &str = "http://shop.corp:8080/";

/// A list in the manner of rustdoc, with a link to `base` in every 100 bytes or so.
fn dense(base: &str) -> Bytes {
    let item = |i: usize| {
        format!(
            "<li><a class=\"fn\" href=\"{base}std/fn.item{i}.html\">item<wbr>{i}</a> gives the item &amp; more</li>\n"
        )
    };
    wrapped((0..8000).map(item).collect())
}

/// The same with more around the links.
fn usual(base: &str) -> Bytes {
    let item = |i: usize| {
        format!(
            "<li><div class=\"item-name\"><a class=\"fn\" href=\"{base}std/fn.item{i}.html\" title=\"fn std::item{i}\">item<wbr>{i}</a>\
             </div><div class=\"desc docblock-short\">Gives the item &amp; more</div></li>\n"
        )
    };
    wrapped((0..4000).map(item).collect())
}

fn wrapped(list: String) -> Bytes {
    Bytes::from(format!("<!DOCTYPE html><html lang=\"en\"><head><title>std</title></head><body><ul>\n{list}</ul>"))
}

fn script(_: &str) -> Bytes {
    Bytes::from(
        (0..8000)
            .map(|i| format!("function f{i}(a, b) {{ return a / b + \"../x{i}\".length; }} // plain\n"))
            .collect::<String>(),
    )
}

/// A body, its kind and what it is served as.
type Page = (&'static str, &'static str, Kind, Bytes);

fn pages() -> [Page; 4] {
    [
        ("a link per 100 bytes", "text/html", Kind::Html, dense(INTERNAL)),
        ("a link per 200 bytes", "text/html", Kind::Html, usual(INTERNAL)),
        ("no internal address", "text/html", Kind::Html, usual("../")),
        ("a style sheet without", "text/css", Kind::Css, script("")),
    ]
}

fn native(criterion: &mut Criterion) {
    let world = serde_json::json!({"version": "1", "apps": [
        {"name": "shop", "external": "https://shop.example.com/", "internal": INTERNAL},
        {"name": "wiki", "external": "https://wiki.example.com/", "internal": "http://wiki.corp/"}]});
    let maps = Rc::new(Maps::read(world.to_string().as_bytes()).expect("a table"));
    let mut group = criterion.benchmark_group("native");
    for (name, _, kind, page) in pages() {
        group.throughput(Throughput::Bytes(page.len() as u64));
        group.bench_function(name, |bencher| {
            let mut out = Vec::with_capacity(2 * CHUNK_BYTES);
            bencher.iter(|| {
                let mut body = link_translation::Body::new(&maps, maps.table.app(b"shop"), kind);
                page.chunks(CHUNK_BYTES)
                    .map(|chunk| {
                        out.clear();
                        body.write(chunk, &mut out);
                        out.len()
                    })
                    .sum::<usize>()
            });
        });
    }
}

fn hosted(criterion: &mut Criterion) {
    let world = World::new();
    let host = world.host();
    let chain = world.link_translation(INTERNAL);
    let mut group = criterion.benchmark_group("in the host");
    for (name, content_type, _, page) in pages() {
        group.throughput(Throughput::Bytes(page.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| world.page(&host, &chain, content_type, &page)));
    }
}

fn codings(criterion: &mut Criterion) {
    let page = usual(INTERNAL);
    let mut group = criterion.benchmark_group("coding");
    group.throughput(Throughput::Bytes(page.len() as u64));
    let levels = Levels::default();
    let all = [
        (Coding::Gzip, [1, 4, levels.deflate, 6, 9]),
        (Coding::Brotli, [1, 3, levels.brotli, 5, 6]),
        (Coding::Zstd, [1, 2, levels.zstd, 6, 9]),
    ];
    for (coding, tried) in all {
        let mut coded = Bytes::new();
        for level in tried {
            let levels = Levels { deflate: level, brotli: level, zstd: level };
            let encoded = encode(coding, levels, &page);
            let name = format!("{} {level}: {:.1} %", coding.name(), 100.0 * encoded.len() as f64 / page.len() as f64);
            group.bench_function(name, |bencher| bencher.iter(|| encode(coding, levels, &page).len()));
            coded = encoded;
        }
        group.bench_function(format!("{} taken off", coding.name()), |bencher| bencher.iter(|| decode(coding, &coded)));
    }
}

/// As the host does: flushed with every chunk.
fn encode(coding: Coding, levels: Levels, page: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&[coding], levels).expect("an encoder");
    for chunk in page.chunks(CHUNK_BYTES) {
        encoder.write(chunk, &mut out).expect("it is written");
        encoder.flush(&mut out).expect("it is flushed");
    }
    encoder.finish(&mut out).expect("it ends");
    out.freeze()
}

fn decode(coding: Coding, coded: &Bytes) -> usize {
    let mut decoder = Decoder::new(&[coding]);
    let (mut rest, mut length) = (coded.clone(), 0);
    while let Some(piece) = decoder.decode(&mut rest).expect("it is decoded") {
        length += piece.len();
    }
    length
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    native(&mut criterion);
    hosted(&mut criterion);
    codings(&mut criterion);
    criterion.final_summary();
}
