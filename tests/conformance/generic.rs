//! generic/1–5: what every endpoint accepts.

use super::Verdict::{Answer, Closed, Data, Pong, SettingsAck, SettingsFirst};
use super::{Case, GET, Step, case, coded, data, get, ping, post, raw, steps};
use crate::frames::{
    CANCEL, CONTINUATION, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS,
    INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, PADDED, PREFACE, PRIORITY,
    WITH_PRIORITY, block, credit, frame, headers, reset, settings,
};

const PAYLOAD: &[u8; 8] = b"h2spec\0\0";

/// PRIORITY with a dependency and a weight one less than it means.
pub(super) fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&depends_on.to_be_bytes()[..], &[weight]].concat())
}

const EXCLUSIVE: u32 = 1 << 31;

pub(super) fn cases() -> Vec<Case> {
    [connections_and_streams(), frames(), messages(), representations()].concat()
}

fn connections_and_streams() -> Vec<Case> {
    let none = settings(&[(INITIAL_WINDOW_SIZE, 0)]);
    vec![
        raw("generic/1/1", "a client preface", &[PREFACE, &settings(&[])].concat(), SettingsFirst),
        case("generic/2/1", "PRIORITY on an idle stream", [priority(1, 0, 255), ping(PAYLOAD)], Pong(*PAYLOAD)),
        case(
            "generic/2/2",
            "WINDOW_UPDATE on a half-closed (remote) stream",
            [none.clone(), get(), credit(1, 1)],
            Data(None),
        ),
        case(
            "generic/2/3",
            "PRIORITY on a half-closed (remote) stream",
            [none, get(), priority(1, 0, 255), credit(1, 1)],
            Data(None),
        ),
        case(
            "generic/2/4",
            "RST_STREAM on a half-closed (remote) stream",
            [get(), reset(1, CANCEL), ping(PAYLOAD)],
            Pong(*PAYLOAD),
        ),
        steps(
            "generic/2/5",
            "PRIORITY on a closed stream",
            vec![Step::Send(get()), Step::Answered, Step::Send([priority(1, 0, 255), ping(PAYLOAD)].concat())],
            Pong(*PAYLOAD),
        ),
    ]
}

fn frames() -> Vec<Case> {
    [data_and_headers(), priorities(), others()].concat()
}

fn data_and_headers() -> Vec<Case> {
    let padded = [&[8][..], &block(&GET), &[0; 8]].concat();
    let weighed = [&[0, 0, 0, 0, 255][..], &block(&GET)].concat();
    let whole = END_STREAM | END_HEADERS;
    vec![
        case("generic/3.1/1", "DATA", [post(&[]), data(END_STREAM, b"test")], Answer),
        case("generic/3.1/2", "several DATA", [post(&[]), data(0, b"test"), data(END_STREAM, b"test")], Answer),
        case("generic/3.1/3", "DATA padded", [post(&[]), data(END_STREAM | PADDED, b"\x06testpadded")], Answer),
        case("generic/3.2/1", "HEADERS", [get()], Answer),
        case("generic/3.2/2", "HEADERS padded", [frame(HEADERS, whole | PADDED, 1, &padded)], Answer),
        case("generic/3.2/3", "HEADERS with priority", [frame(HEADERS, whole | WITH_PRIORITY, 1, &weighed)], Answer),
    ]
}

fn priorities() -> Vec<Case> {
    vec![
        case("generic/3.3/1", "PRIORITY of 1", [priority(1, 0, 0), get()], Answer),
        case("generic/3.3/2", "PRIORITY of 256", [priority(1, 0, 255), get()], Answer),
        case("generic/3.3/3", "PRIORITY that depends on another", [priority(3, 1, 0), get()], Answer),
        case("generic/3.3/4", "PRIORITY that is exclusive", [priority(1, EXCLUSIVE, 0), get()], Answer),
        case("generic/3.3/5", "PRIORITY of an idle stream, HEADERS of a lower", [priority(3, 0, 255), get()], Answer),
    ]
}

