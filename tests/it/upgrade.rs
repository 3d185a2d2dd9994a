//! WebSockets that are not to be (RFC 6455, 4; RFC 9110, 7.8; RFC 9931; cases W02–W07): nothing passes before the
//! backend's 101, and only a right 101 opens anything.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::client::{get, h1};
use crate::framing::Strict;
use crate::websocket::{KEY, Socket, WAYS, Way, accepting, frame, two_ways};
use crate::world::{until, within};

fn handshake(host: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6455_4_2_1_an_incomplete_handshake_opens_nothing() {
    let strict = Strict::start().await;
    let good = handshake("shop.test");
    for (case, from, to, statuses) in [
        ("W02 POST", "GET ", "POST ", &[400][..]),
        ("W02 no key", "Sec-WebSocket-Key: ", "X-Key: ", &[400]),
        ("W02 short key", KEY, "dGhlIHNhbXBsZQ==", &[400]),
        ("W02 no base64", KEY, "!!!!!!!!!!!!!!!!!!!!!!!!", &[400]),
        ("W02 two keys", "\r\n\r\n", &format!("\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"), &[400]),
        ("W02 version 8", "Version: 13", "Version: 8", &[400, 426]),
        ("W02 no version", "Sec-WebSocket-Version", "X-Version", &[400, 426]),
        ("W05 length", "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nabcde", &[400]),
        ("W05 chunked", "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ] {
        strict.refuses(case, good.replacen(from, to, 1).as_bytes(), statuses).await;
    }
    for (case, from, to) in [
        ("W02 HTTP/1.0", "HTTP/1.1", "HTTP/1.0"),
        ("W02 no Connection", "Connection: Upgrade\r\n", ""),
        ("W06 h2c", "Upgrade: websocket", "Upgrade: h2c"),
        ("W06 foo", "Upgrade: websocket", "Upgrade: foo"),
        ("W06 two", "Upgrade: websocket", "Upgrade: websocket, h2c"),
        ("W06 two lines", "Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c"),
        ("W06 TLS", "Upgrade: websocket", "Upgrade: TLS/1.0"),
    ] {
        let mut client = h1(strict.world.http).await;
        client.send(&good.replacen(from, to, 1)).await;
        let answer = client.answer("GET").await.unwrap_or_else(|| panic!("{case}"));
        assert_eq!(answer.status, 200, "{case}: an ordinary request");
        for request in strict.journal.take() {
            assert!(
                request.field("upgrade").is_empty() && request.field("connection").is_empty(),
                "{case}: {request:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9931_no_byte_passes_before_the_101() {
    let [begun, go] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let (arrived, may) = (begun.clone(), go.clone());
    let backend = Backend::serve(move |mut conn, _| {
        let (arrived, may) = (arrived.clone(), may.clone());
        async move {
            while let Some(head) = conn.head().await {
                if !head.starts_with("GET /ws ") {
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    continue;
                }
                arrived.add_permits(1);
                within("the test's word", may.acquire()).await.unwrap().forget();
                let early = conn.has_more();
                conn.send(accepting(&head, "").as_bytes()).await;
                conn.send(if early { b"early" } else { b"clean" }).await;
                let late = conn.bytes(frame(1, b"eager").len()).await;
                conn.send(&late).await;
                return;
            }
        }
    })
    .await;
    let world = two_ways(backend.url()).await;
    let eager = frame(1, b"eager");
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        client.send_bytes(&[handshake(host).as_bytes(), &eager].concat()).await;
        within("the handshake at the backend", begun.acquire()).await.unwrap().forget();
        // Whatever would have followed the handshake is overtaken by these on the same link.
        for _ in 0..20 {
            assert_eq!(get(world.http, host, "/canary").await.text(), "ok");
        }
        go.add_permits(1);
        assert_eq!(client.head().await.unwrap().status, 101, "{host}");
        assert_eq!(client.bytes(5).await.unwrap(), b"clean", "W03 {host}");
        assert_eq!(client.bytes(eager.len()).await.unwrap(), eager, "{host}: afterwards it does pass");
    }
}

/// A backend that answers a handshake with `answer` and remembers what came after it.
async fn answering(answer: &'static str) -> (Backend, Arc<std::sync::Mutex<Vec<Vec<u8>>>>) {
    let after = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = after.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let seen = seen.clone();
        async move {
            conn.head().await.unwrap();
            conn.send(answer.as_bytes()).await;
            let rest = conn.rest().await;
            seen.lock().unwrap().push(rest);
        }
    })
    .await;
    (backend, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9931_a_refused_upgrade_keeps_its_answer_and_drops_what_was_sent_early() {
    for (answer, status, body) in [
        ("HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 7\r\n\r\nkept ou", 403, "kept ou"),
        ("HTTP/1.1 426 Upgrade Required\r\nX-Why: no\r\nContent-Length: 0\r\n\r\n", 426, ""),
        ("HTTP/1.1 401 Unauthorized\r\nX-Why: no\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 401, "no"),
        ("HTTP/1.1 302 Found\r\nX-Why: no\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302, ""),
        ("HTTP/1.1 200 OK\r\nX-Why: no\r\nContent-Length: 4\r\n\r\nokay", 200, "okay"),
        ("HTTP/1.1 200 OK\r\nX-Why: no\r\nLockgate-Websocket: accepted\r\nContent-Length: 4\r\n\r\nokay", 200, "okay"),
    ] {
        let (backend, after) = answering(answer).await;
        let world = two_ways(backend.url()).await;
        for host in ["shop.test", "near.test"] {
            let case = format!("W03/W04 {status} {host}");
            let mut client = h1(world.http).await;
            let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
            client.send(&format!("{}{smuggled}", handshake(host))).await;
            let got = client.answer("GET").await.unwrap();
            assert_eq!((got.status, got.text().as_str(), got.field("x-why")), (status, body, Some("no")), "{case}");
            // RFC 9110, 15.5.22: a 426 names what is required.
            let (upgrade, connection) =
                if status == 426 { (Some("websocket"), "close, upgrade") } else { (None, "close") };
            assert_eq!((got.field("upgrade"), got.field("connection")), (upgrade, Some(connection)), "{case}");
            assert!(client.is_closed().await, "{case}");
        }
        for (way, host) in WAYS.into_iter().filter(|(way, _)| *way == Way::Http2) {
            let (got, mut socket) = Socket::open(&world, way, host, "/ws", &[]).await;
            if status == 200 {
                // RFC 8441, 5: a 2xx would say that the WebSocket is open.
                assert_eq!(got.status, 502, "{host}");
                continue;
            }
            assert_eq!((got.status, got.field("x-why")), (status, Some("no")), "{host}");
            assert_eq!(socket.bytes(body.len()).await.unwrap(), body.as_bytes(), "{host}");
        }
        until("the backend's connections end", async || after.lock().unwrap().len() == 4).await;
        assert!(after.lock().unwrap().iter().all(Vec::is_empty), "{status}: bytes passed a refused upgrade");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6455_4_1_a_wrong_101_is_no_101() {
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    let wrong = "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    let the_clients_own = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for answer in [
        format!("{head}Upgrade: websocket\r\n{wrong}\r\n"),
        format!("{head}Upgrade: websocket\r\n{the_clients_own}\r\n"),
        format!("{head}Upgrade: websocket\r\n\r\n"),
        format!("{head}Upgrade: h2c\r\n{wrong}\r\n"),
        format!("{head}{wrong}\r\n"),
    ] {
        let answer: &'static str = answer.leak();
        let (backend, after) = answering(answer).await;
        let world = two_ways(backend.url()).await;
        for (count, (way, host)) in WAYS.into_iter().enumerate() {
            let (got, _socket) = Socket::open(&world, way, host, "/ws", &[]).await;
            assert_eq!(got.status, 502, "W07 {way:?} {host} {answer:?}");
            until("W07: the backend's connection is closed", async || after.lock().unwrap().len() == count + 1).await;
        }
        assert!(after.lock().unwrap().iter().all(Vec::is_empty));
    }
    let (backend, after) =
        answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let world = two_ways(backend.url()).await;
    for host in ["shop.test", "near.test"] {
        let got = get(world.http, host, "/").await;
        assert_eq!(got.status, 502, "W07: 101 that nobody asked for, {host}");
        assert!(got.text().contains("backend-invalid"));
    }
    until("W07: the backend's connections are closed", async || after.lock().unwrap().len() == 2).await;
}
