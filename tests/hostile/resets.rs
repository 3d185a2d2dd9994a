//! H08, H09, H16: streams begun to be taken back, by us or by the client, and more of them than there may be.

use super::{CONCURRENT, HOLD, Siege, rapid, streams};
use crate::frames::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, End, FRAME_SIZE_ERROR, Frames, PING, PRIORITY, PROTOCOL_ERROR,
    STREAM_CLOSED, credit, frame, headers, reset,
};

const CALM: End = End::Connection(ENHANCE_YOUR_CALM);

#[tokio::test(flavor = "multi_thread")]
async fn h08_rapid_reset_ends_the_connection() {
    let siege = Siege::start().await;
    for case in ["H08 the first", "H08 the second"] {
        let before = siege.reached();
        let flood = siege.attacker().await.flood(streams().take(10_000).map(|stream| rapid(stream, &HOLD))).await;
        assert_eq!(flood.end, Some(CALM), "{case}");
        siege.canary(case).await;
        assert!(siege.reached() - before <= CONCURRENT, "{case}: {}", siege.reached() - before);
    }
    siege.calm("H08").await;
    assert_eq!(siege.ended_for_frames().await, 2.0);
}

/// Begins streams `from` … `from` + 99, waits until the edge has them, and takes them back; how the connection is.
async fn wave(frames: &mut Frames, from: u32) -> Option<End> {
    let begun = streams().skip(from as usize).take(100);
    let heads = begun.clone().map(|stream| headers(stream, &HOLD, END_STREAM));
    if let Some(end) = frames.flood(heads).await.end {
        return Some(end);
    }
    frames.flood(begun.map(|stream| reset(stream, CANCEL))).await.end
}

#[tokio::test(flavor = "multi_thread")]
async fn h08_a_patient_rapid_reset_ends_the_connection_too() {
    // Streams that were accepted before they are reset are not in the library's count.
    let siege = Siege::start().await;
    let mut frames = siege.attacker().await;
    let mut begun = 0;
    let end = loop {
        match wave(&mut frames, begun).await {
            Some(end) => break end,
            None => begun += 100,
        }
        assert!(begun <= 300, "H08: {begun} streams were taken back");
    };
    assert_eq!(end, CALM, "H08");
    siege.canary("H08").await;
    assert!(siege.reached() <= 2 * CONCURRENT + 100, "H08: {}", siege.reached());
    siege.calm("H08").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h08_as_many_streams_as_there_may_be_can_be_taken_back() {
    // What a proxy does whose clients time out together.
    let siege = Siege::with(|plan| plan.set(|config| config.limits.streams_per_connection = 600)).await;
    let mut frames = siege.attacker().await;
    let begun = streams().take(600);
    assert_eq!(frames.flood(begun.clone().map(|stream| headers(stream, &HOLD, END_STREAM))).await.end, None, "H08");
    siege.gate.has_seen(600).await;
    assert_eq!(frames.flood(begun.map(|stream| reset(stream, CANCEL))).await.end, None, "H08");
    siege.canary("H08").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h09_six_ways_to_have_us_reset_streams() {
    let siege = Siege::start().await;
    let itself = |stream: u32| [&stream.to_be_bytes()[..], &[0]].concat();
    let most = (1 << 31) - 1;
    type Way = Box<dyn Fn(u32) -> Vec<u8> + Send>;
    let ways: [(&str, Way, u32); 6] = [
        ("H09 WINDOW_UPDATE of 0", Box::new(|stream| credit(stream, 0)), PROTOCOL_ERROR),
        ("H09 WINDOW_UPDATE beyond 2^31-1", Box::new(move |stream| credit(stream, most)), ENHANCE_YOUR_CALM),
        ("H09 PRIORITY of 4 bytes", Box::new(|stream| frame(PRIORITY, 0, stream, &[0; 4])), FRAME_SIZE_ERROR),
        ("H09 PRIORITY on itself", Box::new(move |stream| frame(PRIORITY, 0, stream, &itself(stream))), {
            ENHANCE_YOUR_CALM
        }),
        ("H09 HEADERS after END_STREAM", Box::new(|stream| headers(stream, &HOLD, END_STREAM)), STREAM_CLOSED),
        ("H09 DATA after END_STREAM", Box::new(|stream| frame(DATA, 0, stream, b"x")), STREAM_CLOSED),
    ];
    for (case, way, code) in ways {
        let before = siege.reached();
        let attack = streams().take(10_000).map(|stream| [headers(stream, &HOLD, END_STREAM), way(stream)].concat());
        let flood = siege.attacker().await.flood(attack).await;
        assert_eq!(flood.end, Some(End::Connection(code)), "{case}");
        siege.canary(case).await;
        assert!(siege.reached() - before <= 2 * CONCURRENT, "{case}: {}", siege.reached() - before);
        // What was begun is cancelled behind us as well.
        siege.calm(case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h16_more_streams_than_there_may_be_are_refused_and_then_ended() {
    let siege = Siege::start().await;
    let (mut frames, theirs) = Frames::handshake(siege.world.https, "shop.test", &[]).await;
    let most = theirs.iter().find(|(name, _)| *name == crate::frames::MAX_CONCURRENT_STREAMS).unwrap().1;
    assert!(most >= 100 && most as usize == CONCURRENT, "H16: {most}");
    let flood = frames.flood(streams().take(10_000).map(|stream| headers(stream, &HOLD, END_STREAM))).await;
    assert_eq!(flood.end, Some(CALM), "H16");
    assert!(flood.received[usize::from(PING)] == 0);
    siege.canary("H16").await;
    assert!(siege.reached() <= CONCURRENT + 1, "H16: {}", siege.reached());
    siege.calm("H16").await;
}
