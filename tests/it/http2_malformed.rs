//! Malformed HTTP/2 requests (RFC 9113, 8; cases H02–H07, H19): a reset or a 4xx, and nothing at the backend.

use crate::backend::{Backend, Journal};
use crate::client::get;
use crate::frames::{DATA, END_STREAM, End, Frames};
use crate::world::{World, plan, until};

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/case")];

struct Strict {
    world: World,
    journal: Journal,
    _backend: Backend,
}

impl Strict {
    async fn start() -> Self {
        let (backend, journal) = Backend::recording().await;
        let world = plan().app("shop", backend.url()).start().await;
        Self { world, journal, _backend: backend }
    }

    /// Sends one request and says what it came to; the backend must have seen nothing of it.
    async fn refuses(&self, case: &str, fields: &[(&str, &str)]) -> End {
        let mut frames = Frames::connect(self.world.https, "shop.test").await;
        frames.headers(1, fields, END_STREAM).await;
        let end = frames.end_of(1).await;
        let canary = get(self.world.http, "shop.test", "/canary").await;
        assert_eq!(canary.text(), "GET /canary", "{case}");
        let heads = self.journal.heads();
        assert!(heads.iter().all(|head| head.starts_with("GET /canary ")), "{case}: {heads:?}");
        self.journal.take();
        end
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frames_of_this_test_are_good_ones() {
    let strict = Strict::start().await;
    let mut frames = Frames::connect(strict.world.https, "shop.test").await;
    frames.headers(1, &GET, END_STREAM).await;
    assert_eq!(frames.end_of(1).await, End::Status(200));
    frames.headers(3, &[&GET[..], &[("content-length", "3")]].concat(), 0).await;
    frames.send(DATA, END_STREAM, 3, b"abc").await;
    until("the second request", async || strict.journal.heads().len() == 2).await;
    assert!(strict.journal.heads()[1].contains("content-length: 3"));
    let mut other = Frames::connect(strict.world.https, "shop.test").await;
    other.headers(1, &[&GET[..], &[("expect", "tea")]].concat(), END_STREAM).await;
    assert_eq!(other.end_of(1).await, End::Status(417), "the status decoder");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_2_malformed_fields_are_refused() {
    let strict = Strict::start().await;
    for (case, name, value) in [
        ("H02", "X-Upper", "1"),
        ("H02", "x upper", "1"),
        ("H02", "x:y", "1"),
        ("H02", "x\u{7f}", "1"),
        ("H02", "x\r\ny", "1"),
        ("H02", "x\0", "1"),
        ("H02", "", "1"),
        ("H02", "x", "a\r\nb: c"),
        ("H02", "x", "a\nb"),
        ("H02", "x", "a\rb"),
        ("H02", "x", "a\0b"),
        ("H03", "connection", "close"),
        ("H03", "connection", "x-secret"),
        ("H03", "keep-alive", "timeout=5"),
        ("H03", "proxy-connection", "keep-alive"),
        ("H03", "transfer-encoding", "chunked"),
        ("H03", "upgrade", "h2c"),
        ("H03", "te", "gzip"),
        ("H03", "te", "trailers, gzip"),
    ] {
        let case = format!("{case} {name:?}: {value:?}");
        let end = strict.refuses(&case, &[&GET[..], &[(name, value)]].concat()).await;
        assert!(end.is_refusal(), "{case}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_2_1_space_around_a_value_is_refused() {
    let strict = Strict::start().await;
    for value in [" a", "a ", "\ta", "a\t"] {
        let case = format!("H02 {value:?}");
        let end = strict.refuses(&case, &[&GET[..], &[("x", value)]].concat()).await;
        assert!(end.is_refusal(), "{case}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_3_malformed_pseudo_fields_are_refused() {
    let strict = Strict::start().await;
    let without = |name: &str| GET.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| {
        GET.iter().copied().map(|field| if field.0 == name { (name, value) } else { field }).collect::<Vec<_>>()
    };
    let then = |field: (&'static str, &'static str)| [&GET[..], &[field]].concat();
    for (case, fields) in [
        ("H04 unknown", then((":unknown", "x"))),
        ("H04 status", then((":status", "200"))),
        ("H04 twice", then((":path", "/other"))),
        ("H04 twice", then((":method", "GET"))),
        ("H04 twice", then((":authority", "shop.test"))),
        ("H04 after", [&[("x", "y")], &GET[..]].concat()),
        ("H04 no method", without(":method")),
        ("H04 no path", without(":path")),
        ("H04 no authority", without(":authority")),
        ("H05 method", with(":method", "GET / HTTP/1.1\r\nX: y")),
        ("H05 method", with(":method", "GET /")),
        ("H05 method", with(":method", "")),
        ("H05 path", with(":path", "")),
        ("H05 path", with(":path", "case")),
        ("H05 path", with(":path", "http://evil.test/")),
        ("H05 path", with(":path", "/ca se")),
        ("H05 path", with(":path", "/case\r\nX: y")),
        ("H05 path", with(":path", "*")),
        ("H05 scheme", with(":scheme", "http://evil/?")),
        ("H05 scheme", with(":scheme", "http")),
        ("H05 scheme", with(":scheme", "ftp")),
        ("H05 authority", with(":authority", "user@shop.test")),
        ("H05 authority", with(":authority", "shop.test/path")),
        ("H05 authority", with(":authority", "shop.test\r\nX: y")),
        ("H05 authority", with(":authority", "")),
        ("H06 host", then(("host", "other.test"))),
        ("H06 host", then(("host", "shop.test:81"))),
        ("H06 host", then(("host", ""))),
    ] {
        let case = format!("{case} {fields:?}");
        let end = strict.refuses(&case, &fields).await;
        assert!(end.is_refusal(), "{case}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_3_1_a_scheme_is_required() {
    let strict = Strict::start().await;
    let fields: Vec<_> = GET.into_iter().filter(|field| field.0 != ":scheme").collect();
    let end = strict.refuses("H04 no scheme", &fields).await;
    assert!(end.is_refusal(), "H04: {end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_never_gets_past_the_edge() {
    // `http` cuts it off before anybody sees it; RFC 9113, 8.3.1 would have it malformed.
    let strict = Strict::start().await;
    let mut frames = Frames::connect(strict.world.https, "shop.test").await;
    frames
        .headers(
            1,
            &GET.map(|field| if field.0 == ":path" { (":path", "/case#/../fragment") } else { field }),
            END_STREAM,
        )
        .await;
    let end = frames.end_of(1).await;
    let heads = strict.journal.heads();
    assert!(end.is_refusal() || heads[0].starts_with("GET /case HTTP/1.1\r\n"), "H05: {end:?} {heads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_1_1_content_length_is_the_sum_of_data() {
    let strict = Strict::start().await;
    let post = |length: &'static str| {
        let fields = GET.map(|field| if field.0 == ":method" { (":method", "POST") } else { field });
        [&fields[..], &[("content-length", length)]].concat()
    };
    for (case, length, data) in [
        ("H07 no data", "5", None),
        ("H07 too little", "5", Some(&b"abc"[..])),
        ("H07 too much", "3", Some(b"abcde")),
        ("H07 none announced", "0", Some(b"a")),
        ("H07 no number", "x", Some(b"a")),
        ("H07 signed", "+1", Some(b"a")),
        ("H07 list", "1, 1", Some(b"a")),
    ] {
        let mut frames = Frames::connect(strict.world.https, "shop.test").await;
        frames.headers(1, &post(length), if data.is_none() { END_STREAM } else { 0 }).await;
        if let Some(data) = data {
            frames.send(DATA, END_STREAM, 1, data).await;
        }
        let end = frames.end_of(1).await;
        assert!(end.is_refusal(), "{case}: {end:?}");
        assert_eq!(get(strict.world.http, "shop.test", "/canary").await.text(), "GET /canary", "{case}");
        until(case, async || {
            let begun = strict.journal.heads().iter().filter(|head| !head.starts_with("GET /canary ")).count();
            strict.journal.cut() == begun
        })
        .await;
        let complete = strict.journal.take();
        assert!(complete.iter().all(|request| request.head.starts_with("GET /canary ")), "{case}: {complete:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudo_field_in_trailers_never_gets_past_the_edge() {
    // `h2` drops it; RFC 9113, 8.1 would have it malformed.
    let strict = Strict::start().await;
    let mut frames = Frames::connect(strict.world.https, "shop.test").await;
    frames.headers(1, &GET.map(|field| if field.0 == ":method" { (":method", "POST") } else { field }), 0).await;
    frames.send(DATA, 0, 1, b"abc").await;
    frames.headers(1, &[(":path", "/evil"), ("x-sum", "1")], END_STREAM).await;
    let end = frames.end_of(1).await;
    let requests = strict.journal.take();
    assert!(end.is_refusal() || requests[0].trailers == ["x-sum: 1"], "H04: {end:?} {requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc8441_4_connect_is_extended_or_refused() {
    let strict = Strict::start().await;
    let connect = [(":method", "CONNECT"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/ws")];
    let protocol = |name: &'static str| [&connect[..], &[(":protocol", name)]].concat();
    for (case, fields, statuses) in [
        ("R09 plain CONNECT", vec![(":method", "CONNECT"), (":authority", "shop.test:443")], &[405, 501][..]),
        ("H19 connect-udp", protocol("connect-udp"), &[501]),
        ("H19 empty", protocol(""), &[400, 501]),
        ("H19 capital", protocol("WebSocket2"), &[501]),
        ("H19 GET with :protocol", [&GET[..], &[(":protocol", "websocket")]].concat(), &[400]),
        ("R10 TRACE", GET.map(|f| if f.0 == ":method" { (":method", "TRACE") } else { f }).to_vec(), &[405]),
    ] {
        match strict.refuses(case, &fields).await {
            End::Status(status) => assert!(statuses.contains(&status), "{case}: {status}"),
            End::Reset(_) | End::Connection(_) => {}
        }
    }
    for missing in [":path", ":scheme"] {
        let case = format!("H19 no {missing}");
        let fields: Vec<_> = protocol("websocket").into_iter().filter(|field| field.0 != missing).collect();
        let end = strict.refuses(&case, &fields).await;
        assert!(end.is_refusal(), "{case}: {end:?}");
    }
}
