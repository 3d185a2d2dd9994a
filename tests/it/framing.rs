//! Framing (RFC 9112, 6 and 7; cases F01–F28): one reading of a message or none.
//!
//! What is refused leaves no byte at a backend; what is forwarded arrives as one clean request; and
//! after either, a canary on another connection through the same link gets its own answer.

use crate::backend::{Backend, Journal, Received};
use crate::client::{get, h1};
use crate::world::{World, plan, until};

/// What an attacker would like a backend to read as a request of its own.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// A world whose backend remembers everything it got.
pub struct Strict {
    pub world: World,
    pub journal: Journal,
    _backend: Backend,
}

impl Strict {
    pub async fn start() -> Self {
        let (backend, journal) = Backend::recording().await;
        let world = plan().app("shop", backend.url()).start().await;
        Self { world, journal, _backend: backend }
    }

    /// `raw` is answered with one of `statuses`, closes the connection, and not a byte of it or of what follows
    /// reaches the backend.
    pub async fn refuses(&self, case: &str, raw: &[u8], statuses: &[u16]) {
        self.closes(case, raw, statuses).await;
        self.canary(case).await;
        let heads = self.journal.heads();
        assert!(heads.iter().all(|head| head.starts_with("GET /canary ")), "{case}: {heads:?}");
        assert_eq!(self.journal.take().len(), 1, "{case}");
    }

    /// The same for a body that breaks when its head is on its way already: it never becomes a complete request.
    async fn aborts(&self, case: &str, raw: &[u8], statuses: &[u16]) {
        self.closes(case, raw, statuses).await;
        self.canary(case).await;
        until(case, async || {
            let begun = self.journal.heads().iter().filter(|head| !head.starts_with("GET /canary ")).count();
            assert!(!self.journal.heads().iter().any(|head| head.contains("/smuggled")), "{case}");
            self.journal.cut() == begun
        })
        .await;
        let complete = self.journal.take();
        assert!(complete.iter().all(|request| request.head.starts_with("GET /canary ")), "{case}: {complete:?}");
    }

    async fn closes(&self, case: &str, raw: &[u8], statuses: &[u16]) {
        let mut client = h1(self.world.http).await;
        client.send_bytes(&[raw, SMUGGLED].concat()).await;
        let answer = client.answer("GET").await.unwrap_or_else(|| panic!("{case}: no answer"));
        assert!(statuses.contains(&answer.status), "{case}: {} {}", answer.status, answer.text());
        assert!(answer.field("connection").is_some_and(|options| options.starts_with("close")), "{case}");
        assert!(client.is_closed().await, "{case}: more was said after the refusal");
    }

    /// Somebody else is served over the same link, with an answer of their own.
    pub async fn canary(&self, case: &str) {
        let canary = get(self.world.http, "shop.test", "/canary").await;
        assert_eq!((canary.status, canary.text().as_str()), (200, "GET /canary"), "{case}");
    }

