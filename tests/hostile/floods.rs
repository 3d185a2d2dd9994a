//! H10–H13: frames that cost the receiver more than the sender, and their answers when nobody reads them.

use std::time::Duration;

use super::{GET, HOLD, Siege, UPLOAD, rapid, streams};
use crate::backend::Backend;
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frames, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, PING, PRIORITY, SETTINGS, block, credit, frame, headers, integer, settings,
};
use crate::websocket::accepting;
use crate::world::{plan, until};

const CALM: End = End::Connection(ENHANCE_YOUR_CALM);

#[tokio::test(flavor = "multi_thread")]
async fn h10_a_block_that_never_ends_is_ended() {
    let siege = Siege::start().await;
    let bulk = block(&[("x-bulk", &"x".repeat(1000))]);
    // `limits.head_bytes_max` is 64 KiB; the edge has to say stop within four times that, and nothing more is sent.
    for (case, piece, count) in [("H10 a kilobyte each", bulk, 260), ("H10 empty", Vec::new(), 4000)] {
        let mut frames = siege.attacker().await;
        frames.write(&frame(HEADERS, END_STREAM, 1, &block(&GET))).await;
        for _ in 0..count {
            frames.write(&frame(CONTINUATION, 0, 1, &piece)).await;
        }
        assert_eq!(frames.end_of(1).await, CALM, "{case}");
        siege.canary(case).await;
    }
    siege.calm("H10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h11_a_block_counts_as_large_as_it_becomes() {
    let siege = Siege::start().await;
    let before = siege.reached();
    // 4 KB go into the dynamic table once, and are named by one byte each from then on.
    let value = "x".repeat(4000);
    let name = [&b"\x40\x01x"[..], &integer(0, 7, value.len()), value.as_bytes()].concat();
    let bomb = [block(&HOLD), name, vec![0x80 | 62; 8000]].concat();
    let mut frames = siege.attacker().await;
    for stream in streams().take(20) {
        frames.write(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &bomb)).await;
        let end = frames.end_of(stream).await;
        let refused = matches!(end, End::Status(431) | End::Reset(_) | End::Connection(_));
        assert!(refused, "H11: {end:?}");
        if matches!(end, End::Connection(_)) {
            break;
        }
    }
    assert_eq!(siege.reached(), before, "H11");
    siege.canary("H11").await;
}

