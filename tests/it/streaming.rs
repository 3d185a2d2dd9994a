//! Nothing is held back and nothing piles up: events and uploads pass as they are sent, a reader that stops stops the
//! writer, and whoever leaves takes his request with him.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::backend::{Backend, Conn};
use crate::client::{H1, get, h1, h1_tls, h2};
use crate::world::{World, plan, until, within};

const EVENTS: usize = 12;

async fn taken(semaphore: &Semaphore, what: &str) {
    within(what, semaphore.acquire()).await.unwrap().forget();
}

/// A backend that sends event n + 1 only after the test has acknowledged event n.
async fn patient_events(content_type: &'static str) -> (Backend, Arc<Semaphore>) {
    let seen = Arc::new(Semaphore::new(0));
    let acknowledged = seen.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let acknowledged = acknowledged.clone();
        async move {
            while conn.request().await.is_some() {
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n");
                conn.send(head.as_bytes()).await;
                for n in 0..EVENTS {
                    let event = event(n);
                    conn.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await;
                    taken(&acknowledged, "an acknowledged event").await;
                }
                conn.send(b"0\r\n\r\n").await;
            }
        }
    })
    .await;
    (backend, seen)
}

fn event(n: usize) -> String {
    format!("id: {n}\ndata: event {n}\n\n")
}

async fn follow_h1<S: AsyncRead + AsyncWrite + Unpin>(mut client: H1<S>, seen: &Semaphore) {
    client.send("GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status, 200);
    for n in 0..EVENTS {
        let mut got = Vec::new();
        while got.len() < event(n).len() {
            got.extend(client.chunk().await.expect("an event"));
        }
        assert_eq!(String::from_utf8(got).unwrap(), event(n));
        seen.add_permits(1);
    }
    assert_eq!(client.chunk().await, None);
}

/// The next bytes of an HTTP/2 body, with their credit given back; an empty frame is only its end.
async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = within("an HTTP/2 body", body.data()).await?;
    if let Ok(bytes) = &piece {
        body.flow_control().release_capacity(bytes.len()).unwrap();
    }
    Some(piece).filter(|piece| !piece.as_ref().is_ok_and(Bytes::is_empty))
}

fn request_for(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://shop.test{path}")).body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_sent() {
    for content_type in ["text/event-stream", "application/json"] {
        let (backend, seen) = patient_events(content_type).await;
        let world = plan().app("shop", backend.url()).start().await;
        follow_h1(h1(world.http).await, &seen).await;
        follow_h1(h1_tls(world.https, "shop.test").await, &seen).await;
        let mut client = h2(world.https, "shop.test").await;
        let (response, _) = client.send.send_request(request_for("/events"), true).unwrap();
        let mut body = within("a response head", response).await.unwrap().into_body();
        for n in 0..EVENTS {
            let mut got = Vec::new();
            while got.len() < event(n).len() {
                got.extend(piece(&mut body).await.expect("an event").unwrap());
            }
            assert_eq!(String::from_utf8(got).unwrap(), event(n));
            seen.add_permits(1);
        }
        assert!(piece(&mut body).await.is_none());
    }
}

