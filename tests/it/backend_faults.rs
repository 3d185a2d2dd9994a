//! Backends that break their answers (RFC 9112, 8 and 11; cases F29, F31–F34): the client is told, or sees the cut;
//! the link and everybody else on it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::Backend;
use crate::client::{get, h1, h2};
use crate::world::{World, plan, until, within};

/// How a backend goes on after its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Keep,
    Close,
    Reset,
}

/// A backend whose `/N` answers with the N-th script; `/canary` is answered properly.
async fn faulty(scripts: Vec<(Vec<u8>, Then)>) -> Backend {
    let scripts = Arc::new(scripts);
    Backend::serve(move |mut conn, _| {
        let scripts = scripts.clone();
        async move {
            while let Some(request) = conn.request().await {
                let path = request.head.split(' ').nth(1).unwrap();
                let Ok(index) = path[1..].parse::<usize>() else {
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    continue;
                };
                let (bytes, then) = &scripts[index];
                conn.send(bytes).await;
                match then {
                    Then::Keep => {}
                    Then::Close => return,
                    Then::Reset => {
                        conn.stream.set_zero_linger().unwrap();
                        return;
                    }
                }
            }
        }
    })
    .await
}

async fn two_ways(url: String) -> World {
    plan().app("shop", &url).app_with("near", &url, |app| app.group = "local".into()).start().await
}

