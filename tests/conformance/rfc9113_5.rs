//! http2/5: the states of a stream, and errors (RFC 9113, 5.1, 5.4, 5.5; 5.3.1 of RFC 7540).

use super::Verdict::{Closed, Connection, GoAway, Pong, Stream};
use super::generic::priority;
use super::{Case, GET, Opening, Step, bulk, case, data, get, ping, steps};
use crate::frames::{
    CANCEL, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, PROTOCOL_ERROR, REFUSED_STREAM,
    STREAM_CLOSED, WITH_PRIORITY, block, credit, frame, headers, reset, settings,
};

fn continued(payload: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, 1, payload)
}

pub(super) fn cases() -> Vec<Case> {
    [states(), identifiers_and_concurrency(), dependencies(), errors_and_extensions()].concat()
}

fn states() -> Vec<Case> {
    [idle(), half_closed(), closed_by_reset(), closed_by_end()].concat()
}

fn idle() -> Vec<Case> {
    let error = || Connection(&[PROTOCOL_ERROR]);
    vec![
        case("http2/5.1/1", "idle: DATA", [data(END_STREAM, b"test")], error()),
        case("http2/5.1/2", "idle: RST_STREAM", [reset(1, CANCEL)], error()),
        case("http2/5.1/3", "idle: WINDOW_UPDATE", [credit(1, 100)], error()),
        case("http2/5.1/4", "idle: CONTINUATION", [continued(&block(&GET))], error()),
    ]
}

fn half_closed() -> Vec<Case> {
    let error = || Stream(&[STREAM_CLOSED]);
    vec![
        case("http2/5.1/5", "half-closed (remote): DATA", [get(), data(END_STREAM, b"test")], error()),
        case("http2/5.1/6", "half-closed (remote): HEADERS", [get(), get()], error()),
        case(
            "http2/5.1/7",
            "half-closed (remote): CONTINUATION",
            [get(), continued(&block(&GET))],
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
    ]
}

fn closed_by_reset() -> Vec<Case> {
    let error = || Stream(&[STREAM_CLOSED]);
    let open = || headers(1, &GET, 0);
    vec![
        case("http2/5.1/8", "reset: DATA", [open(), reset(1, CANCEL), data(END_STREAM, b"test")], error()),
        case("http2/5.1/9", "reset: HEADERS", [open(), reset(1, CANCEL), get()], error()),
        case(
            "http2/5.1/10",
            "reset: CONTINUATION",
            [open(), reset(1, CANCEL), continued(&bulk(0))],
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
    ]
}

fn closed_by_end() -> Vec<Case> {
    let then = |bytes: Vec<u8>| vec![Step::Send(get()), Step::Answered, Step::Send(bytes)];
    vec![
        steps("http2/5.1/11", "closed: DATA", then(data(END_STREAM, b"test")), Connection(&[STREAM_CLOSED])),
        steps("http2/5.1/12", "closed: HEADERS", then(get()), Connection(&[STREAM_CLOSED])),
        steps(
            "http2/5.1/13",
            "closed: CONTINUATION",
            then(continued(&bulk(0))),
            Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
    ]
}

fn identifiers_and_concurrency() -> Vec<Case> {
    let whole = |stream| headers(stream, &GET, END_STREAM);
    // The edge takes `limits.streams_per_connection` = 128 streams; none ends while there is no window.
    let many: Vec<u8> = (0..=128).flat_map(|index| whole(index * 2 + 1)).collect();
    vec![
        case("http2/5.1.1/1", "an even identifier", [whole(2)], Connection(&[PROTOCOL_ERROR])),
        case("http2/5.1.1/2", "a smaller identifier", [whole(5), whole(3)], Connection(&[PROTOCOL_ERROR])),
        case(
            "http2/5.1.2/1",
            "more streams than MAX_CONCURRENT_STREAMS",
            [settings(&[(INITIAL_WINDOW_SIZE, 0)]), many],
            Stream(&[PROTOCOL_ERROR, REFUSED_STREAM]),
        ),
    ]
}

fn dependencies() -> Vec<Case> {
    let own = [&[0, 0, 0, 1, 255][..], &block(&GET)].concat();
    vec![
        case(
            "http2/5.3.1/1",
            "HEADERS that depend on themselves",
            [frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, &own)],
            Stream(&[PROTOCOL_ERROR]),
        ),
        case("http2/5.3.1/2", "PRIORITY that depends on itself", [priority(1, 1, 255)], Stream(&[PROTOCOL_ERROR])),
    ]
}

fn errors_and_extensions() -> Vec<Case> {
    const UNKNOWN: u8 = 0x16;
    let zeros = [0; 8];
    let bad = || vec![Step::Send(frame(PING, 0, 3, &zeros))];
    vec![
        steps("http2/5.4.1/1", "PING of a stream, for the end of the connection", bad(), Closed),
        Case {
            number: "http2/5.4.1/2",
            what: "PING of a stream, for GOAWAY (strict)",
            opening: Opening::Handshake,
            steps: bad(),
            verdict: GoAway(PROTOCOL_ERROR),
        },
        case("http2/5.5/1", "an unknown frame", [frame(UNKNOWN, 0, 0, &zeros), ping(&zeros)], Pong(zeros)),
        case(
            "http2/5.5/2",
            "an unknown frame in a block",
            [frame(HEADERS, END_STREAM, 1, &block(&GET)), frame(UNKNOWN, 0, 0, &zeros)],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}
