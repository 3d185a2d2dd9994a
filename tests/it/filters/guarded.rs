//! Fields that are not a filter's to see, and bytes that it could not bear (ABI, 18 and 21).

use super::guest::Guest;
use super::lab::{ALL, get, one, one_with, seen};
use crate::backend::Backend;

const PROTECTED: &str = r#"
    (call $get_header_map_value #0 @"authorization" OUT) (call $note (global.get $st))
    (call $get_header_map_value #0 @"cookie" OUT) (call $note (global.get $st))
    (call $get_property @"request\00headers\00authorization" OUT) (call $note (global.get $st))
    (call $replace_header_map_value #0 @"authorization" @"forged") (call $note (global.get $st))
    (call $remove_header_map_value #0 @"cookie") (call $note (global.get $st))
    (call $replace_header_map_value #0 @"x-forwarded-for" @"6.6.6.6") (call $note (global.get $st))
    (call $tell #0 @"x-notes")"#;

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_hidden_without_a_grant_and_there_with_it() {
    let guest = Guest::of("request_headers", PROTECTED).on(
        "response_headers",
        r#"(call $get_header_map_value #2 @"set-cookie" OUT) (call $note (global.get $st))
        (call $remove_header_map_value #2 @"set-cookie")
        (call $tell #2 @"x-notes")"#,
    );
    let backend = Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            let (head, length) = (&request.head, request.head.len());
            let answer = format!("HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: {length}\r\n\r\n{head}");
            conn.send(answer.as_bytes()).await;
        }
    })
    .await;
    let ask = get("/").field("authorization", "Bearer me").field("cookie", "sid=1");
    let lab = one(&guest).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &ask).await;
        assert_eq!(seen(&answer, "x-notes"), ["1 1 1 0 0 0"], "{how:?}");
        assert_eq!(
            (seen(&answer, "authorization"), seen(&answer, "cookie")),
            (vec!["Bearer me".into()], vec!["sid=1".into()])
        );
        assert_eq!(seen(&answer, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!((answer.field("set-cookie"), answer.field("x-notes")), (Some("a=b"), Some("1")), "{how:?}");
    }
    assert!(lab.count("denied_total", "capability=\"protected_headers\"").await >= 12.0);
    let granted = ["authorization", "cookie", "x-forwarded-for", "set-cookie"].map(str::to_owned).to_vec();
    let lab = one_with(&guest, |filter| filter.capabilities.protected_headers = granted).start(&backend).await;
    for how in ALL {
        let answer = lab.ask(how, &ask).await;
        assert_eq!(seen(&answer, "x-notes"), ["0 0 0 0 0 0"], "{how:?}");
        assert_eq!(
            (seen(&answer, "authorization"), seen(&answer, "cookie")),
            (vec!["forged".into()], vec![]),
            "{how:?}"
        );
        assert_eq!(seen(&answer, "x-forwarded-for"), ["6.6.6.6"]);
        assert_eq!((answer.field("set-cookie"), answer.field("x-notes")), (None, Some("0")), "{how:?}");
    }
}

/// Shows how long the field is to the filter, and hands all pairs back.
const LATIN: &str = r#"
    (call $get_header_map_value #0 @"x-name" OUT) (call $note (i32.load #20))
    (call $get_header_map_pairs #0 OUT) (call $set_header_map_pairs #0 GOT) (call $note (global.get $st))
    (call $tell #0 @"x-notes")"#;

#[tokio::test(flavor = "multi_thread")]
async fn abi_18_a_byte_that_is_no_utf8_kills_no_filter() {
    use lockgate::config::HeaderBytes;
    let guest = Guest::of("request_headers", LATIN);
    for (bytes, status, length) in
        [(HeaderBytes::Lossy, 200, 6), (HeaderBytes::Raw, 200, 4), (HeaderBytes::Reject, 400, 0)]
    {
        let raw = Backend::serve(|mut conn, _| async move {
            while let Some(head) = conn.raw_head().await {
                let whole = head.windows(5).any(|window| window == b" caf\xe9");
                let text = if whole { "whole" } else { "broken" };
                let notes =
                    String::from_utf8_lossy(&head).lines().find(|line| line.starts_with("x-notes")).map(str::to_owned);
                let body = format!("{text} {}", notes.unwrap_or_default());
                conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            }
        })
        .await;
        let lab = one_with(&guest, |filter| filter.header_bytes = bytes).start(&raw).await;
        for how in ALL {
            let answer = lab.ask(how, &get("/").field("x-name", b"caf\xe9")).await;
            assert_eq!(answer.status, status, "{how:?} {bytes:?}: {}", answer.text());
            if status == 200 {
                assert_eq!(answer.text(), format!("whole x-notes: {length} 0"), "{how:?} {bytes:?}");
            }
            let next = lab.ask(how, &get("/").field("x-name", "cafe")).await;
            assert_eq!(next.text(), "broken x-notes: 4 0", "{how:?} {bytes:?}: the next request");
        }
    }
}
