//! http2/6.1–6.8, 6.10 and 7: each type of frame, and error codes (RFC 9113).

use super::Verdict::{Answer, Closed, Connection, Pong, SettingsAck, Stream};
use super::generic::priority;
use super::{Case, GET, POST, bulk, case, data, get, ping, post, steps};
use crate::frames::{
    ACK, CANCEL, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
    GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PADDED, PING, PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    STREAM_CLOSED, block, frame, headers, reset, settings,
};

const NOT_ALLOWED: super::Verdict = Connection(&[PROTOCOL_ERROR]);
const WRONG_SIZE: super::Verdict = Connection(&[FRAME_SIZE_ERROR]);

pub(super) fn cases() -> Vec<Case> {
    [streams(), all_settings(), connections(), continuation()].concat()
}

fn streams() -> Vec<Case> {
    let fields = block(&GET);
    let begun = || frame(HEADERS, 0, 1, &block(&GET));
    let rest = || frame(CONTINUATION, END_HEADERS, 1, &bulk(0));
    // One byte more than is left for it.
    let overlong = [&[u8::try_from(fields.len() + 2).unwrap()][..], &fields].concat();
    vec![
        case("http2/6.1/1", "DATA of stream 0", [frame(DATA, END_STREAM, 0, b"test")], NOT_ALLOWED),
        case(
            "http2/6.1/2",
            "DATA of a stream that is not open",
            [headers(1, &POST, END_STREAM), data(END_STREAM, b"test")],
            Stream(&[STREAM_CLOSED]),
        ),
        case(
            "http2/6.1/3",
            "DATA with more padding than payload",
            [post(&[("content-length", "4")]), data(END_STREAM | PADDED, b"\x06Test")],
            NOT_ALLOWED,
        ),
        case("http2/6.2/1", "HEADERS, then PRIORITY", [begun(), priority(1, 0, 255), rest()], NOT_ALLOWED),
        case(
            "http2/6.2/2",
            "HEADERS, then HEADERS of another stream",
            [begun(), headers(3, &GET, END_STREAM), rest()],
            NOT_ALLOWED,
        ),
        case("http2/6.2/3", "HEADERS of stream 0", [headers(0, &GET, END_STREAM)], NOT_ALLOWED),
        case(
            "http2/6.2/4",
            "HEADERS with more padding than payload",
            [frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &overlong)],
            Stream(&[PROTOCOL_ERROR]),
        ),
        case("http2/6.3/1", "PRIORITY of stream 0", [priority(0, 0, 255)], NOT_ALLOWED),
        case(
            "http2/6.3/2",
            "PRIORITY of 4 bytes",
            [get(), frame(PRIORITY, 0, 1, b"\x80\0\0\x01")],
            Stream(&[FRAME_SIZE_ERROR]),
        ),
        case("http2/6.4/1", "RST_STREAM of stream 0", [reset(0, CANCEL)], NOT_ALLOWED),
        case("http2/6.4/2", "RST_STREAM of an idle stream", [reset(1, CANCEL)], NOT_ALLOWED),
        case(
            "http2/6.4/3",
            "RST_STREAM of 3 bytes",
            [get(), frame(RST_STREAM, 0, 1, b"\0\0\0")],
            Stream(&[FRAME_SIZE_ERROR]),
        ),
    ]
}