/// The one link there was is still there, and carries a request.
async fn assert_link_lives(world: &World, case: &str) {
    for host in ["shop.test", "near.test"] {
        assert_eq!(get(world.http, host, "/canary").await.text(), "ok", "{case}");
    }
    let exposition = world.metrics.render().await;
    assert!(!exposition.contains("\nlockgate_link_ends_total{"), "{case}: the link was lost");
    assert_eq!(world.edge.links().await.len(), 1, "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_a_response_with_two_readings_is_a_502() {
    let long_value = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(300 << 10));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(5_000));
    let scripts: Vec<(String, Then)> = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "\0\x01\x02garbage\r\n\r\n",
        &long_value,
        &many_fields,
    ]
    .map(|text| (text.to_owned(), Then::Keep))
    .to_vec();
    let described: Vec<String> = scripts.iter().map(|(text, _)| format!("F29 {text:.80?}")).collect();
    let backend = faulty(scripts.into_iter().map(|(text, then)| (text.into_bytes(), then)).collect()).await;
    let world = two_ways(backend.url()).await;
    for (index, case) in described.iter().enumerate() {
        for host in ["shop.test", "near.test"] {
            let before = backend.connections();
            let answer = get(world.http, host, &format!("/{index}")).await;
            assert_eq!(answer.status, 502, "{case} {host}: {answer:?}");
            assert!(answer.text().contains("backend-invalid"), "{case}: {}", answer.text());
            assert_eq!(get(world.http, host, "/canary").await.text(), "ok", "{case}");
            assert!(backend.connections() > before, "{case}: the broken connection was used again");
        }
    }
    assert_link_lives(&world, "F29").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_8_a_cut_answer_is_seen_to_be_cut() {
    let scripts = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde", Then::Close),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde", Then::Reset),
        ("HTTP/1.1 200 OK\r\n\r\nabcde", Then::Reset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", Then::Reset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n", Then::Keep),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nxyz\r\n", Then::Keep),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nbad trailer\r\n\r\n", Then::Keep),
    ];
    let backend = faulty(scripts.iter().map(|(text, then)| (text.as_bytes().to_vec(), *then)).collect()).await;
    let world = two_ways(backend.url()).await;
    for host in ["shop.test", "near.test"] {
        let mut http2 = h2(world.https, host).await;
        for (index, (text, then)) in scripts.iter().enumerate() {
            let case = format!("F32 {host} {text:?} {then:?}");
            let mut client = h1(world.http).await;
            client.send(&format!("GET /{index} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            let answer = client.answer("GET").await;
            assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "{case}: {answer:?}");
            let mut old = h1(world.http).await;
            old.send(&format!("GET /{index} HTTP/1.0\r\nHost: {host}\r\n\r\n")).await;
            let mut bytes = Vec::new();
            let ended = within(&case, old.stream.read_to_end(&mut bytes)).await;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // Close-delimited, only a reset can say so; with a length, the length does.
            let told = text.starts_with("HTTP/1.1 502") || text.contains("content-length: 10");
            assert!(told || ended.is_err(), "{case}: HTTP/1.0 takes {text:?} for the whole");
            match http2.get(&format!("https://{host}/{index}")).await {
                Err(error) => assert!(error.is_reset(), "{case}: {error}"),
                Ok(answer) => assert_eq!(answer.status, 502, "{case}: {answer:?}"),
            }
            assert_eq!(http2.get(&format!("https://{host}/canary")).await.unwrap().text(), "ok", "{case}");
        }
    }
    assert_link_lives(&world, "F32").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_never_begins_its_answer_is_named() {
    let scripts = [
        ("", Then::Close, "backend-closed"),
        ("", Then::Reset, "backend-closed"),
        ("HTTP/1.1 200 O", Then::Close, "backend-invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", Then::Close, "backend-invalid"),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", Then::Close, "backend-closed"),
    ];
    let backend = faulty(scripts.iter().map(|(text, then, _)| (text.as_bytes().to_vec(), *then)).collect()).await;
    let world = two_ways(backend.url()).await;
    for host in ["shop.test", "near.test"] {
        for (index, (text, then, code)) in scripts.iter().enumerate() {
            let answer = get(world.http, host, &format!("/{index}")).await;
            assert_eq!(answer.status, 502, "{host} {text:?} {then:?}: {}", answer.text());
            assert!(answer.text().contains(code), "{host} {text:?} {then:?}: {}", answer.text());
        }
    }
    assert_link_lives(&world, "no answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_15_2_interim_responses_are_bounded() {
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(10_000);
    let endless = format!("{flood}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let backend = faulty(vec![(endless.into_bytes(), Then::Keep)]).await;
    let world = two_ways(backend.url()).await;
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        client.send(&format!("GET /0 HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let mut hints = 0;
        let last = loop {
            let head = client.head().await.expect("F33: a final answer");
            if head.status != 103 {
                break head;
            }
            hints += 1;
        };
        assert_eq!(last.status, 502, "F33 {host}");
        assert!(hints <= 64, "F33 {host}: {hints} interim responses were passed on");
        let mut http2 = h2(world.https, host).await;
        assert_eq!(http2.get(&format!("https://{host}/0")).await.unwrap().status, 502, "F33 {host}");
    }
    assert_link_lives(&world, "F33").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_too_slow_is_a_504() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let count = count.clone();
        async move {
            while let Some(request) = conn.request().await {
                if request.head.starts_with("GET /canary") {
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    continue;
                }
                if request.head.starts_with("GET /trickle") {
                    conn.send(b"HTTP/1.1 200 OK\r\nX: ").await;
                    let mut pace = tokio::time::interval(Duration::from_millis(20));
                    while conn.stream.write_all(b"x").await.is_ok() {
                        pace.tick().await;
                    }
                } else if request.head.starts_with("GET /body") {
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcde").await;
                    conn.rest().await;
                } else {
                    conn.rest().await;
                }
                count.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    })
    .await;
    let short = Duration::from_millis(400);
    let world = plan()
        .app_with("shop", backend.url(), |app| app.backend_timeout = short)
        .app_with("near", backend.url(), |app| {
            app.backend_timeout = short;
            app.group = "local".into();
        })
        .start()
        .await;
    for host in ["shop.test", "near.test"] {
        for path in ["/silent", "/trickle"] {
            let answer = get(world.http, host, path).await;
            assert_eq!(answer.status, 504, "{host}{path}: {}", answer.text());
            assert!(answer.text().contains("backend-timeout"), "{host}{path}: {}", answer.text());
        }
        let mut client = h1(world.http).await;
        client.send(&format!("GET /body HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert!(client.answer("GET").await.is_none(), "{host}: a body that falls silent is cut");
    }
    until("the backend's connections are closed", async || ended.load(Ordering::SeqCst) == 6).await;
    assert_link_lives(&world, "slow").await;
}
