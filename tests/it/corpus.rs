//! Link translation of real pages through a real edge: what `filters/link-translation`'s example `corpus` planted
//! comes back as it foretold, whatever coding and pieces the backend sends. `perf/corpus/run` runs it.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use lockgate::config::{FilterSettings, ModuleSource, Scheme};

use crate::backend::Backend;
use crate::client::{H1, h1_tls};
use crate::world::plan;

const CODINGS: [&str; 4] = ["identity", "gzip", "br", "zstd"];
/// Bytes of a chunk; 0 stands for sizes of every kind.
const CHUNKS: [usize; 4] = [1, 7, 16 << 10, 0];
/// Chunks of one or seven bytes are for bodies up to this: 50,000 frames say no more than 5,000.
const SMALL_BYTES_MAX: usize = 8 << 10;

struct Page {
    kind: String,
    file: String,
    planted: Vec<u8>,
    expected: Vec<u8>,
}

fn pages(folder: &std::path::Path) -> Vec<Page> {
    let index = std::fs::read_to_string(folder.join("index")).unwrap();
    let page = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (number, kind, file) = (parts.next()?, parts.next()?, parts.next()?);
        let read = |what: &str| std::fs::read(folder.join(format!("{number}.{what}"))).unwrap();
        let (planted, expected) = (read("planted"), read("expected"));
        Some(Page { kind: kind.to_owned(), file: file.to_owned(), planted, expected })
    };
    index.lines().filter_map(page).collect()
}

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
            encoder.write_all(body).unwrap();
            encoder.into_inner()
        }
        "zstd" => {
            let mut out = vec![0; zstd_safe::compress_bound(body.len())];
            let length = zstd_safe::compress(&mut out[..], body, 1).unwrap();
            out.truncate(length);
            out
        }
        _ => body.to_vec(),
    }
}

fn decode(coding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Some("gzip") => drop(flate2::read::MultiGzDecoder::new(body).read_to_end(&mut out).unwrap()),
        Some("br") => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut out).unwrap()),
        Some("zstd") => {
            out.resize(16 << 20, 0);
            let length = zstd_safe::decompress(&mut out[..], body).unwrap();
            out.truncate(length);
        }
        _ => out = body.to_vec(),
    }
    out
}

/// Serves `/NUMBER/CODING/CHUNK`, or `/NUMBER/plain` with its length.
async fn backend(pages: Arc<Vec<Page>>) -> Backend {
    Backend::serve(move |mut conn, _| {
        let pages = pages.clone();
        async move {
            while let Some(request) = conn.request().await {
                let target = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
                let parts: Vec<&str> = target.split('/').collect();
                let page = &pages[parts[1].parse::<usize>().unwrap()];
                let coding = parts[2];
                let body = encode(coding, &page.planted);
                let kind = &page.kind;
                let coding =
                    if coding == "identity" { String::new() } else { format!("content-encoding: {coding}\r\n") };
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{coding}transfer-encoding: chunked\r\n\r\n");
                conn.send(head.as_bytes()).await;
                let size: usize = parts[3].parse().unwrap();
                let mut rest = &body[..];
                while !rest.is_empty() {
                    let most = if size == 0 { fastrand::usize(1..=40_000) } else { size };
                    let (chunk, after) = rest.split_at(most.min(rest.len()));
                    rest = after;
                    conn.send(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
                }
                conn.send(b"0\r\n\r\n").await;
            }
        }
    })
    .await
}

#[tokio::test]
#[ignore = "needs the corpus that perf/corpus/run makes, in LOCKGATE_CORPUS"]
async fn real_pages_come_back_as_foretold() {
    let folder = std::env::var_os("LOCKGATE_CORPUS").expect("LOCKGATE_CORPUS names the planted corpus");
    let every = std::env::var("LOCKGATE_CORPUS_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(1_usize);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::seed(seed);
    let pages = Arc::new(pages(folder.as_ref()));
    assert!(!pages.is_empty(), "an empty corpus shows nothing");
    let backend = backend(pages.clone()).await;
    // The pages of one app lead to another, whose internal name nobody has to resolve.
    let world = plan()
        .app_with("front", backend.url(), |app| {
            app.translate_urls_in_body = true;
            app.translate_urls_in_scripts = true;
        })
        .app("corpus", "http://intranet.corp:8080/")
        // Published as http too, an address would have two that it may become.
        .set(|config| {
            config.apps.retain(|app| app.external_url.scheme == Scheme::Https);
            // Deadlines are of wall time: on a machine whose cores are taken they cut pages, which is not the question here.
            let mut filter = FilterSettings::new(ModuleSource::Builtin("link-translation".into()));
            filter.limits.body_deadline = Duration::from_secs(10);
            filter.limits.header_deadline = Duration::from_secs(10);
            config.filters.insert("link-translation".into(), filter);
        })
        .start()
        .await;
    let (mut asked, mut bytes, mut failures) = (0, 0, Vec::new());
    let began = std::time::Instant::now();
    let mut client = h1_tls(world.https, "front.test").await;
    for (number, page) in pages.iter().enumerate().filter(|(number, _)| number % every == 0) {
        // Each page in one coding and one chunking, small ones in all of them.
        let all = page.planted.len() <= SMALL_BYTES_MAX;
        for (way, (coding, size)) in CODINGS.iter().flat_map(|coding| CHUNKS.map(|size| (*coding, size))).enumerate() {
            let tiny = matches!(size, 1 | 7);
            if if tiny { !all } else { !all && way / 2 % 4 != number % 4 } {
                continue;
            }
            let accepted = if (number + way) % 3 == 0 { "identity" } else { "gzip, br, zstd" };
            let answer = ask(&mut client, &format!("/{number}/{coding}/{size}"), accepted).await;
            let Some(answer) = answer else {
                failures.push(format!("{}: cut, {coding}, chunks of {size}", page.file));
                client = h1_tls(world.https, "front.test").await;
                continue;
            };
            let body = decode(answer.field("content-encoding"), &answer.body);
            asked += 1;
            bytes += body.len();
            if body != page.expected {
                let at = body.iter().zip(&page.expected).take_while(|(one, other)| one == other).count();
                let status = answer.status;
                failures.push(format!("{}: {coding}, chunks of {size}, {status}, differs at byte {at}", page.file));
            }
        }
    }
    let seconds = began.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    println!("{asked} responses of {} pages, {} MiB, {seconds:.0} s", pages.len().div_ceil(every), bytes >> 20);
    if !failures.is_empty() {
        let metrics = world.metrics.render().await;
        let counted = metrics.lines().filter(|line| line.contains("link-translation") && !line.ends_with(" 0"));
        counted.filter(|line| !line.contains("_bucket")).for_each(|line| println!("{line}"));
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
}

async fn ask(client: &mut H1<lockgate::tls::Stream>, target: &str, accepted: &str) -> Option<crate::client::Answer> {
    client.send(&format!("GET {target} HTTP/1.1\r\nhost: front.test\r\naccept-encoding: {accepted}\r\n\r\n")).await;
    client.answer("GET").await
}
