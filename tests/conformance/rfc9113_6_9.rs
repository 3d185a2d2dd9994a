//! http2/6.9: flow control (RFC 9113, 6.9, 6.9.1, 6.9.2).

use super::Verdict::{Connection, Data, GoAway, Reset, Stream};
use super::{Case, Step, case, get, post, steps};
use crate::frames::{
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, INITIAL_WINDOW_SIZE, PROTOCOL_ERROR, WINDOW_UPDATE, credit, frame, settings,
};

const MOST: u32 = (1 << 31) - 1;

/// Settings, and a request when they are in force.
pub(super) fn limited(pairs: &[(u16, u32)]) -> Vec<Step> {
    vec![Step::Send(settings(pairs)), Step::Settled, Step::Send(get())]
}

pub(super) fn cases() -> Vec<Case> {
    [window_updates(), initial_windows()].concat()
}

fn window_updates() -> Vec<Case> {
    let open = || post(&[]);
    vec![
        case("http2/6.9/1", "an increment of 0", [credit(0, 0)], Connection(&[PROTOCOL_ERROR])),
        case("http2/6.9/2", "an increment of 0 on a stream", [open(), credit(1, 0)], Stream(&[PROTOCOL_ERROR])),
        case(
            "http2/6.9/3",
            "WINDOW_UPDATE of 3 bytes",
            [frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01")],
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        steps("http2/6.9.1/1", "a window of 1", limited(&[(INITIAL_WINDOW_SIZE, 1)]), Data(Some(1))),
        case(
            "http2/6.9.1/2",
            "a window above 2^31 - 1",
            [credit(0, MOST), credit(0, MOST)],
            GoAway(FLOW_CONTROL_ERROR),
        ),
        case(
            "http2/6.9.1/3",
            "a stream's window above 2^31 - 1",
            [open(), credit(1, MOST), credit(1, MOST)],
            Reset(FLOW_CONTROL_ERROR),
        ),
    ]
}

fn initial_windows() -> Vec<Case> {
    let window = |size| Step::Send(settings(&[(INITIAL_WINDOW_SIZE, size)]));
    vec![
        steps(
            "http2/6.9.2/1",
            "the initial window grows after HEADERS",
            limited(&[(INITIAL_WINDOW_SIZE, 0)]).into_iter().chain([window(1)]).collect(),
            Data(Some(1)),
        ),
        steps(
            "http2/6.9.2/2",
            "a window that is negative",
            limited(&[(INITIAL_WINDOW_SIZE, 3)])
                .into_iter()
                .chain([Step::Data, window(2), Step::Settled, Step::Send(credit(1, 2))])
                .collect(),
            Data(Some(1)),
        ),
        case(
            "http2/6.9.2/3",
            "an initial window above 2^31 - 1",
            [settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])],
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
    ]
}