fn others() -> Vec<Case> {
    let all = settings(&[
        (HEADER_TABLE_SIZE, 4096),
        (ENABLE_PUSH, 1),
        (MAX_CONCURRENT_STREAMS, 100),
        (INITIAL_WINDOW_SIZE, 65_535),
        (MAX_FRAME_SIZE, 16_384),
        (MAX_HEADER_LIST_SIZE, 100),
    ]);
    let fields = block(&GET);
    let begun = frame(HEADERS, END_STREAM, 1, &fields[..5]);
    let away = [&[0; 8][..], b"h2spec"].concat();
    vec![
        case("generic/3.4/1", "RST_STREAM", [headers(1, &GET, 0), reset(1, CANCEL), ping(PAYLOAD)], Pong(*PAYLOAD)),
        case("generic/3.5/1", "SETTINGS", [all], SettingsAck),
        case("generic/3.7/1", "PING", [ping(PAYLOAD)], Pong(*PAYLOAD)),
        case("generic/3.8/1", "GOAWAY", [frame(GOAWAY, 0, 0, &away)], Closed),
        case("generic/3.9/1", "WINDOW_UPDATE of the connection", [credit(0, 1), ping(PAYLOAD)], Pong(*PAYLOAD)),
        case("generic/3.9/2", "WINDOW_UPDATE of a stream", [get(), credit(1, 1)], Answer),
        case(
            "generic/3.10/1",
            "CONTINUATION",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 1, &fields[5..])],
            Answer,
        ),
        case(
            "generic/3.10/2",
            "several CONTINUATION",
            [begun, frame(CONTINUATION, 0, 1, &fields[5..10]), frame(CONTINUATION, END_HEADERS, 1, &fields[10..])],
            Answer,
        ),
    ]
}

fn messages() -> Vec<Case> {
    let head = GET.map(|field| if field.0 == ":method" { (":method", "HEAD") } else { field });
    vec![
        case("generic/4/1", "GET", [get()], Answer),
        case("generic/4/2", "HEAD", [headers(1, &head, END_STREAM)], Answer),
        case("generic/4/3", "POST", [post(&[]), data(END_STREAM, b"test")], Answer),
        case(
            "generic/4/4",
            "POST with trailers",
            [post(&[("trailer", "x-test")]), data(0, b"test"), headers(1, &[("x-test", "ok")], END_STREAM)],
            Answer,
        ),
    ]
}

fn representations() -> Vec<Case> {
    // `user-agent` is entry 58 of the static table; the Huffman codes are those of `x-test` and `h2spec`.
    const PLAIN_NAME: &[u8] = b"\x06x-test";
    const PLAIN_VALUE: &[u8] = b"\x06h2spec";
    const CODED_NAME: &[u8] = b"\x85\xf2\xb2\x4a\x84\xff";
    const CODED_VALUE: &[u8] = b"\x84\x9c\x48\xac\xa4";
    // Indexed names have a prefix of six bits in the first kind, of four in the others.
    // Number, name, what goes before the fields, and what after them.
    type Row = (&'static str, &'static str, &'static [u8], &'static [&'static [u8]]);
    let rows: [Row; 15] = [
        ("generic/5/1", "indexed", b"", &[b"\xba"]),
        ("generic/5/2", "incremental, indexed name", b"", &[b"\x7a", PLAIN_VALUE]),
        ("generic/5/3", "incremental, indexed name, Huffman", b"", &[b"\x7a", CODED_VALUE]),
        ("generic/5/4", "incremental, new name", b"", &[b"\x40", PLAIN_NAME, PLAIN_VALUE]),
        ("generic/5/5", "incremental, new name, Huffman", b"", &[b"\x40", CODED_NAME, CODED_VALUE]),
        ("generic/5/6", "without indexing, indexed name", b"", &[b"\x0f\x2b", PLAIN_VALUE]),
        ("generic/5/7", "without indexing, indexed name, Huffman", b"", &[b"\x0f\x2b", CODED_VALUE]),
        ("generic/5/8", "without indexing, new name", b"", &[b"\x00", PLAIN_NAME, PLAIN_VALUE]),
        ("generic/5/9", "without indexing, new name, Huffman", b"", &[b"\x00", CODED_NAME, CODED_VALUE]),
        ("generic/5/10", "never indexed, indexed name", b"", &[b"\x1f\x2b", PLAIN_VALUE]),
        ("generic/5/11", "never indexed, indexed name, Huffman", b"", &[b"\x1f\x2b", CODED_VALUE]),
        ("generic/5/12", "never indexed, new name", b"", &[b"\x10", PLAIN_NAME, PLAIN_VALUE]),
        ("generic/5/13", "never indexed, new name, Huffman", b"", &[b"\x10", CODED_NAME, CODED_VALUE]),
        ("generic/5/14", "a table size update", b"\x20", &[]),
        ("generic/5/15", "two table size updates, 0 and 4096", b"\x20\x3f\xe1\x1f", &[]),
    ];
    rows.map(|(number, what, before, after)| case(number, what, [coded(before, &after.concat())], Answer)).into()
}
