//! Request heads (RFC 9112, 3 and 5; cases R01–R22): the request line, Host, fields, and what ends at a hop.

use crate::backend::Backend;
use crate::client::{get, h1, h1_tls};
use crate::framing::Strict;
use crate::world::plan;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_one_valid_host_or_none() {
    let strict = Strict::start().await;
    for (case, fields) in [
        ("R01", "X: y".to_owned()),
        ("R02", "Host: shop.test\r\nHost: other.test".into()),
        ("R02", "Host: shop.test\r\nHost: shop.test".into()),
        ("R03", "Host:".into()),
        ("R03", "Host: user@shop.test".into()),
        ("R03", "Host: shop.test/path".into()),
        ("R03", "Host: shop.test, shop.test".into()),
        ("R03", "Host: shop .test".into()),
        ("R03", "Host: shop.test:99999".into()),
        ("R03", "Host: shop.test:0".into()),
        ("R03", "Host: shop.test:+80".into()),
        ("R03", "Host: sh\u{f6}p.test".into()),
        ("R03", "Host: shop%2etest".into()),
        ("R03", format!("Host: {}.test", "a".repeat(300))),
        ("R20", "Host : shop.test".into()),
    ] {
        let raw = format!("GET /case HTTP/1.1\r\n{fields}\r\n\r\n");
        strict.refuses(&format!("{case} {fields:?}"), raw.as_bytes(), &[400]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_2_2_the_absolute_target_and_host_are_one() {
    let strict = Strict::start().await;
    for (case, target) in [
        ("R04", "http://other.test/case"),
        ("R04", "http://shop.test:8080/case"),
        ("R04", "http://user@shop.test/case"),
        ("R04", "http:///case"),
        ("R05", "ftp://shop.test/case"),
        ("R05", "file:///etc/passwd"),
        ("R05", "shop.test/case"),
        ("R05", "//shop.test:x"),
    ] {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        if target.starts_with("//") {
            // RFC 9112, 3.2.1: origin form; it must not become an authority on its way.
            assert_eq!(
                strict.forwards(case, raw.as_bytes()).await.head.lines().next(),
                Some("GET /shop.test:x HTTP/1.1")
            );
            continue;
        }
        strict.refuses(&format!("{case} {target}"), raw.as_bytes(), &[400, 421]).await;
    }
    let seen = strict.forwards("R04", b"GET HTTP://SHOP.test:80?a=b HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(seen.head.lines().next(), Some("GET /?a=b HTTP/1.1"));
    assert_eq!(seen.field("x-forwarded-host").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_4_a_target_of_another_scheme_is_refused() {
    let strict = Strict::start().await;
    let raw = b"GET https://shop.test/case HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    strict.refuses("R05 https: without TLS", raw, &[400, 421]).await;
    let mut secure = h1_tls(strict.world.https, "shop.test").await;
    secure.send("GET http://shop.test/case HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let answer = secure.answer("GET").await.unwrap();
    assert!(matches!(answer.status, 400 | 421), "R05 http: within TLS: {}", answer.status);
    assert!(strict.journal.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_methods_that_are_never_forwarded() {
    let strict = Strict::start().await;
    for (case, start, statuses) in [
        ("R09", "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test:80".to_owned(), &[405, 501][..]),
        ("R09", "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test:80\r\nContent-Length: 3".into(), &[405, 501]),
        ("R09", "CONNECT / HTTP/1.1\r\nHost: shop.test".into(), &[400, 405, 501]),
        ("R10", "TRACE / HTTP/1.1\r\nHost: shop.test".into(), &[405]),
        ("R11", "GET * HTTP/1.1\r\nHost: shop.test".into(), &[400]),
        ("R12", "get / HTTP/1.1\r\nHost: shop.test".into(), &[400, 501]),
        ("R12", "G=\":<> / HTTP/1.1\r\nHost: shop.test".into(), &[400, 501]),
        ("R12", format!("{} / HTTP/1.1\r\nHost: shop.test", "G".repeat(1000)), &[400, 501]),
        ("R12", format!("{} / HTTP/1.1\r\nHost: shop.test", "G".repeat(100_000)), &[400, 414, 501]),
    ] {
        let raw = format!("{start}\r\n\r\n");
        strict.refuses(&format!("{case} {start:.60}"), raw.as_bytes(), statuses).await;
    }
    let mut client = h1(strict.world.http).await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\nGET /canary HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let options = client.answer("OPTIONS").await.unwrap();
    assert!(options.status == 200 && options.field("allow").is_some(), "R11 {options:?}");
    assert_eq!(client.answer("GET").await.unwrap().text(), "GET /canary");
    assert_eq!(strict.journal.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_3_the_request_line_has_one_shape() {
    let strict = Strict::start().await;
    for (case, line) in [
        ("R13", "GET /case"),
        ("R13", "GET /case HTTP/1"),
        ("R13", "GET /case HTTP/01.1"),
        ("R13", "GET /case http/1.1"),
        ("R13", "GET /case HTTP/ 1.1"),
        ("R13", "GET /case HTTP/2.0"),
        ("R13", "GET /case HTTP/1.2"),
        ("R13", "GET /case HTTP/1.1x"),
        ("R13", "GET /case HTTP/4294967295.255"),
        ("R13", "PRI * HTTP/2.0"),
        ("R14", "GET  /case HTTP/1.1"),
        ("R14", "GET /case  HTTP/1.1"),
        ("R14", "GET /case HTTP/1.1 "),
        ("R14", " GET /case HTTP/1.1"),
        ("R14", "GET\t/case HTTP/1.1"),
        ("R14", "GET /case\tHTTP/1.1"),
        ("R14", "GET\u{b}/case HTTP/1.1"),
        ("R14", "GET\r/case HTTP/1.1"),
        ("R14", "GET /ca se HTTP/1.1"),
        ("R15", "GET /case#frag HTTP/1.1"),
        ("R15", "GET /ca\0se HTTP/1.1"),
        ("R15", "GET /cas\u{e9} HTTP/1.1"),
        ("R15", "GET /ca\u{7f}se HTTP/1.1"),
        ("R15", "GET /ca\u{1}se HTTP/1.1"),
        ("R15", "GET case HTTP/1.1"),
    ] {
        let raw = format!("{line}\r\nHost: shop.test\r\n\r\n");
        strict.refuses(&format!("{case} {line:?}"), raw.as_bytes(), &[400, 501, 505]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_17_5_heads_are_bounded_by_name() {
    let strict = Strict::start().await;
    let head = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n");
    let long = format!("/{}", "a".repeat(8_000));
    let seen = strict.forwards("R16", head(&long, "").as_bytes()).await;
    assert!(seen.head.starts_with(&format!("GET {long} HTTP/1.1")));
    let seen = strict.forwards("R17", head("/", &"A: b\r\n".repeat(90)).as_bytes()).await;
    assert_eq!(seen.field("a").len(), 90);
    let seen = strict.forwards("R32", head("/", &"Cookie: a=b\r\n".repeat(20)).as_bytes()).await;
    assert!(!seen.field("cookie").is_empty());
    strict.journal.take();
    for (case, raw, statuses) in [
        ("R16", head(&format!("/{}", "a".repeat(100_000)), ""), &[414][..]),
        ("R17 fields", head("/", &"A: b\r\n".repeat(200)), &[431]),
        ("R17 total", head("/", &format!("A: {}\r\n", "b".repeat(1000)).repeat(70)), &[431]),
        ("R17 name", head("/", &format!("{}: b\r\n", "a".repeat(100_000))), &[400, 431]),
        ("R17 value", head("/", &format!("A: {}\r\n", "b".repeat(100_000))), &[431]),
        ("R17 cookie", head("/", &format!("Cookie: {}\r\n", "b".repeat(70_000))), &[431]),
    ] {
        strict.refuses(case, raw.as_bytes(), statuses).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_5_field_lines_have_one_shape() {
    let strict = Strict::start().await;
    for (case, fields) in [
        ("R18", &b"A: b\0c\r\n"[..]),
        ("R18", b"A: b\rc\r\n"),
        ("R18", b"A: b\nc: d\r\n"),
        ("R18", b"A: b\x01c\r\n"),
        ("R18", b"A: b\x7f\r\n"),
        ("R19", b"A: b\n"),
        ("R19", b"A: b\n\n"),
        ("R20", b"Name : b\r\n"),
        ("R20", b"Name\t: b\r\n"),
        ("R20", b": b\r\n"),
        ("R20", b"no colon\r\n"),
        ("R20", b" A: b\r\n"),
        ("R20", b"A: b\r\n folded\r\n"),
        ("R20", b"A: b\r\n\tfolded\r\n"),
        ("R20", b"A(b): c\r\n"),
        ("R20", b"N\xe4me: b\r\n"),
    ] {
        let raw = [b"GET /case HTTP/1.1\r\nHost: shop.test\r\n", fields, b"\r\n"].concat();
        strict.refuses(&format!("{case} {}", fields.escape_ascii()), &raw, &[400]).await;
    }
    strict.refuses("R20 first", b"GET /case HTTP/1.1\r\n A: b\r\nHost: shop.test\r\n\r\n", &[400]).await;
    strict.refuses("R19", b"GET /case HTTP/1.1\nHost: shop.test\n\n", &[400]).await;
    strict.refuses("R19", b"GET /case HTTP/1.1\rHost: shop.test\r\r", &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_2_2_a_head_that_never_ends_is_ended() {
    let (backend, journal) = Backend::recording().await;
    let short = Duration::from_millis(300);
    let world = plan().app("shop", backend.url()).set(|config| config.limits.head_timeout = short).start().await;
    for raw in ["GET /case HTTP/1.1\rHost: shop.test\r\r", "GET /case HTTP/1.1\r\nHost: shop.test\r\n", "G"] {
        let mut client = h1(world.http).await;
        client.send(raw).await;
        let answer = client.answer("GET").await.unwrap();
        assert_eq!((answer.status, answer.field("connection")), (408, Some("close")), "{raw:?}");
        assert!(client.is_closed().await, "{raw:?}");
    }
    assert!(journal.heads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_what_ends_at_a_hop_ends() {
    let strict = Strict::start().await;
    let nominated =
        "Connection: Host, Cookie, Authorization, Content-Length, X-Forwarded-For, X-Request-Id, X-Secret, TE";
    let seen = strict
        .forwards(
            "R21",
            format!(
                "POST /case HTTP/1.1\r\nHost: shop.test\r\n{nominated}\r\nCookie: a=b\r\nAuthorization: x\r\n\
                 Content-Length: 3\r\nX-Secret: 1\r\n\r\nabc"
            )
            .as_bytes(),
        )
        .await;
    for ours in ["host", "content-length", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"] {
        assert_eq!(seen.field(ours).len(), 1, "R21 {ours} in {}", seen.head);
    }
    assert_eq!((seen.field("x-forwarded-for"), &seen.body[..]), (vec!["127.0.0.1".to_owned()], &b"abc"[..]));
    for gone in ["cookie", "authorization", "x-secret", "connection"] {
        assert!(seen.field(gone).is_empty(), "R21 {gone}");
    }
    let seen = strict
        .forwards(
            "R22",
            b"GET /case HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAAQAAP__\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
              Proxy-Authorization: Basic eDp5\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
        )
        .await;
    for gone in
        ["upgrade", "http2-settings", "keep-alive", "proxy-connection", "proxy-authorization", "te", "connection"]
    {
        assert!(seen.field(gone).is_empty(), "R22 {gone}");
    }
    assert_eq!(seen.field("x-kept"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_7_6_1_what_ends_at_a_hop_ends_on_the_way_back() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nLockgate-Fault: refused; x\r\nX-Kept: 1\r\n\r\nok",
    )
    .await;
    let world = plan().app("shop", backend.url()).start().await;
    let answer = get(world.http, "shop.test", "/").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("x-kept")), (200, "ok", Some("1")));
    for gone in ["connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade", "lockgate-fault"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
}
