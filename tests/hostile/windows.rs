//! H14, H15, H17, H18: windows that stay shut or jump, very many streams, and requests that cross our GOAWAY.
//! Downloads that stall with all their windows full are in `crowding`.

use std::time::Duration;

use super::{CONCURRENT, GET, Siege, streams};
use crate::frames::{
    END_STREAM, End, FLOW_CONTROL_ERROR, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, RST_STREAM, credit,
    headers, settings,
};
use crate::world::within;

/// The head of one of the gate's downloads of a megabyte.
fn download() -> [super::Field; 4] {
    GET.map(|field| if field.0 == ":path" { (":path", "/download") } else { field })
}

#[tokio::test(flavor = "multi_thread")]
async fn h14_windows_that_never_open_hold_up_nobody() {
    let short = Duration::from_millis(500);
    let siege = Siege::with(|plan| plan.set(|config| config.limits.body_idle_timeout = short)).await;
    let (mut frames, _) = Frames::handshake(siege.world.https, "shop.test", &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for stream in streams().take(CONCURRENT) {
        frames.headers(stream, &download(), END_STREAM).await;
    }
    siege.gate.has_seen(CONCURRENT).await;
    siege.canary("H14").await;
    siege.gate.open();
    siege.canary("H14").await;
    // Each gets its head, not a byte of its body, and then a reset for want of credit.
    let mut resets = 0;
    while resets < CONCURRENT {
        let frame = frames.next().await.expect("the connection stays");
        assert!(frame.kind != crate::frames::DATA || frame.payload.is_empty(), "H14");
        resets += usize::from(frame.kind == RST_STREAM);
    }
    siege.canary("H14").await;
    drop(frames);
    siege.calm("H14").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h15_initial_windows_that_jump_are_followed() {
    let siege = Siege::start().await;
    let mut frames = siege.attacker().await;
    for stream in streams().take(50) {
        frames.headers(stream, &download(), END_STREAM).await;
    }
    siege.gate.has_seen(50).await;
    // Up and down, below nothing for what was sent already.
    for round in 0..200 {
        frames.write(&settings(&[(INITIAL_WINDOW_SIZE, [1, 65_535, 0, 20_000][round % 4])])).await;
    }
    frames.write(&[settings(&[(INITIAL_WINDOW_SIZE, 2 << 20)]), credit(0, 60 << 20)].concat()).await;
    siege.gate.open();
    let mut got = [0; 50];
    let mut ended = 0;
    while ended < 50 {
        let frame = frames.next().await.expect("the connection stays");
        assert_ne!(frame.kind, RST_STREAM, "H15");
        if frame.kind == crate::frames::DATA {
            got[frame.stream as usize / 2] += frame.payload.len();
        }
        ended += usize::from(frame.ends_stream());
    }
    assert!(got.iter().all(|bytes| *bytes == crate::gate::DOWNLOAD_BYTES), "H15: {got:?}");
    // A stream's own credit and the new initial window together are beyond 2^31-1 (RFC 9113, 6.9.2).
    let mut frames = siege.attacker().await;
    frames.headers(1, &super::UPLOAD, 0).await;
    frames.write(&[credit(1, (1 << 31) - 65_536), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])].concat()).await;
    assert_eq!(frames.end_of(1).await, End::Connection(FLOW_CONTROL_ERROR), "H15");
    siege.canary("H15").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h17_very_many_streams_on_one_connection_are_served() {
    let siege = Siege::start().await;
    let mut frames = siege.attacker().await;
    let mut answered = 0;
    for batch in 0..200 {
        let heads = streams().skip(batch * 100).take(100).flat_map(|stream| headers(stream, &GET, END_STREAM));
        frames.write(&heads.collect::<Vec<_>>()).await;
        let mut left = 100;
        while left > 0 {
            let frame = frames.next().await.expect("the connection stays");
            assert!(![RST_STREAM, GOAWAY].contains(&frame.kind), "H17: {frame:?} after {answered}");
            answered += usize::from(frame.kind == HEADERS);
            left -= usize::from(frame.ends_stream());
            if frame.kind == crate::frames::DATA {
                frames.write(&credit(0, 3)).await;
            }
        }
    }
    assert_eq!(answered, 20_000, "H17");
    // The last identifiers there are (RFC 9113, 5.1.1).
    for stream in [(1 << 31) - 3, (1u32 << 31) - 1] {
        frames.headers(stream, &GET, END_STREAM).await;
        let frame = loop {
            let frame = frames.next().await.expect("the connection stays");
            if frame.stream == stream {
                break frame;
            }
        };
        assert_eq!(frame.kind, HEADERS, "H17: {frame:?}");
    }
    siege.canary("H17").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h18_requests_that_cross_our_goaway_are_whole_or_refused() {
    let siege = Siege::start().await;
    let mut frames = siege.attacker().await;
    let edge = siege.world.edge.clone();
    let stopping = tokio::spawn(async move { edge.stop(Duration::from_secs(10)).await });
    // Sent without looking, while the edge says that it goes.
    let mut sent = 0;
    let mut last = None;
    let mut answered = Vec::new();
    let mut refused = Vec::new();
    'connection: for stream in streams().take(2000) {
        frames.headers(stream, &GET, END_STREAM).await;
        sent += 1;
        loop {
            let Some(frame) = frames.next().await else { break 'connection };
            match frame.kind {
                GOAWAY => {
                    assert_eq!(frame.word(4), NO_ERROR, "H18");
                    last = Some(frame.word(0));
                }
                RST_STREAM => {
                    refused.push(frame.stream);
                    break;
                }
                crate::frames::PING if !frame.is_ack() => {
                    frames.send(crate::frames::PING, crate::frames::ACK, 0, &frame.payload).await;
                }
                _ if frame.ends_stream() => {
                    answered.push(frame.stream);
                    break;
                }
                _ => {}
            }
        }
    }
    within("the drain", stopping).await.unwrap();
    let last = last.expect("H18: a GOAWAY");
    // What it covers was answered whole; what it does not was never begun, and may be sent again elsewhere.
    assert_eq!(siege.gate.seen(), answered.len(), "H18: {sent} sent, {refused:?} refused, last {last}");
    assert!(answered.iter().all(|stream| *stream <= last), "H18: {last}");
    assert!(sent < 2000, "H18: the connection ended");
}
