//! What surrounds a message: interim responses (RFC 9110, 15.2), Expect (10.1.1) and trailers (6.5), end to end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;

use crate::backend::Backend;
use crate::client::{h1, h2};
use crate::world::{World, plan, within};

/// The backend decides about a body that waits: by path, `100`, a final answer, or nothing.
async fn deciding() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(head) = conn.head().await {
            assert!(head.to_lowercase().contains("expect: 100-continue"), "{head}");
            let refuses = head.contains("/refuse");
            if refuses {
                conn.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
                // RFC 9110, 10.1.1: whatever follows on this connection would have to be the body.
                assert!(conn.rest().await.is_empty(), "the refused body was sent");
                return;
            }
            if head.contains("/agree") {
                conn.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            let Some(request) = conn.body_of(head).await else { return };
            let length = request.body.len().to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{length}", length.len());
            conn.send(answer.as_bytes()).await;
        }
    })
    .await
}

async fn two_ways(backend: &Backend) -> World {
    plan().app("shop", backend.url()).app_with("near", backend.url(), |app| app.group = "local".into()).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_10_1_1_the_backend_decides_about_a_waiting_body_http1() {
    let backend = deciding().await;
    let world = two_ways(&backend).await;
    for host in ["shop.test", "near.test"] {
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let body = if framing.starts_with('C') { "abcde" } else { "5\r\nabcde\r\n0\r\n\r\n" };
            for (path, waits) in [("/agree", false), ("/silent", true)] {
                let case = format!("{host} {path} {framing}");
                let mut client = h1(world.http).await;
                let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\nExpect: 100-continue\r\n\r\n");
                let began = Instant::now();
                client.send(&head).await;
                assert_eq!(client.head().await.expect("100").status, 100, "{case}");
                let waited = began.elapsed();
                assert_eq!(waits, waited > Duration::from_millis(700), "{case}: 100 after {waited:?}");
                client.send(body).await;
                let answer = client.head().await.unwrap();
                assert_eq!(answer.status, 200, "{case}: one 100 is enough");
                assert_eq!(client.bytes(1).await.unwrap(), b"5", "{case}");
                // A client that does not wait is no worse off.
                client.send(&format!("{head}{body}")).await;
                assert_eq!(client.answer("PUT").await.unwrap().text(), "5", "{case}");
                let took = began.elapsed();
                assert!(waits || took < Duration::from_secs(1), "{case}: a body that was asked for took {took:?}");
            }
            let mut client = h1(world.http).await;
            let head = format!("PUT /refuse HTTP/1.1\r\nHost: {host}\r\n{framing}\r\nExpect: 100-continue\r\n\r\n");
            client.send(&head).await;
            let answer = client.head().await.unwrap();
            assert_eq!(answer.status, 413, "{host}: the final answer comes first");
            assert_eq!(client.bytes(3).await.unwrap(), b"big");
            assert_eq!(answer.field("connection"), Some("close"), "{host}: the body may or may not follow");
            assert!(client.is_closed().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_10_1_1_the_backend_decides_about_a_waiting_body_http2() {
    let backend = deciding().await;
    let world = two_ways(&backend).await;
    for host in ["shop.test", "near.test"] {
        let client = h2(world.https, host).await;
        for path in ["/agree", "/silent", "/refuse"] {
            let request = http::Request::put(format!("https://{host}{path}")).header("expect", "100-continue");
            let mut send = client.send.clone().ready().await.unwrap();
            let (mut response, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
            if path != "/refuse" {
                let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
                let interim = within(&format!("{host}{path}: 100"), interim).await.expect("100").unwrap();
                assert_eq!(interim.status(), 100, "{host}{path}");
                body.send_data(Bytes::from_static(b"abcde"), true).unwrap();
            }
            let response = within("a response", response).await.unwrap();
            assert_eq!(response.status(), if path == "/refuse" { 413 } else { 200 }, "{host}{path}");
            let text = within("a body", response.into_body().data()).await.unwrap().unwrap();
            assert_eq!(&text[..], if path == "/refuse" { &b"big"[..] } else { b"5" }, "{host}{path}");
        }
        client.send.ready().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc8297_early_hints_reach_those_who_understand_them() {
    let backend = Backend::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let world = two_ways(&backend).await;
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        for css in ["</a.css>; rel=preload", "</b.css>; rel=preload"] {
            let hints = client.head().await.unwrap();
            assert_eq!((hints.status, hints.field("link"), hints.field("x-hop")), (103, Some(css), None), "{host}");
        }
        assert_eq!(client.answer("GET").await.unwrap().text(), "ok", "{host}");
        let mut old = h1(world.http).await;
        old.send(&format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(old.head().await.unwrap().status, 200, "{host}: RFC 9110, 15.2");
        assert_eq!(old.rest().await, b"ok", "{host}");
        let mut http2 = h2(world.https, host).await;
        let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let (mut response, _) = http2.send.send_request(request, true).unwrap();
        for css in ["</a.css>; rel=preload", "</b.css>; rel=preload"] {
            let hints = std::future::poll_fn(|cx| response.poll_informational(cx));
            let hints = within("hints", hints).await.expect("103").unwrap();
            assert_eq!((hints.status().as_u16(), hints.headers()["link"].to_str().unwrap()), (103, css), "{host}");
            assert!(!hints.headers().contains_key("x-hop"));
        }
        assert_eq!(within("a response", response).await.unwrap().status(), 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_6_5_trailers_pass_both_ways() {
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let te = request.field("te").join(",");
            let got = request.trailers.join("|");
            let text = format!("{te};{got};{}", request.body.len());
            let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
            let end = "0\r\nX-Sum: 42\r\nContent-Length: 7\r\nSet-Cookie: evil=1\r\n\r\n";
            conn.send(format!("{head}{:x}\r\n{text}\r\n{end}", text.len()).as_bytes()).await;
        }
    })
    .await;
    let world = two_ways(&backend).await;
    let sum = vec![("x-sum".to_owned(), "42".to_owned())];
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nTE: trailers, deflate;q=0.5\r\nConnection: TE\r\n");
        client
            .send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-In: 1\r\nX-In: 2\r\n\r\n"))
            .await;
        let answer = client.answer("POST").await.unwrap();
        assert_eq!(answer.text(), "trailers;x-in: 1|x-in: 2;2", "{host}");
        assert_eq!((answer.trailers, answer.fields.iter().any(|(name, _)| name == "x-sum")), (sum.clone(), false));
        let mut http2 = h2(world.https, host).await;
        let request = http::Request::post(format!("https://{host}/")).header("te", "trailers").body(()).unwrap();
        let (response, mut body) = http2.send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"ab"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.append("x-in", "1".parse().unwrap());
        trailers.append("x-in", "2".parse().unwrap());
        trailers.append("authorization", "evil".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let mut body = within("a response", response).await.unwrap().into_body();
        let text = within("a body", body.data()).await.unwrap().unwrap();
        assert_eq!(&text[..], b"trailers;x-in: 1|x-in: 2;2", "{host}");
        assert!(within("the end", body.data()).await.is_none());
        let trailers = within("trailers", body.trailers()).await.unwrap().expect("trailers");
        assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, &b"42"[..]), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_waits_reaches_a_backend_that_speaks_http2() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut length = 0;
                        while let Some(Ok(bytes)) = body.data().await {
                            length += bytes.len();
                            body.flow_control().release_capacity(bytes.len()).unwrap();
                        }
                        let Ok(mut send) = respond.send_response(http::Response::new(()), false) else { return };
                        let _ = send.send_data(length.to_string().into(), true);
                    });
                }
            });
        }
    });
    let h2c = lockgate::config::BackendProtocol::H2c;
    let world = plan()
        .app_with("shop", &url, |app| app.backend_protocol = h2c)
        .app_with("near", &url, |app| {
            app.backend_protocol = h2c;
            app.group = "local".into();
        })
        .start()
        .await;
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        client
            .send(&format!("PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.expect("100").status, 100, "{host}");
        client.send("abcde").await;
        assert_eq!(client.answer("PUT").await.unwrap().text(), "5", "{host}");
    }
}
