//! Bodies without their content coding (RFC 9110, 8.4): taken off for the filter, put on again behind it.

use std::io::{Read, Write};

use lockgate::config::{BodyMode, FilterSettings, HeadersPause};

use super::guest::Guest;
use super::lab::{ALL, Ask, get, one_with, post};
use crate::backend::Backend;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn encode(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name {
        "gzip" | "x-gzip" => gzip(bytes),
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
            encoder.write_all(bytes).unwrap();
            encoder.into_inner()
        }
        "zstd" => {
            let mut out = vec![0; bytes.len() + 1024];
            let length = zstd_safe::compress(&mut out[..], bytes, 1).unwrap();
            out.truncate(length);
            out
        }
        stacked => stacked.split(", ").fold(bytes.to_vec(), |bytes, name| encode(name, &bytes)),
    }
}

pub fn decode(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match name {
        "gzip" | "x-gzip" => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        "deflate" => drop(flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
        "zstd" => {
            out.resize(1 << 20, 0);
            let length = zstd_safe::decompress(&mut out[..], bytes).unwrap();
            out.truncate(length);
        }
        stacked => out = stacked.rsplit(", ").fold(bytes.to_vec(), |bytes, name| decode(name, &bytes)),
    }
    out
}

/// The beginning of a gzip member, flushed, not finished.
pub fn flushed_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

/// Decodes as far as bytes have come, with the codec of the house.
pub struct Undo {
    decoder: Option<lockgate::filters::Decoder>,
    out: Vec<u8>,
}

impl Undo {
    pub fn of(coding: &str) -> Self {
        let coding = lockgate::filters::Coding::ALL.into_iter().find(|known| known.name() == coding);
        Self { decoder: coding.map(|coding| lockgate::filters::Decoder::new(&[coding])), out: Vec::new() }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let Some(decoder) = &mut self.decoder else { return self.out.extend_from_slice(bytes) };
        let mut input = bytes::Bytes::copy_from_slice(bytes);
        while let Some(piece) = decoder.decode(&mut input).unwrap() {
            self.out.extend_from_slice(&piece);
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Sends the body back with its coding.
async fn coded_echo() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let coding: String = request
                .field("content-encoding")
                .iter()
                .map(|coding| format!("content-encoding: {coding}\r\n"))
                .collect();
            let offered = request.field("accept-encoding").join("|");
            let head = format!(
                "HTTP/1.1 200 OK\r\n{coding}x-offered: {offered}\r\netag: \"x\"\r\naccept-ranges: bytes\r\n\
                 content-length: {}\r\n\r\n",
                request.body.len()
            );
            conn.send(&[head.as_bytes(), &request.body].concat()).await;
        }
    })
    .await
}

