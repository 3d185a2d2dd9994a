//! Bodies that take time or space, in both directions.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Sample, ask, ask_with, connect, pattern, unchunk};

#[test]
fn downloads_follow_the_pattern() {
    let sample = Sample::start().unwrap();
    // Across two block borders, and not a whole number of periods.
    let bytes = 64_256 * 2 + 77;
    let whole = ask(&sample, &format!("/download?bytes={bytes}"));
    assert_eq!(whole.values("content-length"), [bytes.to_string()]);
    assert_eq!(whole.body, pattern(bytes));
    let chunked = ask(&sample, &format!("/chunked?bytes={bytes}"));
    assert_eq!(chunked.values("transfer-encoding"), ["chunked"]);
    assert_eq!(unchunk(&chunked.body), (pattern(bytes), "\r\n".to_owned()));
    assert_eq!(ask(&sample, "/download?bytes=0").body, b"");
    let most = ask_with(&sample, "HEAD", "/download?bytes=8589934592", "", b"");
    assert_eq!(most.values("content-length"), ["8589934592"]);
}

#[test]
fn numbers_out_of_bounds_are_refused() {
    let sample = Sample::start().unwrap();
    for target in [
        "/download?bytes=8589934593",
        "/download?bytes=-1",
        "/chunked?bytes=lots",
        "/slow?ms=300001",
        "/events?n=10001",
        "/events?n=0",
        "/events?ms=9",
        "/events?n=5&ms=",
        "/status/199",
        "/status/600",
        "/status/x",
        "/status/",
    ] {
        assert_eq!(ask(&sample, target).status(), 400, "{target}");
    }
}

#[test]
fn slow_waits() {
    let sample = Sample::start().unwrap();
    let started = Instant::now();
    assert_eq!(ask(&sample, "/slow?ms=120").status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(120));
}

#[test]
fn events_are_numbered_paced_and_end() {
    let sample = Sample::start().unwrap();
    let started = Instant::now();
    let answer = ask(&sample, "/events?n=4&ms=30");
    assert!(started.elapsed() >= Duration::from_millis(90));
    assert_eq!(answer.values("content-type"), ["text/event-stream"]);
    let text = String::from_utf8(unchunk(&answer.body).0).unwrap();
    let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    let resumed = ask_with(&sample, "GET", "/events?n=4&ms=30", "Last-Event-ID: 3\r\n", b"");
    assert!(unchunk(&resumed.body).0.starts_with(b"id: 4\n"));
    let over = ask_with(&sample, "GET", "/events?n=4&ms=30", "Last-Event-ID: 4\r\n", b"");
    assert_eq!(over.status(), 204);
}

#[test]
fn first_event_comes_at_once() {
    let sample = Sample::start().unwrap();
    let mut stream = connect(&sample);
    stream.write_all(b"GET /events?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(6).any(|part| part == b"id: 1\n") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0);
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn uploads_are_counted() {
    let sample = Sample::start().unwrap();
    let put = ask_with(&sample, "PUT", "/upload", "Content-Length: 6\r\n", b"foobar").json();
    assert_eq!(put["bytes"], 6);
    // The published FNV-1a 64 test vector for "foobar".
    assert_eq!(put["fnv1a_64"], "85944171f73967e8");
    let body = b"3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n";
    let chunked = ask_with(&sample, "POST", "/upload", "Transfer-Encoding: chunked\r\n", body).json();
    assert_eq!(chunked["bytes"], 6);
    assert_eq!(chunked["fnv1a_64"], "85944171f73967e8");
    assert!(chunked["content_length"].is_null());
    let large = pattern(5_000_000);
    let sent = ask_with(&sample, "PUT", "/upload", "Content-Length: 5000000\r\n", &large).json();
    assert_eq!(sent["bytes"], 5_000_000);
}

#[test]
fn echo_returns_line_and_body() {
    let sample = Sample::start().unwrap();
    let extra = "Content-Type: application/x-thing\r\nContent-Length: 5\r\n";
    let answer = ask_with(&sample, "PATCH", "/echo?a=b&c", extra, b"\x00\xff<b>");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body, b"\x00\xff<b>");
    assert_eq!(answer.values("x-echo-method"), ["PATCH"]);
    assert_eq!(answer.values("x-echo-path"), ["/echo"]);
    assert_eq!(answer.values("x-echo-query"), ["a=b&c"]);
    assert_eq!(answer.values("content-type"), ["application/x-thing"]);
    assert!(answer.values("content-security-policy")[0].starts_with("sandbox"));
}

#[test]
fn echo_streams_while_the_request_is_open() {
    let sample = Sample::start().unwrap();
    let mut stream = connect(&sample);
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n").unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(5).any(|part| part == b"early") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0);
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn trailers_follow_the_body_for_those_who_ask() {
    let sample = Sample::start().unwrap();
    let asked = ask_with(&sample, "GET", "/trailers", "TE: trailers\r\n", b"");
    assert_eq!(asked.values("trailer"), ["x-body-bytes, x-body-fnv1a-64"]);
    let (content, trailers) = unchunk(&asked.body);
    assert!(trailers.contains(&format!("x-body-bytes: {}\r\n", content.len())), "{trailers:?}");
    let (_, none) = unchunk(&ask(&sample, "/trailers").body);
    assert_eq!(none, "\r\n");
}
