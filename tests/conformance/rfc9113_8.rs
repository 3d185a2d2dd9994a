//! http2/8: requests (RFC 9113, 8.1–8.4, numbered as in RFC 7540). `http2_malformed` has the longer list of what a
//! proxy refuses.

use super::Verdict::{Connection, Stream};
use super::{Case, Field, GET, case, data, post, with};
use crate::frames::{END_HEADERS, END_STREAM, PROTOCOL_ERROR, PUSH_PROMISE, block, frame, headers};

const MALFORMED: super::Verdict = Stream(&[PROTOCOL_ERROR]);

fn without(name: &str) -> Vec<Field> {
    GET.into_iter().filter(|field| field.0 != name).collect()
}

pub(super) fn cases() -> Vec<Case> {
    [messages_and_fields(), pseudo_fields()].concat()
}

fn messages_and_fields() -> Vec<Case> {
    let request = |fields: &[Field]| headers(1, fields, END_STREAM);
    let trailers = |fields: &[Field]| headers(1, fields, 0);
    let promise = [&3u32.to_be_bytes()[..], &block(&GET)].concat();
    let te = [("trailers", "test"), ("te", "trailers, deflate")];
    let one = || post(&[("content-length", "1")]);
    vec![
        case(
            "http2/8.1/1",
            "a second HEADERS without END_STREAM",
            [post(&[]), data(0, b"test"), trailers(&[("x-test", "ok")])],
            MALFORMED,
        ),
        case("http2/8.1.2/1", "a name in upper case", [with(&[("X-TEST", "ok")])], MALFORMED),
        case("http2/8.1.2.1/1", "an unknown pseudo-field", [with(&[(":test", "ok")])], MALFORMED),
        case("http2/8.1.2.1/2", "a pseudo-field of responses", [with(&[(":status", "200")])], MALFORMED),
        case(
            "http2/8.1.2.1/3",
            "a pseudo-field in trailers",
            [post(&[]), data(0, b"test"), trailers(&[(":method", "POST")])],
            MALFORMED,
        ),
        case(
            "http2/8.1.2.1/4",
            "a pseudo-field after a field",
            [request(&[&[("x-test", "ok")], &GET[..]].concat())],
            MALFORMED,
        ),
        case("http2/8.1.2.2/1", "connection", [with(&[("connection", "keep-alive")])], MALFORMED),
        case("http2/8.1.2.2/2", "te that is not `trailers`", [with(&te)], MALFORMED),
        case("http2/8.1.2.6/1", "content-length, one DATA", [one(), data(END_STREAM, b"test")], MALFORMED),
        case(
            "http2/8.1.2.6/2",
            "content-length, two DATA",
            [one(), data(0, b"test"), data(END_STREAM, b"test")],
            MALFORMED,
        ),
        case(
            "http2/8.2/1",
            "PUSH_PROMISE",
            [frame(PUSH_PROMISE, END_HEADERS, 1, &promise)],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}

fn pseudo_fields() -> Vec<Case> {
    let request = |fields: &[Field]| headers(1, fields, END_STREAM);
    let empty = GET.map(|field| if field.0 == ":path" { (":path", "") } else { field });
    vec![
        case("http2/8.1.2.3/1", "an empty :path", [request(&empty)], MALFORMED),
        case("http2/8.1.2.3/2", "no :method", [request(&without(":method"))], MALFORMED),
        case("http2/8.1.2.3/3", "no :scheme", [request(&without(":scheme"))], MALFORMED),
        case("http2/8.1.2.3/4", "no :path", [request(&without(":path"))], MALFORMED),
        case("http2/8.1.2.3/5", ":method twice", [with(&[(":method", "GET")])], MALFORMED),
        case("http2/8.1.2.3/6", ":scheme twice", [with(&[(":scheme", "https")])], MALFORMED),
        case("http2/8.1.2.3/7", ":path twice", [with(&[(":path", "/")])], MALFORMED),
    ]
}