    /// `raw` becomes exactly one request, and a canary behind it on the same connection is answered too.
    pub async fn forwards(&self, case: &str, raw: &[u8]) -> Received {
        self.journal.take();
        let mut client = h1(self.world.http).await;
        let canary = b"GET /canary HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        client.send_bytes(&[raw, canary].concat()).await;
        let method = if raw.starts_with(b"HEAD") { "HEAD" } else { "GET" };
        let answer = client.answer(method).await.unwrap_or_else(|| panic!("{case}: no answer"));
        assert_eq!(answer.status, 200, "{case}: {}", answer.text());
        let canary = client.answer("GET").await.unwrap_or_else(|| panic!("{case}: no canary"));
        assert_eq!(canary.text(), "GET /canary", "{case}");
        let mut requests = self.journal.take();
        assert_eq!(requests.len(), 2, "{case}: {requests:?}");
        requests.swap_remove(0)
    }
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /case HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n\r\n{body}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_3_ambiguous_framing_is_refused() {
    let strict = Strict::start().await;
    for (case, fields) in [
        ("F01", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("F01", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("F01", "tRANSFER-encoding: ChUnKeD\r\ncONTENT-lENGTH: 5"),
        ("F02", "Content-Length: 1\r\nContent-Length: 2"),
        ("F02", "Content-Length: 1, 2"),
        ("F03", "Content-Length: 2\r\nContent-Length: 2"),
        ("F03", "Content-Length: 2, 2"),
        ("F04", "Content-Length: +2"),
        ("F04", "Content-Length: -2"),
        ("F04", "Content-Length: -0"),
        ("F04", "Content-Length: 0x2"),
        ("F04", "Content-Length: 0o5"),
        ("F04", "Content-Length: 1_0"),
        ("F04", "Content-Length: 1 0"),
        ("F04", "Content-Length: 1Z"),
        ("F04", "Content-Length:"),
        ("F04", "Content-Length: 18446744073709551616"),
        ("F04", "Content-Length: 99999999999999999999"),
        ("F04", "Content-Length: \u{662}"),
        ("F05", "Content-Length: 02"),
        ("F05", "Content-Length: 00"),
        ("F05", "Content-Length: 0200"),
        ("F11", "Transfer-Encoding : chunked"),
        ("F11", "Transfer-Encoding:\r\n chunked"),
        ("F11", "X: y\r\n Transfer-Encoding: chunked"),
        ("F11", "Transfer-\r\nEncoding: chunked"),
        ("F12", "Transfer_Encoding: chunked"),
        ("F12", "Content_Length: 5"),
    ] {
        strict.refuses(&format!("{case} {fields:?}"), &post(fields, "0\r\n\r\n"), &[400]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused() {
    let strict = Strict::start().await;
    let mut codings: Vec<(&str, Vec<u8>, &[u16])> = [
        ("F06", "xchunked"),
        ("F06", "identity"),
        ("F06", "chunked, identity"),
        ("F06", "chunked;q=1"),
        ("F06", ""),
        ("F07", "chunked, chunked"),
        ("F07", "chunked\r\nTransfer-Encoding: chunked"),
        ("F07", ",chunked"),
        ("F07", "chunked,"),
        ("F09", "\u{b}chunked"),
        ("F09", "chunked\u{c}"),
        ("F09", "chunked\0"),
    ]
    .map(|(case, coding)| (case, coding.as_bytes().to_vec(), &[400, 501][..]))
    .to_vec();
    codings.push(("F08", b"gzip, chunked".to_vec(), &[501]));
    codings.push(("F09", b"chunked\x85".to_vec(), &[400, 501]));
    codings.push(("F09", b"\xa0chunked".to_vec(), &[400, 501]));
    for (case, coding, statuses) in codings {
        let head = b"POST /case HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: ";
        let raw = [&head[..], &coding, b"\r\n\r\n0\r\n\r\n"].concat();
        strict.refuses(&format!("{case} {}", coding.escape_ascii()), &raw, statuses).await;
    }
    let old = b"POST /case HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    strict.refuses("F10", old, &[400]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_6_3_an_http10_post_without_a_length_has_no_body() {
    let strict = Strict::start().await;
    for (case, fields) in [("F13", ""), ("F13 keep-alive", "Connection: keep-alive\r\n")] {
        let mut client = h1(strict.world.http).await;
        let head = format!("POST /case HTTP/1.0\r\nHost: shop.test\r\n{fields}\r\n");
        client.send_bytes(&[head.as_bytes(), SMUGGLED].concat()).await;
        assert_eq!(client.answer("GET").await.unwrap().text(), "POST /case", "{case}");
        assert!(client.is_closed().await, "{case}: the bytes behind it were taken for a request");
        let requests = strict.journal.take();
        assert_eq!(requests.len(), 1, "{case}: {requests:?}");
        assert!(requests[0].body.is_empty(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_7_1_broken_chunks_abort_the_request() {
    let strict = Strict::start().await;
    let rest = "\r\nA\r\n0\r\n\r\n";
    for size in ["0x1", "+1", "-1", " 1", "1 ", "1_0", "", "1\0", "g"] {
        strict
            .aborts(&format!("F14 {size:?}"), &post("Transfer-Encoding: chunked", &format!("{size}{rest}")), &[400])
            .await;
    }
    for size in ["ffffffffffffffff", "11111111111111111", "00000000000000001", "8000000000000000"] {
        strict
            .aborts(&format!("F15 {size}"), &post("Transfer-Encoding: chunked", &format!("{size}{rest}")), &[400])
            .await;
    }
    for (case, body) in [
        ("F16", "1\r\nAB\r\n0\r\n\r\n"),
        ("F16", "3\r\nA\r\n0\r\n\r\n"),
        ("F16", "1\r\nAXX0\r\n\r\n"),
        ("F16", "1\r\nA\rX0\r\n\r\n"),
        ("F17", "1\nA\r\n0\r\n\r\n"),
        ("F17", "1\r\nA\n0\r\n\r\n"),
        ("F17", "1\r\nA\r\n0\n\r\n"),
        ("F17", "1\r\nA\r\n0\r\n\n"),
        ("F17", "1\r\rA\r\n0\r\n\r\n"),
        ("F17", "1\r\nA\r\n0\r\nT: 1\n\r\n"),
        ("F18", "1;a\rb\r\nA\r\n0\r\n\r\n"),
        ("F18", "1;a\nb\r\nA\r\n0\r\n\r\n"),
        ("F18", "1;a\0b\r\nA\r\n0\r\n\r\n"),
        ("F18", "1;\r\nA\r\n0\r\n\r\n"),
        ("F18", "1;a=\"b\r\nA\r\n0\r\n\r\n"),
        ("F21", "1\r\nA\r\n0\r\nNo colon\r\n\r\n"),
        ("F21", "1\r\nA\r\n0\r\nT : 1\r\n\r\n"),
    ] {
        strict.aborts(&format!("{case} {body:?}"), &post("Transfer-Encoding: chunked", body), &[400]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_7_1_1_extensions_and_trailers_are_bounded() {
    let strict = Strict::start().await;
    let one_long = format!("1;a={}\r\nA\r\n0\r\n\r\n", "b".repeat(64 << 10));
    let many_small = format!("{}0\r\n\r\n", "1;a=b\r\nA\r\n".repeat(1 << 20));
    let long_trailer = format!("0\r\nT: {}\r\n\r\n", "x".repeat(20 << 10));
    let many_trailers = format!("0\r\n{}\r\n", "T: x\r\n".repeat(200));
    for (case, body, statuses) in [
        ("F20 one long extension", one_long, &[400][..]),
        ("F20 many small extensions", many_small, &[400]),
        ("F22 one long trailer", long_trailer, &[400, 431]),
        ("F22 many trailers", many_trailers, &[400, 431]),
    ] {
        strict.aborts(case, &post("Transfer-Encoding: chunked", &body), statuses).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_7_1_chunked_bodies_arrive_whole_and_clean() {
    let strict = Strict::start().await;
    let plain = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let extended = "3;x;y=z\r\nabc\r\n2 ; q=\"a\\\"b\"\r\nde\r\n0;last\r\n\r\n";
    for (case, fields, body) in [
        ("plain", "Transfer-Encoding: chunked", plain),
        ("F09 tabs", "Transfer-Encoding:\tchunked\t", plain),
        ("capitals", "Transfer-Encoding: CHUNKED", plain),
        ("F19 extensions", "Transfer-Encoding: chunked", extended),
        ("leading zeros", "Transfer-Encoding: chunked", "0000000003\r\nabc\r\n2\r\nde\r\n000\r\n\r\n"),
    ] {
        let seen = strict.forwards(case, &post(fields, body)).await;
        assert_eq!(seen.body, b"abcde", "{case}");
        assert_eq!(seen.field("transfer-encoding"), ["chunked"], "{case}");
        assert!(seen.field("content-length").is_empty(), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_6_5_1_prohibited_trailers_are_dropped() {
    let strict = Strict::start().await;
    let trailers = [
        "Host: evil.test",
        "Content-Length: 7",
        "Transfer-Encoding: chunked",
        "Authorization: Basic eDp5",
        "Cookie: a=b",
        "Content-Type: text/evil",
        "Content-Encoding: gzip",
        "Connection: close",
        "TE: gzip",
        "X-Forwarded-For: 6.6.6.6",
        "X_Forwarded_Proto: gopher",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "Lockgate-App: other",
        "X-Checksum: abc",
    ];
    let body = format!("3\r\nabc\r\n0\r\n{}\r\n\r\n", trailers.join("\r\n"));
    let seen = strict.forwards("F21", &post("Transfer-Encoding: chunked\r\nTrailer: X-Checksum", &body)).await;
    assert_eq!(seen.trailers, ["x-checksum: abc"]);
    for never in ["evil", "6.6.6.6", "gopher", "lockgate-app", "authorization", "cookie", "x-checksum: abc"] {
        assert!(!seen.head.to_lowercase().contains(never), "{never} in {}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_9_3_1_any_method_may_have_a_body() {
    let strict = Strict::start().await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "PROPFIND"] {
        let head = format!("{method} /case HTTP/1.1\r\nHost: shop.test\r\n");
        let length = format!("{head}Content-Length: 5\r\n\r\nabcde");
        let seen = strict.forwards(&format!("F24 {method}"), length.as_bytes()).await;
        assert_eq!((seen.body.as_slice(), seen.field("content-length")), (&b"abcde"[..], vec!["5".to_owned()]));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
        let seen = strict.forwards(&format!("F24 {method} chunked"), chunked.as_bytes()).await;
        assert_eq!(
            (seen.body.as_slice(), seen.field("transfer-encoding")),
            (&b"abcde"[..], vec!["chunked".to_owned()])
        );
        let empty = format!("{head}\r\n");
        let seen = strict.forwards(&format!("{method} without a body"), empty.as_bytes()).await;
        assert!(seen.body.is_empty() && seen.field("transfer-encoding").is_empty(), "{}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9110_10_1_1_expectations_are_judged() {
    let strict = Strict::start().await;
    for expect in ["y 100-continue", "100-continue, x", "", "100-continue\r\nExpect: 100-continue"] {
        let raw = post(&format!("Content-Length: 3\r\nExpect: {expect}"), "abc");
        strict.refuses(&format!("F26 {expect:?}"), &raw, &[417, 400]).await;
    }
    // HTTP/1.0 knows no interim response: the first and only head is final.
    let mut client = h1(strict.world.http).await;
    client.send("POST /case HTTP/1.0\r\nHost: shop.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc").await;
    assert_eq!(client.head().await.unwrap().status, 200);
    let seen = strict.journal.take().remove(0);
    assert_eq!(seen.body, b"abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_2_2_empty_lines_before_a_request_are_skipped() {
    let strict = Strict::start().await;
    let get = "GET /case HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for empty in ["\r\n", "\r\n\r\n"] {
        strict.forwards("F27", format!("{empty}{get}").as_bytes()).await;
    }
    strict.journal.take();
    for garbage in ["\n", " ", "\0\r\n", "garbage\r\n", "\u{feff}"] {
        let raw = format!("{garbage}{get}");
        strict.refuses(&format!("F27 {garbage:?}"), raw.as_bytes(), &[400, 501]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9112_9_6_nothing_behind_a_close_is_processed() {
    let strict = Strict::start().await;
    let mut client = h1(strict.world.http).await;
    let first = b"GET /first HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    client.send_bytes(&[&first[..], SMUGGLED].concat()).await;
    let answer = client.answer("GET").await.unwrap();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("GET /first", Some("close")));
    assert!(client.is_closed().await);
    strict.canary("F28").await;
    assert!(!strict.journal.heads().iter().any(|head| head.contains("/smuggled")));
}
