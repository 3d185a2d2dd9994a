//! F01–F34, R01–R32 and W01–W07: the list of hostile HTTP/1, whole. What other tests hold is named in [`ELSEWHERE`];
//! the rest stands here, as raw bytes of a client and what the backend sees of them.
//!
//! Every row is followed by a canary on another connection through the same link. W01 (Autobahn's verdicts through the
//! edge are those without it) is among the outside judges (`tests/judges/`), no part of `cargo test`; what it rests on,
//! that frames pass byte for byte, is.

use std::collections::BTreeSet;
use std::path::Path;

use crate::backend::{Backend, Received};
use crate::client::{get, h1, h2};
use crate::framing::Strict;
use crate::websocket::KEY;
use crate::world::plan;

/// Which test holds a case, as module and function of `tests/it/`.
#[rustfmt::skip]
const ELSEWHERE: [(&str, &str, &str); 64] = [
    ("F01", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F02", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F03", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F04", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F05", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F06", "framing", "rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused"),
    ("F07", "framing", "rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused"),
    ("F08", "framing", "rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused"),
    ("F09", "framing", "rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused"),
    ("F10", "framing", "rfc9112_6_1_a_transfer_coding_other_than_chunked_is_refused"),
    ("F11", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F12", "framing", "rfc9112_6_3_ambiguous_framing_is_refused"),
    ("F13", "framing", "rfc9112_6_3_an_http10_post_without_a_length_has_no_body"),
    ("F14", "framing", "rfc9112_7_1_broken_chunks_abort_the_request"),
    ("F15", "framing", "rfc9112_7_1_broken_chunks_abort_the_request"),
    ("F16", "framing", "rfc9112_7_1_broken_chunks_abort_the_request"),
    ("F17", "framing", "rfc9112_7_1_broken_chunks_abort_the_request"),
    ("F18", "framing", "rfc9112_7_1_broken_chunks_abort_the_request"),
    ("F19", "framing", "rfc9112_7_1_chunked_bodies_arrive_whole_and_clean"),
    ("F20", "framing", "rfc9112_7_1_1_extensions_and_trailers_are_bounded"),
    ("F21", "framing", "rfc9110_6_5_1_prohibited_trailers_are_dropped"),
    ("F22", "framing", "rfc9112_7_1_1_extensions_and_trailers_are_bounded"),
    ("F23", "bodies", "rfc9112_8_a_request_that_breaks_off_is_never_complete"),
    ("F24", "framing", "rfc9110_9_3_1_any_method_may_have_a_body"),
    ("F25", "backend_reuse", "an_answer_before_the_body_is_read_leaves_no_request_behind"),
    ("F26", "framing", "rfc9110_10_1_1_expectations_are_judged"),
    ("F26", "interim", "rfc9110_10_1_1_the_backend_decides_about_a_waiting_body_http1"),
    ("F27", "framing", "rfc9112_2_2_empty_lines_before_a_request_are_skipped"),
    ("F28", "framing", "rfc9112_9_6_nothing_behind_a_close_is_processed"),
    ("F28", "forwarding", "rfc9112_9_3_pipelined_requests_are_answered_in_order"),
    ("F29", "backend_faults", "rfc9112_a_response_with_two_readings_is_a_502"),
    ("F30", "backend_reuse", "rfc9112_9_2_bytes_nobody_asked_for_are_nobodys_answer"),
    ("F31", "backend_reuse", "rfc9112_6_3_a_body_where_none_may_be_is_ignored"),
    ("F32", "backend_faults", "rfc9112_8_a_cut_answer_is_seen_to_be_cut"),
    ("F33", "backend_faults", "rfc9110_15_2_interim_responses_are_bounded"),
    ("R01", "heads", "rfc9112_3_2_one_valid_host_or_none"),
    ("R02", "heads", "rfc9112_3_2_one_valid_host_or_none"),
    ("R03", "heads", "rfc9112_3_2_one_valid_host_or_none"),
    ("R04", "heads", "rfc9112_3_2_2_the_absolute_target_and_host_are_one"),
    ("R05", "heads", "rfc9110_7_4_a_target_of_another_scheme_is_refused"),
    ("R07", "http2", "rfc9110_15_5_20_a_connection_carries_only_its_own_host"),
    ("R09", "heads", "rfc9110_9_methods_that_are_never_forwarded"),
    ("R10", "heads", "rfc9110_9_methods_that_are_never_forwarded"),
    ("R11", "heads", "rfc9110_9_methods_that_are_never_forwarded"),
    ("R12", "heads", "rfc9110_9_methods_that_are_never_forwarded"),
    ("R13", "heads", "rfc9112_3_the_request_line_has_one_shape"),
    ("R14", "heads", "rfc9112_3_the_request_line_has_one_shape"),
    ("R15", "heads", "rfc9112_3_the_request_line_has_one_shape"),
    ("R16", "heads", "rfc9110_17_5_heads_are_bounded_by_name"),
    ("R17", "heads", "rfc9110_17_5_heads_are_bounded_by_name"),
    ("R18", "heads", "rfc9112_5_field_lines_have_one_shape"),
    ("R19", "heads", "rfc9112_5_field_lines_have_one_shape"),
    ("R20", "heads", "rfc9112_5_field_lines_have_one_shape"),
    ("R21", "heads", "rfc9110_7_6_1_what_ends_at_a_hop_ends"),
    ("R22", "heads", "rfc9110_7_6_1_what_ends_at_a_hop_ends"),
    ("R22", "heads", "rfc9110_7_6_1_what_ends_at_a_hop_ends_on_the_way_back"),
    ("R32", "heads", "rfc9110_17_5_heads_are_bounded_by_name"),
    ("W01", "websocket", "rfc6455_messages_come_back_over_every_protocol"),
    ("W02", "upgrade", "rfc6455_4_2_1_an_incomplete_handshake_opens_nothing"),
    ("W03", "upgrade", "rfc9931_no_byte_passes_before_the_101"),
    ("W04", "upgrade", "rfc9931_a_refused_upgrade_keeps_its_answer_and_drops_what_was_sent_early"),
    ("W05", "upgrade", "rfc6455_4_2_1_an_incomplete_handshake_opens_nothing"),
    ("W06", "upgrade", "rfc6455_4_2_1_an_incomplete_handshake_opens_nothing"),
    ("W07", "upgrade", "rfc6455_4_1_a_wrong_101_is_no_101"),
];

/// Cases that are no row but a test of their own below.
const HERE: [&str; 4] = ["F34", "R08", "R24", "R26"];

/// What has to become of a request.
enum Want {
    /// Refused by the grammar: one of these statuses, the connection closes.
    Refused(&'static [u16]),
    /// Well-formed and for nobody here: one of these statuses, always the same words.
    Nobody(&'static [u16]),
    /// Forwarded with this request line, with these field lines, and nowhere in the head any of these.
    Forwarded { line: &'static str, has: &'static [&'static str], never: &'static [&'static str] },
}

struct Row {
    case: &'static str,
    raw: String,
    want: Want,
}

/// A request with this target for this host, with further field lines.
fn row(case: &'static str, target: &str, host: &str, fields: &str, want: Want) -> Row {
    Row { case, raw: format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"), want }
}

fn to(line: &'static str) -> Want {
    Want::Forwarded { line, has: &[], never: &[] }
}

/// Field lines by which somebody else might vouch for the client, each with a value that is looked for.
const SPOOFED: &str = "X-Forwarded-For: sp00f\r\nX_Forwarded_For: sp00f\r\nx.forwarded.for: sp00f\r\n\
    X-Forwarded-Host: sp00f\r\nX-Forwarded-Proto: sp00f\r\nX-Forwarded-Uri: sp00f\r\nX-Forwarded-Prefix: sp00f\r\n\
    X-Forwarded-User: sp00f\r\nX_FORWARDED-USER: sp00f\r\nX-Forwarded-Subject-Of-The-Client-Certificate: sp00f\r\n\
    Forwarded: for=sp00f\r\nX-Real-IP: sp00f\r\nX-Real_IP: sp00f\r\nX-Original-URL: /sp00f\r\nX-Rewrite-URL: /sp00f\r\n\
    X-HTTP-Method-Override: SP00F\r\nX-HTTP-Method: SP00F\r\nLockgate-App: sp00f\r\nLockgate-Envelope: sp00f\r\n";
const CERTIFICATES: &str = "Client-Cert: :sp00f:\r\nClient-Cert-Chain: :sp00f:\r\nclient_cert: sp00f\r\nX-SSL-Client-S-DN: sp00f\r\n\
    X-SSL-Cert: sp00f\r\nX_SSL_Client_Verify: sp00f\r\nX-Client-Cert: sp00f\r\nX-Client-Verify: sp00f\r\nX-Client-DN: sp00f\r\n";

fn rows() -> Vec<Row> {
    const BAD: Want = Want::Refused(&[400]);
    const NOBODY: Want = Want::Nobody(&[404, 421]);
    const SHOP: &str = "shop.test";
    let clean = |has| Want::Forwarded { line: "GET /case HTTP/1.1", has, never: &["sp00f", "SP00F"] };
    let ours: &[&str] = &["x-forwarded-for: 127.0.0.1", "x-forwarded-host: shop.test", "x-forwarded-proto: http"];
    let mut rows = vec![
        row("R06", "/case", "other.test", "", NOBODY),
        row("R06", "/case", "127.0.0.1", "", NOBODY),
        row("R06", "/case", "xshop.test", "", NOBODY),
        row("R06", "/case", "test", "", NOBODY),
        row("R23", "/case", SHOP, SPOOFED, clean(ours)),
        row("R25", "/case", SHOP, CERTIFICATES, clean(ours)),
        row("R27", "/a/../../etc", SHOP, "", BAD),
        row("R27", "/%2e%2e/etc", SHOP, "", BAD),
        row("R27", "/a/%2e%2e/%2E%2e/etc", SHOP, "", BAD),
        row("R27", "/a/../case", SHOP, "", to("GET /case HTTP/1.1")),
        row("R27", "/./a/%2e/case", SHOP, "", to("GET /a/case HTTP/1.1")),
        row("R27", "//case", SHOP, "", to("GET /case HTTP/1.1")),
        row("R27", "/%63ase?x=/../y", SHOP, "", to("GET /case?x=/../y HTTP/1.1")),
        row("R28", "/a%2fb", SHOP, "", to("GET /a%2Fb HTTP/1.1")),
        row("R28", "/a/..%2fb", SHOP, "", BAD),
        row("R28", "/a/%2e%2e%5cb", SHOP, "", BAD),
        row("R28", "/a\\b", SHOP, "", BAD),
        row("R28", "/a/..;x=1/b", SHOP, "", BAD),
        row("R28", "/a;x=1/b", SHOP, "", to("GET /a;x=1/b HTTP/1.1")),
        row("R28", "/%252e%252e/b", SHOP, "", to("GET /%252e%252e/b HTTP/1.1")),
        row("R29", "/%00", SHOP, "", BAD),
        row("R29", "/a%00.html", SHOP, "", BAD),
        row("R29", "/%zz", SHOP, "", BAD),
        row("R29", "/%", SHOP, "", BAD),
        row("R29", "/%c0%af", SHOP, "", BAD),
        row("R29", "/%e0%80%af", SHOP, "", BAD),
        row("R30", "/case", "[::1]", "", NOBODY),
        row("R30", "/case", "sh\u{f6}p.test", "", BAD),
        row("R30", "/case", "xn--shp-sna.test", "", NOBODY),
        row("R30", "/case", "shop.test.test", "", NOBODY),
        row("R30", "/case", "shop.test..", "", BAD),
    ];
    // A tenant is known by name and scheme; the port is what stands in front of us, and nobody else's.
    for host in ["SHOP.TEST", "shop.test.", "Shop.Test:80", "shop.test:", "shop.test:443"] {
        rows.push(row("R30", "/case", host, "", clean(&["x-forwarded-proto: http"])));
    }
    // A backend may answer them as it likes; nothing is repeated or taken apart here.
    let parts = (0..1000).map(|n| format!("{n}-")).collect::<Vec<_>>().join(",");
    rows.push(row("R31", "/case", SHOP, &format!("Range: bytes={parts}\r\n"), to("GET /case HTTP/1.1")));
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_refused_or_clean() {
    let strict = Strict::start().await;
    for Row { case, raw, want } in rows() {
        let told = format!("{case} {:.90?}", raw);
        match want {
            Want::Refused(statuses) => strict.refuses(&told, raw.as_bytes(), statuses).await,
            Want::Nobody(statuses) => {
                let mut client = h1(strict.world.http).await;
                client.send(&raw).await;
                let answer = client.answer("GET").await.unwrap_or_else(|| panic!("{told}: no answer"));
                assert!(statuses.contains(&answer.status), "{told}: {}", answer.status);
                assert!(!answer.text().contains("shop"), "{told}: another tenant is named");
                strict.canary(&told).await;
                assert_eq!(strict.journal.take().len(), 1, "{told}: it reached a backend");
            }
            Want::Forwarded { line, has, never } => {
                let seen = strict.forwards(&told, raw.as_bytes()).await;
                strict.canary(&told).await;
                strict.journal.take();
                clean(&told, &seen, line, has, never);
            }
        }
    }
}

fn clean(case: &str, seen: &Received, line: &str, has: &[&str], never: &[&str]) {
    assert_eq!(seen.head.lines().next(), Some(line), "{case}");
    for wanted in has {
        assert!(seen.head.lines().any(|line| line == *wanted), "{case}: {wanted} in {}", seen.head);
    }
    for unwanted in never {
        assert!(!seen.head.contains(unwanted), "{case}: {unwanted} in {}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r08_every_request_of_a_connection_is_judged_for_itself() {
    let strict = Strict::start().await;
    let good = "GET /case HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for (second, statuses) in [
        ("GET /case HTTP/1.1\r\nHost: other.test\r\n\r\n", &[404, 421][..]),
        ("GET /case HTTP/1.1\r\nHost: shop.test, other.test\r\n\r\n", &[400]),
        ("GET /a/..%2fb HTTP/1.1\r\nHost: shop.test\r\n\r\n", &[400]),
        ("GET http://other.test/case HTTP/1.1\r\nHost: shop.test\r\n\r\n", &[400]),
        ("GET /case HTTP/1.1\r\n\r\n", &[400]),
    ] {
        let mut client = h1(strict.world.http).await;
        client.send(&format!("{good}{second}")).await;
        assert_eq!(client.answer("GET").await.expect("R08").status, 200, "R08 {second:?}");
        let answer = client.answer("GET").await.expect("R08: an answer");
        assert!(statuses.contains(&answer.status), "R08 {second:?}: {}", answer.status);
        strict.canary("R08").await;
        let lines: Vec<_> = strict.journal.take().into_iter().map(|request| request.head).collect();
        assert_eq!(lines.len(), 2, "R08 {second:?}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r24_nobody_vouches_for_himself_on_any_way_in() {
    let strict = Strict::start().await;
    // In `Connection` as well: what is named there goes, and what we add afterwards stays.
    let names = "Connection: X-Forwarded-For, X-Forwarded-Host, X_Forwarded_User, keep-alive\r\n";
    let raw = format!("GET /case HTTP/1.1\r\nHost: shop.test\r\n{names}{SPOOFED}{CERTIFICATES}\r\n");
    let seen = strict.forwards("R24", raw.as_bytes()).await;
    let ours = ["x-forwarded-for: 127.0.0.1", "x-forwarded-host: shop.test"];
    clean("R24", &seen, "GET /case HTTP/1.1", &ours, &["sp00f", "SP00F"]);
    let mut client = h1(strict.world.http).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let head = format!("GET /ws HTTP/1.1\r\nHost: shop.test\r\n{upgrade}Sec-WebSocket-Key: {KEY}\r\n{SPOOFED}\r\n");
    client.send(&head).await;
    client.answer("GET").await.expect("R24: an answer to a handshake");
    let seen = strict.journal.take().pop().expect("R24: the handshake");
    clean("R24 WebSocket", &seen, "GET /ws HTTP/1.1", &["upgrade: websocket"], &["sp00f", "SP00F"]);
    let mut request = http::Request::get("https://shop.test/case");
    for line in SPOOFED.lines().chain(CERTIFICATES.lines()) {
        let (name, value) = line.split_once(": ").expect("a field line");
        request = request.header(name.to_ascii_lowercase(), value);
    }
    let mut http2 = h2(strict.world.https, "shop.test").await;
    assert_eq!(http2.request(request.body(()).unwrap(), b"").await.unwrap().status, 200);
    let seen = strict.journal.take().pop().expect("R24: the request of HTTP/2");
    clean("R24 HTTP/2", &seen, "GET /case HTTP/1.1", &ours, &["sp00f", "SP00F"]);
    strict.canary("R24").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r26_what_was_here_before_is_not_sent_round_again() {
    let strict = Strict::start().await;
    let seen = strict.forwards("R26", b"GET /case HTTP/1.1\r\nHost: shop.test\r\nVia: 1.1 other\r\n\r\n").await;
    let via = seen.field("via").join(", ");
    assert!(via.starts_with("1.1 other, 1.1 lockgate-"), "{via}");
    strict.journal.take();
    let mut client = h1(strict.world.http).await;
    client.send(&format!("GET /case HTTP/1.1\r\nHost: shop.test\r\nVia: {via}\r\n\r\n")).await;
    assert_eq!(client.answer("GET").await.expect("R26: an answer").status, 508);
    strict.canary("R26").await;
    assert_eq!(strict.journal.take().len(), 1, "R26");
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_no_value_of_a_backend_splits_an_answer() {
    for field in
        ["Location: /a\rSet-Cookie: evil=1", "Set-Cookie: a=b\nX-Evil: 1", "Location: /a\0b", "X: \r\r\n\r\n<html>"]
    {
        let backend = Backend::answering(format!("HTTP/1.1 302 Found\r\n{field}\r\nContent-Length: 0\r\n\r\n")).await;
        let world = plan().app("shop", backend.url()).start().await;
        let answer = get(world.http, "shop.test", "/").await;
        let evil = answer.fields.iter().any(|(name, value)| name.contains("evil") || value.contains("evil"));
        assert!(answer.status == 502 && !evil, "F34 {field:?}: {answer:?}");
    }
    // Where we write a place ourselves, out of what the client sent.
    let (backend, journal) = Backend::recording().await;
    let set = |app: &mut lockgate::config::AppSettings| {
        app.external_url = lockgate::config::PublishedUrl::parse("https://shop.test/docs/").unwrap();
    };
    let world = plan().app_with("shop", format!("{}docs/", backend.url()), set).start().await;
    for target in ["/docs?x=%0d%0aSet-Cookie:evil=1", "/%64ocs?%0aX:%20y", "//docs?"] {
        let answer = get(world.http, "shop.test", target).await;
        let location = answer.field("location").unwrap_or_default();
        assert!(location.starts_with("/docs/?"), "F34 {target}: {answer:?}");
        assert_eq!(answer.field("set-cookie"), None, "F34 {target}");
    }
    assert!(journal.heads().is_empty());
}

#[test]
fn the_list_is_whole() {
    let numbers = |letter, last: usize| (1..=last).map(move |number| format!("{letter}{number:02}"));
    let wanted: BTreeSet<String> = numbers('F', 34).chain(numbers('R', 32)).chain(numbers('W', 7)).collect();
    let held = ELSEWHERE.iter().map(|(case, ..)| *case).chain(HERE).chain(rows().into_iter().map(|row| row.case));
    let held: BTreeSet<String> = held.map(str::to_owned).collect();
    assert_eq!(held, wanted);
    for (case, module, function) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/{module}.rs"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("async fn {function}() {{")), "{case}: no test {module}::{function}");
    }
}
