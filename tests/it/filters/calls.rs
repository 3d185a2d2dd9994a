//! Calls out (ABI, 11): how they end, what bounds them, and that they outlive their stream.

use std::time::Duration;

use super::guest::Guest;
use super::lab::{ALL, get, one_with, seen, upstream};
use crate::backend::Backend;
use crate::world::until;

/// Calls `NAME` with a GET of PATH (one character behind the slash) and waits; TIMEOUT in ms.
fn calling(name: &str, path: char, timeout: u32, answer: &str) -> Guest {
    let list = format!(
        "\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\02\\00\\00\\00\\0a\\00\\00\\00\\03\\00\\00\\00\
         :method\\00GET\\00:path\\00/{path}\\00:authority\\00aux\\00"
    );
    let guest = Guest::new().with("(global $who (mut i32) (i32.const 0)) (global $call (mut i32) (i32.const 0))\n");
    guest
        .on(
            "request_headers",
            &format!(
                "(global.set $who (local.get $id))
                (call $http_call @\"{name}\" @\"{list}\" #0 #0 #0 #0 #{timeout} #24) (global.set $call (i32.load #24))
                (call $note (global.get $st))
                (if (global.get $st) (then (call $tell #0 @\"x-notes\") (return #0)))
                (return #1)"
            ),
        )
        .on(
            "http_call_response",
            &format!(
                r#"(call $note (i32.eq (global.get $call) (local.get $a)))
                (call $note (i32.gt_u (local.get $b) #0)) (call $note (local.get $c))
                {answer}
                (call $set_effective_context (global.get $who))
                (call $tell #0 @"x-notes") (call $continue_stream #0)"#
            ),
        )
}

const STATUS: &str = r#"(call $get_header_map_value #6 @":status" OUT) (call $note (global.get $st))
    (if (i32.eqz (global.get $st)) (then (call $say GOT)))
    (call $get_buffer_bytes #4 #0 #100 OUT) (call $say GOT)"#;

#[tokio::test(flavor = "multi_thread")]
async fn abi_11_calls_out_end_in_every_way() {
    let aux = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            match request.head.as_bytes()[5] {
                b'o' => conn.send(b"HTTP/1.1 201 X\r\ncontent-length: 4\r\n\r\ndone").await,
                b'l' => {
                    conn.send(b"HTTP/1.1 200 X\r\ncontent-length: 3000\r\n\r\n").await;
                    conn.send(&[b'x'; 3000]).await;
                }
                b'c' => return,
                _ => tokio::time::sleep(Duration::from_secs(60)).await, // sleep: an upstream that never answers
            }
        }
    })
    .await;
    let backend = Backend::mirror().await;
    for (name, path, timeout, notes, result) in [
        ("aux", 'o', 5000, "0 1 1 4 0 201done", "ok"),
        ("aux", 't', 100, "0 1 0 0 1", "timeout"),
        ("aux", 'l', 5000, "0 1 0 0 1", "failed"),
        ("aux", 'c', 5000, "0 1 0 0 1", "failed"),
        ("dead", 'o', 5000, "0 1 0 0 1", "failed"),
        ("nobody", 'o', 5000, "2", ""),
    ] {
        let lab = one_with(&calling(name, path, timeout, STATUS), |filter| {
            let mut dead = upstream(&aux);
            dead.port = 1;
            filter.upstreams = [("aux".to_owned(), upstream(&aux)), ("dead".to_owned(), dead)].into();
            filter.limits.http_call_response = 2048;
        })
        .start(&backend)
        .await;
        for how in ALL {
            let answer = lab.ask(how, &get("/")).await;
            assert_eq!(seen(&answer, "x-notes"), [notes], "{how:?} {name} {path}");
        }
        if !result.is_empty() {
            let series =
                format!("lockgate_filter_http_calls_total{{filter=\"one\",result=\"{result}\",upstream=\"{name}\"}}");
            assert_eq!(lab.world.metric(&series).await, 3.0, "{name} {path}");
        }
        lab.is_quiet(2.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_out_have_limits_and_outlive_their_stream() {
    let quick = Backend::answering("HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n").await;
    let list = "\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00\\0a\\00\\00\\00\\03\\00\\00\\00\
        :method\\00GET\\00:path\\00/\\00:authority\\00aux\\00";
    let call = format!("(call $http_call @\"aux\" @\"{list}\" #0 #0 #0 #0 #5000 #24) (call $note (global.get $st))");
    let guest = Guest::new()
        .with("(global $back (mut i32) (i32.const 0))\n")
        .on("request_headers", &format!("{} (call $tell #0 @\"x-notes\")", call.repeat(4)))
        .on("http_call_response", "(global.set $back (i32.add (global.get $back) #1))")
        .on("response_headers", r#"(call $note (global.get $back)) (call $tell #2 @"x-back")"#);
    let backend = Backend::mirror().await;
    let lab = one_with(&guest, |filter| {
        filter.upstreams = [("aux".to_owned(), upstream(&quick))].into();
        filter.limits.http_calls_per_stream = 2;
        filter.limits.http_calls = 3;
    })
    .near()
    .start(&backend)
    .await;
    let answer = lab.near("/").await;
    assert_eq!(seen(&answer, "x-notes"), ["0 0 10 10"], "{}", answer.text());
    // Both come back to the root, whether or not the stream has ended meanwhile; then there is room again.
    until("all calls are back", async || {
        lab.near("/").await.field("x-back").is_some_and(|back| back.parse::<u32>().unwrap() >= 2)
    })
    .await;
    until("room again", async || seen(&lab.near("/").await, "x-notes")[0].starts_with("0 0")).await;
    lab.is_quiet(2.0).await;
}