fn all_settings() -> Vec<Case> {
    let set = |name, value| settings(&[(name, value)]);
    let short = |flags, stream, payload: &[u8]| frame(SETTINGS, flags, stream, payload);
    let mut cases = vec![
        case("http2/6.5/1", "SETTINGS acknowledged with a payload", [short(ACK, 0, b"\0")], WRONG_SIZE),
        case("http2/6.5/2", "SETTINGS of stream 1", [short(0, 1, b"\0\x03\0\0\0\x64")], NOT_ALLOWED),
        case("http2/6.5/3", "SETTINGS of 3 bytes", [short(0, 0, b"\0\x03\0")], WRONG_SIZE),
        case("http2/6.5.2/1", "ENABLE_PUSH 2", [set(ENABLE_PUSH, 2)], NOT_ALLOWED),
        case(
            "http2/6.5.2/2",
            "INITIAL_WINDOW_SIZE 2^31",
            [set(INITIAL_WINDOW_SIZE, 1 << 31)],
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        case("http2/6.5.2/3", "MAX_FRAME_SIZE 2^14 - 1", [set(MAX_FRAME_SIZE, (1 << 14) - 1)], NOT_ALLOWED),
        case("http2/6.5.2/4", "MAX_FRAME_SIZE 2^24", [set(MAX_FRAME_SIZE, 1 << 24)], NOT_ALLOWED),
        case("http2/6.5.2/5", "an unknown setting", [set(0xff, 1), ping(&[0; 8])], Pong([0; 8])),
    ];
    cases.push(steps(
        "http2/6.5.3/1",
        "INITIAL_WINDOW_SIZE twice: the last one counts",
        super::rfc9113_6_9::limited(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]),
        super::Verdict::Data(Some(1)),
    ));
    cases.push(case("http2/6.5.3/2", "SETTINGS are acknowledged", [set(ENABLE_PUSH, 0)], SettingsAck));
    cases
}

fn connections() -> Vec<Case> {
    const UNKNOWN: u32 = 0xff;
    let payload = *b"h2spec\0\0";
    let away = [&[0; 4][..], &UNKNOWN.to_be_bytes()].concat();
    vec![
        case("http2/6.7/1", "PING", [ping(&payload)], Pong(payload)),
        case(
            "http2/6.7/2",
            "PING acknowledged unasked",
            [frame(PING, ACK, 0, b"invalid\0"), ping(&payload)],
            Pong(payload),
        ),
        case("http2/6.7/3", "PING of stream 1", [frame(PING, 0, 1, &[0; 8])], NOT_ALLOWED),
        case("http2/6.7/4", "PING of 6 bytes", [frame(PING, 0, 0, &[0; 6])], WRONG_SIZE),
        case("http2/6.8/1", "GOAWAY of stream 1", [frame(GOAWAY, 0, 1, &[0; 8])], NOT_ALLOWED),
        case("http2/7/1", "GOAWAY with an unknown code", [frame(GOAWAY, 0, 0, &away)], Closed),
        case("http2/7/2", "RST_STREAM with an unknown code", [post(&[]), reset(1, UNKNOWN), ping(&payload)], {
            Pong(payload)
        }),
    ]
}

fn continuation() -> Vec<Case> {
    let begun = |fields| frame(HEADERS, END_STREAM, 1, &block(fields));
    let open = |fields| frame(HEADERS, 0, 1, &block(fields));
    let more = |stream, flags| frame(CONTINUATION, flags, stream, &bulk(0));
    let cases: Vec<Case> = vec![
        case("http2/6.10/1", "several CONTINUATION", [begun(&GET), more(1, 0), more(1, END_HEADERS)], Answer),
        case(
            "http2/6.10/2",
            "CONTINUATION, then DATA",
            [open(&POST), more(1, 0), data(END_STREAM, b"test")],
            NOT_ALLOWED,
        ),
        case("http2/6.10/3", "CONTINUATION of stream 0", [begun(&GET), more(0, END_HEADERS)], NOT_ALLOWED),
        case("http2/6.10/4", "CONTINUATION after END_HEADERS", [get(), more(1, END_HEADERS)], NOT_ALLOWED),
        case(
            "http2/6.10/5",
            "CONTINUATION after the last CONTINUATION",
            [begun(&GET), more(1, END_HEADERS), more(1, END_HEADERS)],
            NOT_ALLOWED,
        ),
        case(
            "http2/6.10/6",
            "CONTINUATION after DATA",
            [open(&POST), data(END_STREAM, b"test"), more(1, 0), more(0, END_HEADERS)],
            NOT_ALLOWED,
        ),
    ];
    cases
}
