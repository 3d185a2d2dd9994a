//! http2/3 and 4: prefaces, and frames as such (RFC 9113, 3.4, 4.1–4.3).

use super::Verdict::{Answer, Closed, Connection, Pong, SettingsFirst, Stream};
use super::generic::priority;
use super::{Case, GET, bulk, case, data, ping, post, raw};
use crate::frames::{
    COMPRESSION_ERROR, CONTINUATION, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, HEADERS, PING, PREFACE, PROTOCOL_ERROR,
    block, frame, headers, settings,
};

/// The longest payload that needs no leave (RFC 9113, 4.2).
const FRAME_BYTES: usize = 1 << 14;

pub(super) fn cases() -> Vec<Case> {
    [prefaces(), format_and_size(), whole_blocks()].concat()
}

fn prefaces() -> Vec<Case> {
    vec![
        raw("http2/3.5/1", "a client preface", &[PREFACE, &settings(&[])].concat(), SettingsFirst),
        raw("http2/3.5/2", "no preface", b"INVALID CONNECTION PREFACE\r\n\r\n", Closed),
    ]
}

fn format_and_size() -> Vec<Case> {
    const UNKNOWN: u8 = 0x16;
    const RESERVED: u32 = 1 << 31;
    let zeros = [0; 8];
    let large: Vec<u8> = [block(&GET)].into_iter().chain((0..5).map(bulk)).flatten().collect();
    vec![
        case("http2/4.1/1", "an unknown type", [frame(UNKNOWN, 0, 0, &zeros), ping(&zeros)], Pong(zeros)),
        case("http2/4.1/2", "undefined flags", [frame(PING, 0x16, 0, &zeros)], Pong(zeros)),
        case("http2/4.1/3", "the reserved bit", [frame(PING, 0x16, RESERVED, &zeros)], Pong(zeros)),
        case("http2/4.2/1", "DATA of 2^14", [post(&[]), data(END_STREAM, &vec![b'x'; FRAME_BYTES])], Answer),
        case(
            "http2/4.2/2",
            "DATA above MAX_FRAME_SIZE",
            [post(&[]), data(END_STREAM, &vec![b'x'; FRAME_BYTES + 1])],
            Stream(&[FRAME_SIZE_ERROR]),
        ),
        case(
            "http2/4.2/3",
            "HEADERS above MAX_FRAME_SIZE",
            [frame(HEADERS, END_STREAM | END_HEADERS, 1, &large)],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
    ]
}

fn whole_blocks() -> Vec<Case> {
    let begun = || frame(HEADERS, 0, 1, &block(&GET));
    let rest = || frame(CONTINUATION, END_HEADERS, 1, &bulk(0));
    vec![
        case(
            "http2/4.3/1",
            "a block that is cut",
            [frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x40")],
            Connection(&[COMPRESSION_ERROR]),
        ),
        case(
            "http2/4.3/2",
            "PRIORITY in a block",
            [begun(), priority(1, 0, 255), rest()],
            Connection(&[PROTOCOL_ERROR]),
        ),
        case(
            "http2/4.3/3",
            "HEADERS of another stream in a block",
            [begun(), headers(3, &GET, END_STREAM), rest()],
            Connection(&[PROTOCOL_ERROR]),
        ),
    ]
}
