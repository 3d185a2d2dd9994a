//! What passes through, whole and in order: methods, bodies, streams, interim responses, trailers.

use lockgate::sample::Sample;

use crate::backend::Backend;
use crate::client::{Answer, get, h1, h1_tls, h2};
use crate::world::{plan, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_served_over_every_public_protocol() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).start().await;
    assert_eq!(get(world.http, "shop.test", "/health").await.text(), "ok\n");
    let mut secure = h1_tls(world.https, "shop.test").await;
    secure.send("GET /health HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(secure.answer("GET").await.unwrap().text(), "ok\n");
    let mut http2 = h2(world.https, "shop.test").await;
    let answer = http2.get("https://shop.test/health").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    assert!(answer.field("x-request-id").is_some_and(|id| id.len() == 32));
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_pipelined_requests_are_answered_in_order() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).start().await;
    let mut client = h1(world.http).await;
    let one = |n: usize| format!("GET /download?bytes={n} HTTP/1.1\r\nhost: shop.test\r\n\r\n");
    client.send(&[one(1000), one(3), one(70_000)].concat()).await;
    for length in [1000, 3, 70_000] {
        assert_eq!(client.answer("GET").await.unwrap().body.len(), length);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_arrives_whole_and_is_streamed() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).start().await;
    let body = vec![7u8; 3 << 20];
    let mut client = h1(world.http).await;
    client.send(&format!("PUT /upload HTTP/1.1\r\nhost: shop.test\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.send_bytes(&body).await;
    let plain = client.answer("PUT").await.unwrap();
    assert_eq!(plain.status, 200, "{}", plain.text());
    let mut http2 = h2(world.https, "shop.test").await;
    let request = http::Request::put("https://shop.test/upload").body(()).unwrap();
    let second = within("an upload", http2.request(request, &body)).await.unwrap();
    for (field, value) in [
        ("bytes", body.len().into()),
        ("content_length", body.len().to_string().into()),
        ("fnv1a_64", checksum(&plain)),
    ] {
        assert_eq!(json(&plain)[field], value, "{}", plain.text());
    }
    assert_eq!(json(&second)["fnv1a_64"], checksum(&plain));
    assert_eq!(json(&second)["bytes"], body.len());
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn checksum(answer: &Answer) -> serde_json::Value {
    json(answer)["fnv1a_64"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_sees_one_clean_head() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut client = h1(world.http).await;
    client
        .send(
            "GET /a?b HTTP/1.1\r\nHost: SHOP.test\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: gzip, trailers\r\n\
             X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nLockgate-App: other\r\nCookie: a=b\r\n\r\n",
        )
        .await;
    let text = client.answer("GET").await.unwrap().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "GET /a?b HTTP/1.1");
    assert!(lines.contains(&format!("host: {}", backend.addr).as_str()), "{text}");
    for present in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.test",
        "cookie: a=b",
        "te: trailers",
    ] {
        assert!(lines.contains(&present), "{present} in {text}");
    }
    for absent in ["x-hop", "6.6.6.6", "lockgate-app", "connection"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}