fn decoded(filter: &mut FilterSettings) {
    filter.request_body = Some(BodyMode::Decoded);
    filter.response_body = Some(BodyMode::Decoded);
    filter.rewrites_body = true;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_8_4_filters_see_bodies_without_their_coding() {
    // Adds `!` at the end, on both ways.
    let guest = Guest::of("request_body", r#"(if (local.get $b) (then (call $set_buffer_bytes #0 #-1 #0 @"!")))"#)
        .on("response_body", r#"(if (local.get $b) (then (call $set_buffer_bytes #1 #-1 #0 @"!")))"#);
    let backend = coded_echo().await;
    let lab = one_with(&guest, decoded).start(&backend).await;
    let text = "all work and no play ".repeat(1000);
    for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip, deflate"] {
        for how in ALL {
            let ask = post(encode(coding, text.as_bytes())).field("content-encoding", coding);
            let answer = lab.ask(how, &ask.field("accept-encoding", "gzip, made-up, br;q=0.5")).await;
            assert_eq!((answer.status, answer.field("content-encoding")), (200, Some(coding)), "{how:?} {coding}");
            let body = decode(coding, &answer.body);
            assert_eq!(String::from_utf8(body).unwrap(), format!("{text}!!"), "{how:?} {coding}");
            assert_eq!(
                (answer.field("content-length"), answer.field("etag")),
                (None, Some("W/\"x\"")),
                "{how:?} {coding}"
            );
            assert_eq!(answer.field("accept-ranges"), None, "{how:?}");
            assert!(!answer.field("x-offered").unwrap().contains("made-up"), "{answer:?}");
        }
    }
    // What cannot be read passes the filter by, untouched.
    for how in ALL {
        let answer = lab.ask(how, &post("\u{1}opaque").field("content-encoding", "made-up")).await;
        assert_eq!(
            (answer.text().as_str(), answer.field("content-encoding")),
            ("\u{1}opaque", Some("made-up")),
            "{how:?}"
        );
        assert_eq!(answer.field("content-length"), Some("7"), "{how:?}");
        let answer = lab.ask(how, &post("plain")).await;
        assert_eq!(answer.text(), "plain!!", "{how:?}");
    }
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_that_lies_ends_the_request_by_name() {
    let guest = Guest::of("request_body", "").on("response_body", "");
    let backend = coded_echo().await;
    let whole = gzip("all work and no play ".repeat(1000).as_bytes());
    let cut = whole[..whole.len() / 2].to_vec();
    let lab = one_with(&guest, decoded).start(&backend).await;
    for (case, bytes) in [("garbage", b"this is no gzip".to_vec()), ("cut", cut.clone())] {
        for how in ALL {
            let answer = lab.ask(how, &post(bytes.clone()).field("content-encoding", "gzip")).await;
            assert_eq!(answer.status, 400, "{how:?} {case}: {}", answer.text());
        }
    }
    let lab = one_with(&guest, |filter| {
        decoded(filter);
        filter.request_body = None;
    })
    .start(&backend)
    .await;
    for (case, bytes) in [("garbage", b"this is no gzip".to_vec()), ("cut", cut)] {
        for how in ALL {
            // The head has gone out, so all that is left is not to end it well.
            let answer = lab.try_ask(how, &post(bytes.clone()).field("content-encoding", "gzip")).await;
            assert!(answer.is_none_or(|answer| answer.status == 502), "{how:?} {case}");
        }
    }
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_does_not_go_off() {
    let zeros = vec![0_u8; 64 << 20];
    let bomb = gzip(&zeros);
    drop(zeros);
    let pause = Guest::of("response_headers", "(return #1)")
        .on("response_body", "(if (i32.eqz (local.get $b)) (then (return #1)))");
    let backend = coded_echo().await;
    let lab = one_with(&pause, |filter| {
        decoded(filter);
        filter.request_body = None;
        filter.headers_pause = HeadersPause::Hold;
    })
    .start(&backend)
    .await;
    for how in ALL {
        let answer = lab.ask(how, &post(bomb.clone()).field("content-encoding", "gzip")).await;
        assert_eq!(answer.status, 502, "{how:?}: {:?}", answer.fields);
    }
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_bodiless_answers_keep_their_coding() {
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let partial = request.head.contains("/part");
            let status = if partial { "206 Partial" } else { "200 OK" };
            let (length, body) = if partial { (3, "abc") } else { (0, "") };
            let length = if request.head.starts_with("HEAD") { 99 } else { length };
            let head = format!("HTTP/1.1 {status}\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n{body}");
            conn.send(head.as_bytes()).await;
        }
    })
    .await;
    let lab = one_with(&Guest::of("response_body", ""), decoded).start(&backend).await;
    for how in ALL {
        let head = lab.ask(how, &Ask { method: "HEAD", ..get("/") }).await;
        assert_eq!((head.status, head.field("content-encoding")), (200, Some("gzip")), "{how:?}");
        let empty = lab.ask(how, &get("/")).await;
        assert_eq!(
            (empty.status, empty.field("content-encoding"), empty.body.len()),
            (200, Some("gzip"), 0),
            "{how:?}"
        );
        // A part of a coded body cannot be decoded.
        let part = lab.ask(how, &get("/part")).await;
        assert_eq!(
            (part.status, part.text().as_str(), part.field("content-length")),
            (206, "abc", Some("3")),
            "{how:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_compressed_as_hard_as_the_edge_says() {
    let guest = Guest::of("response_body", r#"(if (local.get $b) (then (call $set_buffer_bytes #1 #-1 #0 @"!")))"#);
    let backend = coded_echo().await;
    let text: String = (0..4000_u64).map(|i| format!("{} {:x}\n", i % 71, i * i * 2_654_435)).collect();
    let mut sizes = Vec::new();
    for level in [1, 9] {
        let chain = one_with(&guest, decoded).edge(|edge| {
            (edge.compression.gzip, edge.compression.brotli, edge.compression.zstd) = (level, level, level);
        });
        let lab = chain.start(&backend).await;
        for coding in ["gzip", "br", "zstd"] {
            let ask = post(encode(coding, text.as_bytes())).field("content-encoding", coding);
            let answer = lab.ask(ALL[0], &ask.field("accept-encoding", coding)).await;
            assert_eq!(decode(coding, &answer.body), format!("{text}!").as_bytes(), "{coding} {level}");
            sizes.push(answer.body.len());
        }
    }
    assert!((0..3).all(|coding| sizes[3 + coding] < sizes[coding]), "{sizes:?}");
}