/// A backend that counts the pieces of five bytes that it got, and answers after three.
async fn piecewise() -> (Backend, Arc<Semaphore>) {
    let got = Arc::new(Semaphore::new(0));
    let counted = got.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let counted = counted.clone();
        async move {
            while let Some(head) = conn.head().await {
                let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
                for _ in 0..3 {
                    let piece = if chunked { conn.chunk().await.unwrap() } else { conn.bytes(5).await };
                    assert_eq!(piece.len(), 5, "{head}");
                    counted.add_permits(1);
                }
                if chunked {
                    assert!(conn.chunk().await.unwrap().is_empty());
                    conn.bytes(2).await;
                }
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (backend, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_arrives_as_it_is_sent() {
    let (backend, got) = piecewise().await;
    let world = plan().app("shop", backend.url()).start().await;
    let head = "POST / HTTP/1.1\r\nHost: shop.test\r\n";
    let mut client = h1(world.http).await;
    client.send(&format!("{head}Content-Length: 15\r\n\r\n")).await;
    for _ in 0..3 {
        client.send("abcde").await;
        taken(&got, "a piece of a body with a length").await;
    }
    assert_eq!(client.answer("POST").await.unwrap().text(), "ok");
    client.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n")).await;
    for _ in 0..3 {
        client.send("5\r\nabcde\r\n").await;
        taken(&got, "a piece of a chunked body").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.unwrap().text(), "ok");
    let mut http2 = h2(world.https, "shop.test").await;
    let request = http::Request::post("https://shop.test/").body(()).unwrap();
    let (response, mut body) = http2.send.send_request(request, false).unwrap();
    for last in [false, false, true] {
        body.send_data(Bytes::from_static(b"abcde"), last).unwrap();
        taken(&got, "a piece of an HTTP/2 body").await;
    }
    assert_eq!(within("an answer", response).await.unwrap().status(), 200);
}

const HUGE: u64 = 64 << 20;

/// A backend that writes a huge body and counts the bytes its socket took; `/canary` is answered at once.
async fn huge() -> (Backend, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let count = count.clone();
        async move {
            while let Some(request) = conn.request().await {
                if request.head.starts_with("GET /canary") {
                    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    continue;
                }
                conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n").as_bytes()).await;
                let piece = vec![b'x'; 64 << 10];
                while count.load(Ordering::SeqCst) < HUGE && conn.stream.write_all(&piece).await.is_ok() {
                    count.fetch_add(piece.len() as u64, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    (backend, taken)
}

/// The backend's writes stop although requests beside them go on, on the very same link.
async fn assert_writes_stop(world: &World, taken: &AtomicU64) {
    let mut quiet = 0;
    until("the backend's writes stop", async || {
        let before = taken.load(Ordering::SeqCst);
        for _ in 0..20 {
            assert_eq!(get(world.http, "shop.test", "/canary").await.text(), "ok");
        }
        quiet = if before > 0 && before == taken.load(Ordering::SeqCst) { quiet + 1 } else { 0 };
        quiet == 5
    })
    .await;
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken < 32 << 20, "{taken} bytes were taken for a client that does not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_stops_the_writer_http1() {
    let (backend, taken) = huge().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut client = h1(world.http).await;
    client.send("GET /huge HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_writes_stop(&world, &taken).await;
    let answer = client.answer("GET").await.expect("the whole body after all");
    assert_eq!(answer.body.len() as u64, HUGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_stops_the_writer_http2() {
    let (backend, taken) = huge().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut client = h2(world.https, "shop.test").await;
    let (response, _) = client.send.send_request(request_for("/huge"), true).unwrap();
    let mut body = within("a response head", response).await.unwrap().into_body();
    assert_writes_stop(&world, &taken).await;
    // The connection itself is free for others.
    assert_eq!(client.get("https://shop.test/canary").await.unwrap().text(), "ok");
    let mut length = 0;
    while let Some(bytes) = piece(&mut body).await {
        length += bytes.unwrap().len() as u64;
    }
    assert_eq!(length, HUGE);
}

/// A backend that hangs (or, for `/events`, sends for ever) and counts requests begun and connections whose end it saw.
async fn endless() -> (Backend, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (begun.clone(), ended.clone());
    let backend = Backend::serve(move |mut conn, _| {
        let (begun, ended) = counts.clone();
        async move {
            let Some(request) = conn.request().await else { return };
            begun.fetch_add(1, Ordering::SeqCst);
            if request.head.starts_with("GET /events") {
                send_for_ever(&mut conn).await;
            } else {
                conn.rest().await;
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (backend, begun, ended)
}

async fn send_for_ever(conn: &mut Conn) {
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while conn.stream.write_all(b"9\r\ndata: x\n\n\r\n").await.is_ok() {
        pace.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (backend, begun, ended) = endless().await;
    let world = plan().app("shop", backend.url()).start().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    let mut expected = 0;
    let mut gone = async |case: &str, client: &mut dyn FnMut()| {
        expected += 1;
        until(case, async || begun.load(Ordering::SeqCst) == expected).await;
        client();
        until(case, async || ended.load(Ordering::SeqCst) == expected).await;
    };
    let mut client = h1(world.http).await;
    client.send(&request("/hang")).await;
    client.stream.set_zero_linger().unwrap();
    let mut client = Some(client);
    gone("a reset while waiting", &mut || drop(client.take())).await;
    let mut client = h1(world.http).await;
    client.send(&request("/events")).await;
    client.head().await.unwrap();
    let mut client = Some(client);
    gone("a close while reading", &mut || drop(client.take())).await;
    let mut client = h1_tls(world.https, "shop.test").await;
    client.send(&request("/hang")).await;
    let mut client = Some(client);
    gone("a TLS connection cut while waiting", &mut || drop(client.take())).await;
    let mut http2 = h2(world.https, "shop.test").await;
    let mut waiting = Some(http2.send.send_request(request_for("/hang"), true).unwrap());
    gone("a stream reset while waiting", &mut || drop(waiting.take())).await;
    let (response, _) = http2.send.clone().ready().await.unwrap().send_request(request_for("/events"), true).unwrap();
    let mut body = Some(within("a response head", response).await.unwrap().into_body());
    gone("a stream reset while reading", &mut || drop(body.take())).await;
    let stream = http2.send.send_request(request_for("/hang"), true).unwrap();
    let mut connection = Some((stream, http2));
    gone("an HTTP/2 connection that ends", &mut || drop(connection.take())).await;
    let links = world.edge.links().await;
    assert_eq!((links.len(), links[0].streams), (1, 0), "streams are left on the link");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_ends_its_direction_still_gets_its_answer() {
    let release = Arc::new(Semaphore::new(0));
    let released = release.clone();
    let backend = Backend::serve(move |mut conn, _| {
        let released = released.clone();
        async move {
            while conn.request().await.is_some() {
                taken(&released, "the client's end").await;
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await;
            }
        }
    })
    .await;
    let world = plan().app("shop", backend.url()).start().await;
    let request = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nok";
    let mut plain = h1(world.http).await;
    plain.send(request).await;
    plain.stream.shutdown().await.unwrap();
    release.add_permits(1);
    assert_eq!(plain.answer("POST").await.expect("T15: an answer").text(), "late");
    assert!(plain.is_closed().await);
    let mut secure = h1_tls(world.https, "shop.test").await;
    secure.send(request).await;
    secure.stream.shutdown().await.unwrap();
    release.add_permits(1);
    assert_eq!(secure.answer("POST").await.expect("T15: an answer within TLS").text(), "late");
    let mut byte = [0];
    assert_eq!(secure.stream.read(&mut byte).await.unwrap(), 0);
}
