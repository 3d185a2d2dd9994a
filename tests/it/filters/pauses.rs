//! Streams that wait for a filter, and what they hold back (ABI, 9): heads, senders, clients that wait for 100.

use lockgate::config::BodyMode;

use super::bodies::{body, both, echo};
use super::guest::Guest;
use super::lab::{ALL, How, get, one, one_with, post, seen, send};
use crate::backend::Backend;
use crate::client::h1;
use crate::world::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_stream_stops_its_sender() {
    // Neither a pause in the headers nor one that is never ended reads on.
    let guest = Guest::of("request_headers", "(return #1)");
    let backend = echo().await;
    let lab = one_with(&guest, both(BodyMode::Stream)).start(&backend).await;
    for how in [How::Link, How::Near] {
        let mut client = h1(lab.world.http).await;
        client.send(&format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000000000\r\n\r\n", how.host())).await;
        let block = vec![b'x'; 1 << 20];
        let mut sent = 0;
        // Sockets of both ends hold some; a proxy that reads on would take it all.
        while tokio::time::timeout(std::time::Duration::from_millis(300), client.send_bytes(&block)).await.is_ok() {
            sent += block.len();
            assert!(sent < 100 << 20, "{how:?}: a paused filter's sender is not stopped");
        }
        assert!(lab.gauge("paused_streams").await >= 1.0, "{how:?}");
        drop(client);
        lab.reload(&Guest::new().wasm(), |_| {}).unwrap();
        lab.reload(&guest.wasm(), both(BodyMode::Stream)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_drops_out_of_a_body() {
    // Cuts every chunk it sees to nothing; after the first it wants no more.
    let guest = Guest::of("request_headers", r#"(call $call_foreign_function @"lockgate_skip_body" @"request" #0 #0)"#)
        .on("request_body", "(unreachable)")
        .on(
            "response_body",
            r#"(call $set_buffer_bytes #1 #0 #-1 @"first ")
        (call $call_foreign_function @"lockgate_skip_body" @"response" #0 #0)"#,
        );
    let backend = Backend::serve(|mut conn, _| async move {
        while conn.request().await.is_some() {
            conn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // sleep: two chunks stay two
            conn.send(b"6\r\nsecond\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let lab = one_with(&guest, both(BodyMode::Stream)).start(&backend).await;
    for how in ALL {
        assert_eq!(lab.ask(how, &post("hello")).await.text(), "first second", "{how:?}");
    }
    lab.is_quiet(2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_a_stream_filter_as_they_are_sent() {
    let (next, wait) = (std::sync::Arc::new(tokio::sync::Semaphore::new(0)), ());
    let permits = next.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let permits = permits.clone();
        async move {
            while conn.request().await.is_some() {
                conn.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                for n in 0..5 {
                    conn.send(format!("9\r\ndata: {n}\n\n\r\n").as_bytes()).await;
                    permits.acquire().await.unwrap().forget();
                }
                conn.send(b"0\r\n\r\n").await;
            }
        }
    })
    .await;
    let () = wait;
    let guest = body("");
    for mode in [BodyMode::Stream, BodyMode::Decoded] {
        let lab = one_with(&guest, both(mode)).start(&backend).await;
        for how in [How::Link, How::Near] {
            let mut client = h1(lab.world.http).await;
            send(&mut client, how, &get("/")).await;
            within("a head", client.head()).await.unwrap();
            for n in 0..5 {
                assert_eq!(client.chunk().await.unwrap(), format!("data: {n}\n\n").as_bytes(), "{how:?} {mode:?}");
                next.add_permits(1);
            }
            assert_eq!(client.chunk().await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_decided_by_its_body() {
    // Holds the head, and says in it how long the body was.
    let guest = Guest::of("request_headers", "(return #1)")
        .on(
            "request_body",
            r#"(if (i32.eqz (local.get $b)) (then (return #1)))
            (call $note (local.get $a)) (call $tell #0 @"x-length")
            (call $set_buffer_bytes #0 #0 #-1 @"another body")"#,
        )
        .on("response_headers", "(return #1)")
        .on(
            "response_body",
            r#"(if (i32.eqz (local.get $b)) (then (return #1)))
            (call $note (local.get $a)) (call $tell #2 @"x-length")
            (call $replace_header_map_value #2 @":status" @"203")"#,
        );
    let backend = Backend::mirror().await;
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        for rewrites in [true, false] {
            let lab = one_with(&guest, |filter| {
                both(mode)(filter);
                filter.rewrites_body = rewrites;
                filter.headers_pause = lockgate::config::HeadersPause::Hold;
            })
            .start(&backend)
            .await;
            for how in ALL {
                // With a head that is held, the length that goes out is the one that is known then.
                let answer = lab.ask(how, &post("0123456789")).await;
                let case = format!("{how:?} {mode:?} {rewrites}: {}", answer.text());
                assert_eq!(answer.status, 203, "{case}");
                assert_eq!(seen(&answer, "x-length"), ["10"], "{case}");
                assert!(answer.text().ends_with("another body"), "{case}");
                assert_eq!(answer.field("x-length"), Some(&*answer.body.len().to_string()), "{case}");
                // The client of an upload that waits for 100 gets it, because the filter wants the body first.
                let answer = lab.ask(how, &post("0123456789").field("expect", "100-continue")).await;
                assert_eq!(answer.status, 203, "{how:?}");
            }
            lab.is_quiet(2.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_gets_it() {
    let guest = Guest::of("request_headers", "(return #1)").on("request_body", "");
    let (backend, journal) = Backend::recording().await;
    let lab = one_with(&guest, |filter| {
        both(BodyMode::Stream)(filter);
        filter.headers_pause = lockgate::config::HeadersPause::Hold;
    })
    .start(&backend)
    .await;
    for how in [How::Link, How::Near] {
        let mut client = h1(lab.world.http).await;
        let host = how.host();
        client
            .send(&format!("POST /up HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.unwrap().status, 100, "{how:?}");
        client.send("hello").await;
        assert_eq!(client.answer("POST").await.unwrap().text(), "POST /up", "{how:?}");
        assert_eq!(journal.take().pop().unwrap().body, b"hello");
    }
    let lab = one(&Guest::of("request_headers", "")).start(&backend).await;
    assert_eq!(lab.near("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_without_an_end_is_ended() {
    let backend = echo().await;
    for guest in [Guest::of("request_headers", "(return #1)"), Guest::of("response_headers", "(return #1)")] {
        let lab = one_with(&guest, |filter| filter.limits.http_call_timeout = std::time::Duration::from_millis(50));
        let lab = lab.start(&backend).await;
        for how in ALL {
            let answer = within("the end of a pause", lab.ask(how, &get("/"))).await;
            assert_eq!(answer.status, 503, "{how:?}");
        }
        assert!(lab.count("failures_total", "reason=\"invalid\"").await >= 3.0);
        assert_eq!(lab.gauge("paused_streams").await, 0.0);
    }
}
