//! Bodies whose end is not said by themselves (RFC 9112, 6.3 and 8): HEAD, 204, 304, HTTP/1.0, and requests that
//! break off.

use tokio::io::AsyncWriteExt;

use crate::backend::Backend;
use crate::client::h1;
use crate::framing::Strict;
use crate::world::{plan, until};

/// Answers each path with the raw response named by it.
async fn scripted() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let path = request.head.split(' ').nth(1).unwrap().to_owned();
            let answer = match path.as_str() {
                "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                "/head-chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "/chunked" => {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
                }
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/205" => "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
                "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "/until-close" => "HTTP/1.1 200 OK\r\n\r\nabcde",
                "/old" => "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
                _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            };
            conn.send(answer.as_bytes()).await;
            if path == "/until-close" || path == "/old" {
                return;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_3_answers_on_one_connection_do_not_run_into_each_other() {
    let backend = scripted().await;
    let world = plan()
        .app("shop", backend.url())
        .app_with("near", backend.url(), |app| app.group = "local".into())
        .start()
        .await;
    for host in ["shop.test", "near.test"] {
        let mut client = h1(world.http).await;
        for (method, path, status, length, body) in [
            ("GET", "/length", 200, Some("5"), "abcde"),
            ("HEAD", "/head", 200, Some("5"), ""),
            ("HEAD", "/head-chunked", 200, None, ""),
            ("GET", "/chunked", 200, None, "abcde"),
            ("GET", "/204", 204, None, ""),
            ("HEAD", "/204", 204, None, ""),
            ("GET", "/205", 205, Some("0"), ""),
            ("GET", "/304", 304, Some("5"), ""),
            ("HEAD", "/304", 304, Some("5"), ""),
            ("GET", "/empty", 200, Some("0"), ""),
            ("GET", "/until-close", 200, None, "abcde"),
            ("GET", "/old", 200, Some("5"), "abcde"),
            ("GET", "/length", 200, Some("5"), "abcde"),
        ] {
            client.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            let answer = client.answer(method).await.unwrap_or_else(|| panic!("{host} {method} {path}: no answer"));
            assert_eq!(
                (answer.status, answer.field("content-length"), answer.text().as_str()),
                (status, length, body),
                "{host} {method} {path}"
            );
            assert_eq!(answer.field("connection"), None, "{host} {method} {path}");
            let chunked = length.is_none() && !body.is_empty();
            assert_eq!(answer.field("transfer-encoding"), chunked.then_some("chunked"), "{host} {method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_http10_clients_get_what_they_understand() {
    let backend = scripted().await;
    let world = plan().app("shop", backend.url()).start().await;
    for (path, length, until_close) in
        [("/length", Some("5"), false), ("/chunked", None, true), ("/until-close", None, true)]
    {
        for asked in ["", "Connection: keep-alive\r\n"] {
            let case = format!("{path} {asked:?}");
            let mut client = h1(world.http).await;
            client.send(&format!("GET {path} HTTP/1.0\r\nHost: shop.test\r\n{asked}\r\n")).await;
            let answer = client.answer("GET").await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"), "{case}");
            assert_eq!(answer.field("transfer-encoding"), None, "{case}: RFC 9112, 6.1");
            assert_eq!(answer.field("content-length"), length, "{case}");
            let kept = !asked.is_empty() && !until_close;
            assert_eq!(answer.field("connection"), Some(if kept { "keep-alive" } else { "close" }), "{case}");
            if kept {
                client.send("GET /length HTTP/1.0\r\nHost: shop.test\r\n\r\n").await;
                assert_eq!(client.answer("GET").await.unwrap().text(), "abcde", "{case}");
            }
            assert!(client.is_closed().await, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_3_2_pipelined_bodies_find_their_requests() {
    let strict = Strict::start().await;
    let mut client = h1(strict.world.http).await;
    let length = "POST /one HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "PUT /two HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndefg\r\n0\r\n\r\n";
    let bare = "GET /three HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    // One byte at a time, so that no boundary of a read is a boundary of a message.
    for byte in [length, chunked, bare].concat().bytes() {
        client.send_bytes(&[byte]).await;
    }
    for line in ["POST /one", "PUT /two", "GET /three"] {
        assert_eq!(client.answer("GET").await.unwrap().text(), line);
    }
    let bodies: Vec<_> = strict.journal.take().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"abc".to_vec(), b"defg".to_vec(), b"".to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_8_a_request_that_breaks_off_is_never_complete() {
    let strict = Strict::start().await;
    for (case, fields) in [("length", "Content-Length: 10"), ("chunked", "Transfer-Encoding: chunked")] {
        for abrupt in [false, true] {
            let mut client = h1(strict.world.http).await;
            client.send(&format!("POST /case HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n\r\n4\r\nab")).await;
            until("the request is on its way", async || strict.journal.heads().len() == 1).await;
            if abrupt {
                client.stream.set_zero_linger().unwrap();
                drop(client);
            } else {
                client.stream.shutdown().await.unwrap();
                let answer = client.answer("POST").await;
                let refused = answer.as_ref().is_none_or(|answer| answer.status >= 400);
                assert!(refused, "{case}: {answer:?}");
            }
            until("F23: the backend sees it cut", async || strict.journal.cut() == 1).await;
            assert!(strict.journal.take().is_empty(), "{case}");
        }
    }
    let blamed = "lockgate_errors_total{reason=\"link-lost\",side=\"link\"}";
    assert!(strict.world.metric(blamed).await < 1.0, "the client's own failure is blamed on the link");
}
