//! HTTP/2 as clients speak it (RFC 9113): hosts and certificates, cookies, HEAD, limits, cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::backend::Backend;
use crate::client::{h1_tls, h2};
use crate::frames::{END_STREAM, End, Frames};
use crate::world::{plan, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_15_5_20_a_connection_carries_only_its_own_host() {
    let [shop, desk] = [Backend::mirror().await, Backend::mirror().await];
    let world = plan().app("shop", shop.url()).app("desk", desk.url()).start().await;
    let mut http2 = h2(world.https, "shop.test").await;
    let mut misdirected = 0;
    for (url, status) in [
        ("https://shop.test/", 200),
        ("https://SHOP.test:443/", 200),
        ("https://desk.test/", 421),
        ("https://nobody.test/", 421),
        ("https://127.0.0.1/", 421),
        ("https://shop.test/", 200),
    ] {
        assert_eq!(http2.get(url).await.unwrap().status, status, "R07 {url}");
        misdirected += usize::from(status == 421);
    }
    assert_eq!(misdirected, 3);
    let mut other = h2(world.https, "desk.test").await;
    assert_eq!(other.get("https://desk.test/").await.unwrap().status, 200);
    let mut secure = h1_tls(world.https, "shop.test").await;
    secure.send("GET / HTTP/1.1\r\nHost: desk.test\r\n\r\n").await;
    assert_eq!(secure.answer("GET").await.unwrap().status, 421, "R07 over HTTP/1.1");
    assert_eq!((shop.connections(), desk.connections()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_published_is_nobodys() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut http2 = h2(world.https, "nobody.test").await;
    let answer = http2.get("https://nobody.test/").await.unwrap();
    assert_eq!(answer.status, 404, "R06");
    assert!(answer.text().contains("not-published"), "{}", answer.text());
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_2_3_cookie_crumbs_are_joined() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut http2 = h2(world.https, "shop.test").await;
    let request = http::Request::get("https://shop.test/").header("cookie", "a=b").header("cookie", "c=d; e=f");
    let answer = http2.request(request.header("cookie", "g=h").body(()).unwrap(), b"").await.unwrap();
    let text = answer.text();
    let cookies: Vec<_> = text.lines().filter(|line| line.starts_with("cookie:")).collect();
    assert_eq!(cookies, ["cookie: a=b; c=d; e=f; g=h"], "R32");
    // A thousand crumbs are either refused or joined, never spread over a thousand lines.
    let mut request = http::Request::get("https://shop.test/");
    for _ in 0..1000 {
        request = request.header("cookie", "a=b");
    }
    let answer = http2.request(request.body(()).unwrap(), b"").await.unwrap();
    let lines = answer.text().lines().filter(|line| line.starts_with("cookie:")).count();
    assert!(answer.status == 431 || (answer.status == 200 && lines == 1), "R32 {} {lines}", answer.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_3_2_head_and_bodiless_answers() {
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let answer = match request.head.split(' ').nth(1).unwrap() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
                "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            };
            conn.send(answer.as_bytes()).await;
        }
    })
    .await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut http2 = h2(world.https, "shop.test").await;
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("5")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("5")),
        ("HEAD", "/304", 304, Some("5")),
    ] {
        let request = http::Request::builder().method(method).uri(format!("https://shop.test{path}")).body(()).unwrap();
        let answer = http2.request(request, b"").await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{method} {path}");
        assert!(answer.body.is_empty(), "{method} {path}");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_17_5_heads_are_bounded_by_name() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    for (case, path, name, count, length, status) in [
        ("R16", "/".to_owned() + &"a".repeat(8_000), "x", 0, 0, 200),
        ("R16", "/".to_owned() + &"a".repeat(20_000), "x", 0, 0, 414),
        ("R17 fields", "/".into(), "x", 100, 1, 200),
        ("R17 fields", "/".into(), "x", 200, 1, 431),
        ("R17 value", "/".into(), "x", 1, 30_000, 200),
        ("R17 value", "/".into(), "x", 1, 100_000, 431),
        ("R17 total", "/".into(), "x", 70, 1000, 431),
        ("R17 cookie", "/".into(), "cookie", 1, 70_000, 431),
    ] {
        // A connection each: a client that is refused with REFUSED or GOAWAY must not disturb the next case.
        let mut http2 = h2(world.https, "shop.test").await;
        let mut request = http::Request::get(format!("https://shop.test{path}"));
        for _ in 0..count {
            request = request.header(name, "b".repeat(length));
        }
        let answer = http2.request(request.body(()).unwrap(), b"").await;
        let got = answer.as_ref().map(|answer| answer.status);
        assert!(got.as_ref().is_ok_and(|got| *got == status), "{case} {count} × {length}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_5_1_2_streams_beyond_the_limit_are_refused() {
    let ended = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let (starts, ends) = (begun.clone(), ended.clone());
    let backend = Backend::serve(move |mut conn, _| {
        let (starts, ends) = (starts.clone(), ends.clone());
        async move {
            conn.request().await.unwrap();
            starts.fetch_add(1, Ordering::SeqCst);
            conn.rest().await;
            ends.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let limit = 8;
    let world =
        plan().app("shop", backend.url()).set(|config| config.limits.streams_per_connection = limit).start().await;
    let mut frames = Frames::connect(world.https, "shop.test").await;
    let get = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/")];
    for index in 0..=u32::try_from(limit).unwrap() {
        frames.headers(index * 2 + 1, &get, END_STREAM).await;
    }
    let refused = 7;
    let end = frames.end_of(u32::try_from(limit).unwrap() * 2 + 1).await;
    assert_eq!(end, End::Reset(refused), "H16: REFUSED_STREAM");
    until("the others go on", async || begun.load(Ordering::SeqCst) == limit).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    drop(frames);
    until("the backend's requests are cancelled", async || ended.load(Ordering::SeqCst) == limit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once_get_their_own_answers() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let http2 = h2(world.https, "shop.test").await;
    let mut waiting = Vec::new();
    for index in 0..100 {
        let request = http::Request::get(format!("https://shop.test/{index}")).body(()).unwrap();
        let mut send = http2.send.clone().ready().await.unwrap();
        waiting.push(send.send_request(request, true).unwrap().0);
    }
    for (index, response) in waiting.into_iter().enumerate() {
        let mut body = within("a response", response).await.unwrap().into_body();
        let bytes = within("a body", body.data()).await.unwrap().unwrap();
        assert!(bytes.starts_with(format!("GET /{index} HTTP/1.1").as_bytes()), "{index}: {bytes:?}");
    }
    http2.send.ready().await.unwrap();
}
