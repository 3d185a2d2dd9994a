//! Connections to backends that are used again, or must not be (RFC 9112, 9.2 and 9.3.1; cases F25, F30, F31).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::client::{get, h1};
use crate::world::{World, plan, within};

const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

async fn world_of(backend: &Backend, group: &str) -> World {
    let connectors = usize::from(group != "local");
    plan().app_with("shop", backend.url(), |app| app.group = group.into()).connectors(connectors).start().await
}

fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_connections_are_kept() {
    for group in ["default", "local"] {
        let backend = Backend::mirror().await;
        let world = world_of(&backend, group).await;
        for _ in 0..10 {
            assert_eq!(get(world.http, "shop.test", "/").await.status, 200);
        }
        assert_eq!(backend.connections(), 1, "{group}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_1_only_what_is_safe_to_repeat_is_repeated() {
    // Every connection answers one request and closes when the second has come.
    for group in ["default", "local"] {
        for (method, body, repeated) in [
            ("GET", "", true),
            ("HEAD", "", true),
            ("PUT", "", true),
            ("DELETE", "", true),
            ("POST", "", false),
            ("POST", "abc", false),
            ("PATCH", "abc", false),
        ] {
            let case = format!("{group} {method} {body:?}");
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            let backend = Backend::serve(move |mut conn, _| {
                let count = count.clone();
                async move {
                    let first = conn.request().await.unwrap();
                    count.fetch_add(usize::from(first.head.contains("/second")), Ordering::SeqCst);
                    let answer =
                        if first.head.starts_with("HEAD") { ok("").into_bytes() } else { ok("ok").into_bytes() };
                    conn.send(&answer).await;
                    let second = conn.request().await;
                    count.fetch_add(usize::from(second.is_some()), Ordering::SeqCst);
                }
            })
            .await;
            let world = world_of(&backend, group).await;
            assert_eq!(get(world.http, "shop.test", "/first").await.text(), "ok", "{case}");
            let mut client = h1(world.http).await;
            let length = if method == "GET" || method == "HEAD" {
                String::new()
            } else {
                format!("Content-Length: {}\r\n", body.len())
            };
            client.send(&format!("{method} /second HTTP/1.1\r\nHost: shop.test\r\n{length}\r\n{body}")).await;
            let answer = client.answer(method).await.unwrap();
            if repeated {
                assert_eq!((answer.status, backend.connections()), (200, 2), "{case}");
                assert_eq!(seen.load(Ordering::SeqCst), 2, "{case}");
            } else {
                assert_eq!((answer.status, backend.connections()), (502, 1), "{case}: {}", answer.text());
                assert!(answer.text().contains("backend-closed"), "{case}: {}", answer.text());
                assert_eq!(seen.load(Ordering::SeqCst), 1, "{case}: it was sent twice");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_repeated_once_and_only_on_a_kept_connection() {
    for group in ["default", "local"] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        let backend = Backend::serve(move |mut conn, number| {
            let count = count.clone();
            async move {
                while conn.request().await.is_some() {
                    if count.fetch_add(1, Ordering::SeqCst) > 0 || number > 0 {
                        return;
                    }
                    conn.send(ok("ok").as_bytes()).await;
                }
            }
        })
        .await;
        let world = world_of(&backend, group).await;
        assert_eq!(get(world.http, "shop.test", "/").await.text(), "ok");
        let answer = get(world.http, "shop.test", "/").await;
        assert_eq!(answer.status, 502, "{group}");
        assert_eq!(seen.load(Ordering::SeqCst), 3, "{group}: the first, the stale one, and one more");
        get(world.http, "shop.test", "/").await;
        assert_eq!(seen.load(Ordering::SeqCst), 4, "{group}: a new connection's failure is final");
    }
}

/// Answers with its number; what it sends besides depends on the path of the connection's first request.
async fn poisonous(extra_now: bool, idle: Arc<Semaphore>, sent: Arc<Semaphore>) -> Backend {
    Backend::serve(move |mut conn, number| {
        let (idle, sent) = (idle.clone(), sent.clone());
        async move {
            while conn.request().await.is_some() {
                let answer = ok(&format!("conn {number}"));
                if extra_now {
                    conn.send(format!("{answer}{POISON}").as_bytes()).await;
                    continue;
                }
                conn.send(answer.as_bytes()).await;
                within("an idle connection", idle.acquire()).await.unwrap().forget();
                conn.send(POISON.as_bytes()).await;
                sent.add_permits(1);
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_2_bytes_nobody_asked_for_are_nobodys_answer() {
    for group in ["default", "local"] {
        for extra_now in [true, false] {
            let [idle, sent] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
            let backend = poisonous(extra_now, idle.clone(), sent.clone()).await;
            let world = world_of(&backend, group).await;
            for number in 0..4 {
                let answer = get(world.http, "shop.test", "/").await;
                assert_eq!(answer.text(), format!("conn {number}"), "F30 {group} at once: {extra_now}");
                if !extra_now {
                    idle.add_permits(1);
                    within("the poison", sent.acquire()).await.unwrap().forget();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_3_a_body_where_none_may_be_is_ignored() {
    for group in ["default", "local"] {
        for (method, head) in [
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
            ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 40\r\n\r\n"),
            ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
            ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (
                "GET",
                "HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ),
        ] {
            let case = format!("F31 {group} {method} {head:?}");
            let backend = Backend::serve(move |mut conn, number| async move {
                while let Some(request) = conn.request().await {
                    let first = request.head.contains("/first");
                    let answer = if first { format!("{head}{POISON}") } else { ok(&format!("conn {number}")) };
                    conn.send(answer.as_bytes()).await;
                }
            })
            .await;
            let world = world_of(&backend, group).await;
            let mut client = h1(world.http).await;
            client.send(&format!("{method} /first HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
            let answer = client.answer(method).await.unwrap();
            assert!(answer.body.is_empty() || answer.status == 502, "{case}: {answer:?}");
            assert_ne!(answer.field("transfer-encoding"), Some("chunked"), "{case}");
            client.send("GET /second HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
            assert_eq!(client.answer("GET").await.unwrap().text(), "conn 1", "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_body_is_read_leaves_no_request_behind() {
    for group in ["default", "local"] {
        let smuggled = Arc::new(AtomicUsize::new(0));
        let count = smuggled.clone();
        let backend = Backend::serve(move |mut conn, number| {
            let count = count.clone();
            async move {
                while let Some(head) = conn.head().await {
                    count.fetch_add(usize::from(head.contains("/smuggled")), Ordering::SeqCst);
                    if head.starts_with("POST") {
                        conn.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
                        conn.rest().await;
                        return;
                    }
                    conn.send(ok(&format!("conn {number}")).as_bytes()).await;
                }
            }
        })
        .await;
        let world = world_of(&backend, group).await;
        let evil = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        for length in [evil.len(), 100 << 10, 64 << 20] {
            let case = format!("F25 {group} {length}");
            let mut client = h1(world.http).await;
            client.send(&format!("POST /case HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n")).await;
            let answer = client.answer("POST").await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (413, "big"), "{case}");
            let closes = answer.field("connection") == Some("close");
            // More than the edge is willing to drain, where there is more.
            let sent = length.min(400 << 10);
            let rest = evil.repeat((sent / evil.len()).max(1));
            let rest = &rest[..rest.len().min(length)];
            client.send(&format!("{rest}{}", "x".repeat(sent - rest.len()))).await;
            if closes || length > 256 << 10 {
                assert!(client.rest().await.is_empty(), "{case}: the rest was taken for a request");
            } else {
                client.send("GET /canary HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
                let canary = client.answer("GET").await.unwrap();
                assert!(canary.text().starts_with("conn "), "{case}: {canary:?}");
            }
        }
        assert_eq!(smuggled.load(Ordering::SeqCst), 0, "F25 {group}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f30_many_large_answers_at_once_keep_to_their_requests() {
    const LENGTH: usize = 1 << 20;
    const PIECE: usize = 1 << 13;
    const ROUNDS: usize = 3;
    // Each client is sent its own letter. Connections change hands while answers still wait for a window.
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let letter = request.head.as_bytes()["GET /".len()];
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).await;
            conn.send(&vec![letter; LENGTH]).await;
        }
    })
    .await;
    for group in ["default", "local"] {
        let world = world_of(&backend, group).await;
        let http = world.http;
        let clients = (b'A'..=b'Z').chain(b'a'..=b'z').map(|letter| {
            tokio::spawn(async move {
                let mut client = h1(http).await;
                for _ in 0..ROUNDS {
                    client.send(&format!("GET /{} HTTP/1.1\r\nHost: shop.test\r\n\r\n", char::from(letter))).await;
                    within("a head", client.head()).await.expect("it is not cut");
                    // Small reads: the client is the slowest, and the link's windows are always full.
                    for _ in 0..LENGTH / PIECE {
                        let piece = within("a piece", client.bytes(PIECE)).await.expect("it is not cut");
                        assert!(piece.iter().all(|&byte| byte == letter), "another's bytes");
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
}