/// What is repeated on a connection whose stream 1 is an upload under way.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    const UNKNOWN: u8 = 0xbe;
    vec![
        ("H12 SETTINGS", settings(&[])),
        ("H12 SETTINGS with a window", settings(&[(INITIAL_WINDOW_SIZE, 1000)])),
        ("H12 PING", frame(PING, 0, 0, &[7; 8])),
        ("H12 PING acknowledged", frame(PING, ACK, 0, &[7; 8])),
        ("H12 PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])),
        ("H12 PRIORITY of an idle stream", frame(PRIORITY, 0, 999, &[0, 0, 0, 0, 9])),
        ("H12 empty DATA", frame(DATA, 0, 1, b"")),
        ("H12 an unknown frame", frame(UNKNOWN, 0, 1, b"whatever")),
        ("H12 an unknown frame of the connection", frame(UNKNOWN, 0, 0, b"")),
        ("H12 WINDOW_UPDATE of a stream", credit(1, 1)),
        ("H12 WINDOW_UPDATE of the connection", credit(0, 1)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_frames_that_bring_nothing_are_counted() {
    let siege = Siege::start().await;
    for (case, piece) in floods() {
        let mut frames = siege.attacker().await;
        frames.write(&headers(1, &UPLOAD, 0)).await;
        let flood = frames.flood((0..200).map(|_| piece.repeat(100))).await;
        assert_eq!(flood.end, Some(CALM), "{case}");
        let answers = flood.received[usize::from(PING)] + flood.received[usize::from(SETTINGS)];
        assert!(answers <= 1100, "{case}: {answers} answers");
        siege.canary(case).await;
    }
    let mut frames = siege.attacker().await;
    let flood = frames.flood(streams().take(20_000).map(|stream| frame(HEADERS, 5, stream, b""))).await;
    assert_eq!(flood.end, Some(CALM), "H12 empty HEADERS");
    siege.calm("H12").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_an_honest_share_of_them_is_no_flood() {
    // One PING and two WINDOW_UPDATE for each answer, as a reader has that measures its bandwidth.
    let siege = Siege::start().await;
    let mut frames = siege.attacker().await;
    for stream in streams().take(2000) {
        let share = [frame(PING, 0, 0, &[7; 8]), credit(0, 3), credit(stream, 3)].concat();
        frames.write(&[headers(stream, &GET, END_STREAM), share].concat()).await;
        loop {
            let frame = frames.next().await.expect("no end");
            if frame.stream == stream && frame.ends_stream() {
                break;
            }
        }
    }
    assert_eq!(siege.ended_for_frames().await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_credit_for_each_small_message_is_no_flood() {
    // As readers do it that measure their bandwidth with every frame they get, grpc-go for one.
    let echo = Backend::serve(|mut conn, _| async move {
        let head = conn.head().await.unwrap();
        conn.send(accepting(&head, "").as_bytes()).await;
        loop {
            let message = conn.bytes(4).await;
            conn.send(&message).await;
        }
    })
    .await;
    let world = plan().app("shop", echo.url()).start().await;
    let (mut frames, _) = Frames::handshake(world.https, "shop.test", &[]).await;
    let [_, scheme, authority, path] = GET;
    let version = ("sec-websocket-version", "13");
    let connect = [(":method", "CONNECT"), (":protocol", "websocket"), scheme, authority, path, version];
    frames.headers(1, &connect, 0).await;
    assert_eq!(frames.end_of(1).await, End::Status(200));
    let reading = [credit(1, 4), credit(0, 4), frame(PING, 0, 0, &[7; 8])].concat();
    for message in 0..1500u32 {
        frames.send(DATA, 0, 1, &message.to_be_bytes()).await;
        let mut got = Vec::new();
        while got.len() < 4 {
            let frame = frames.next().await.unwrap_or_else(|| panic!("H12: the connection ends at message {message}"));
            assert_ne!(frame.kind, GOAWAY, "H12: message {message}");
            got.extend(if frame.kind == DATA { frame.payload } else { Vec::new() });
        }
        assert_eq!(got, message.to_be_bytes(), "H12");
        frames.write(&reading).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_a_flood_whose_answers_are_not_read_is_ended() {
    let siege = Siege::start().await;
    let mut deaf = Vec::new();
    for (case, piece) in floods() {
        let mut frames = siege.attacker().await;
        frames.write(&headers(1, &UPLOAD, 0)).await;
        for _ in 0..200 {
            frames.write(&piece.repeat(100)).await;
        }
        siege.canary(case).await;
        deaf.push(frames); // open, and never read
    }
    let mut frames = siege.attacker().await;
    for stream in streams().take(10_000) {
        frames.write(&rapid(stream, &HOLD)).await;
    }
    deaf.push(frames);
    siege.calm("H13").await;
    siege.canary("H13").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_a_client_that_reads_nothing_at_all_is_ended() {
    // Its windows are wide open, so it is the socket that is full; behind it the edge keeps one buffer per stream.
    let short = Duration::from_millis(300);
    let siege = Siege::with(|plan| {
        plan.set(|config| (config.limits.body_idle_timeout, config.limits.idle_timeout) = (short, short))
    })
    .await;
    let most = (1 << 31) - 1;
    let mut frames = Frames::dial(siege.world.https, "shop.test").await;
    frames
        .write(&[crate::frames::PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, most)]), &credit(0, most - 65_535)].concat())
        .await;
    let download = GET.map(|field| if field.0 == ":path" { (":path", "/download") } else { field });
    for stream in streams().take(100) {
        frames.write(&headers(stream, &download, END_STREAM)).await;
    }
    siege.gate.has_seen(100).await;
    siege.gate.open();
    let (ping, gauge) = (frame(PING, 0, 0, &[7; 8]), "lockgate_client_connections{listener=\"https\"}");
    until("H13: the deaf client is ended", async || {
        // The edge has long stopped reading; whatever fits into the socket may go there.
        let _ = tokio::time::timeout(Duration::from_millis(5), frames.write(&ping.repeat(10))).await;
        siege.world.metric(gauge).await == 0.0
    })
    .await;
    siege.canary("H13").await;
    siege.calm("H13").await;
}
