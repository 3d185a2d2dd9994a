//! Frames in any chunking against what they were made of.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use websocket::{Inspect, Inspector, Sender, Violation, policy};

fn inspect(json: &str) -> Inspect {
    policy(format!(r#"{{"inspect":{json}}}"#).as_bytes()).unwrap().inspect.unwrap()
}

fn frame(first: u8, length: usize, sender: Sender) -> Vec<u8> {
    let mask = if sender == Sender::Client { 0x80 } else { 0 };
    let mut frame = match length {
        0..=125 => vec![first, mask | u8::try_from(length).unwrap()],
        126..=65535 => [&[first, mask | 126][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    if sender == Sender::Client {
        frame.extend([1, 2, 3, 4]);
    }
    frame.extend(vec![0xff; length]);
    frame
}

fn fed(json: &str, sender: Sender, chunks: &[&[u8]]) -> Result<(), (u16, usize, Option<usize>)> {
    let mut inspector = Inspector::new(sender);
    let inspect = inspect(json);
    for (i, chunk) in chunks.iter().enumerate() {
        inspector.feed(&inspect, chunk).map_err(|Violation { code, clean, .. }| (code, i, clean))?;
    }
    Ok(())
}

#[test]
fn sizes_are_of_frames_and_of_messages() {
    use Sender::Server;
    let text = |length| frame(0x81, length, Server);
    assert_eq!(fed(r#"{"max_frame":200}"#, Server, &[&text(200), &text(70_000)]), Err((1009, 1, Some(0))));
    assert_eq!(fed(r#"{"max_message":200}"#, Server, &[&text(200), &text(200)]), Ok(()));
    let parts = [frame(0x02, 150, Server), frame(0x89, 5, Server), frame(0x80, 51, Server)].concat();
    assert_eq!(fed(r#"{"max_message":200}"#, Server, &[&parts]), Err((1009, 0, Some(154 + 7))));
    assert_eq!(fed(r#"{"max_message":201}"#, Server, &[&parts]), Ok(()));
}

#[test]
fn kinds_are_of_messages() {
    use Sender::Client;
    let (text, binary) = (frame(0x81, 3, Client), frame(0x82, 3, Client));
    assert_eq!(fed(r#"{"allow":["text"]}"#, Client, &[&text, &binary]), Err((1003, 1, Some(0))));
    assert_eq!(fed(r#"{"allow":["binary"]}"#, Client, &[&binary, &text]), Err((1003, 1, Some(0))));
    let fragments = [frame(0x01, 3, Client), frame(0x80, 3, Client)].concat();
    assert_eq!(fed(r#"{"allow":["text"]}"#, Client, &[&fragments]), Ok(()));
}

#[test]
fn rfc6455_5_2_broken_frames_are_violations() {
    use Sender::{Client, Server};
    for (bytes, sender) in [
        (frame(0xc1, 1, Server), Server),
        (frame(0x81, 1, Client), Server),
        (frame(0x81, 1, Server), Client),
        (frame(0x83, 1, Server), Server),
        (frame(0x8b, 1, Server), Server),
        (frame(0x09, 1, Server), Server),
        (frame(0x89, 126, Server), Server),
        (frame(0x80, 1, Server), Server),
        ([frame(0x01, 1, Server), frame(0x81, 1, Server)].concat(), Server),
        (vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Server),
    ] {
        assert_eq!(fed("{}", sender, &[&bytes]).unwrap_err().0, 1002, "{:02x?}", &bytes[..2]);
    }
    assert_eq!(fed(r#"{"compression":"keep"}"#, Server, &[&frame(0xc1, 1, Server)]), Ok(()));
}

#[test]
fn a_header_that_began_earlier_leaves_nothing_clean() {
    let bytes = frame(0x81, 300, Sender::Server);
    assert_eq!(fed(r#"{"max_frame":200}"#, Sender::Server, &[&bytes[..3], &bytes[3..]]), Err((1009, 1, None)));
}

#[test]
fn after_a_close_frame_nothing_is_looked_at() {
    let close = frame(0x88, 2, Sender::Server);
    assert_eq!(fed("{}", Sender::Server, &[&close, b"\xff\xff\xff\xff", b"more"]), Ok(()));
}

#[test]
fn the_close_frame_is_a_frame_of_its_sender() {
    for sender in [Sender::Client, Sender::Server] {
        let violation = Violation { code: 1009, reason: "a frame is larger than allowed", clean: None };
        let close = violation.close_frame(sender);
        assert_eq!(fed("{}", sender, &[&close]), Ok(()));
        let payload = close.len() - 2 - violation.reason.len();
        assert_eq!(close[payload..payload + 2], 1009_u16.to_be_bytes());
        assert!(close.ends_with(b"allowed"));
    }
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        frames in prop::collection::vec((prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x80, 0x89, 0x8a, 0x00]), 0..400_usize), 1..6),
        cuts in prop::collection::vec(1..50_usize, 1..40),
        client: bool,
    ) {
        let sender = if client { Sender::Client } else { Sender::Server };
        let bytes: Vec<u8> = frames.iter().flat_map(|(first, length)| frame(*first, *length, sender)).collect();
        let json = r#"{"max_frame":300,"max_message":350}"#;
        let whole = fed(json, sender, &[&bytes]).map_err(|error| error.0);
        let mut rest = bytes.as_slice();
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle().take_while(|_| !bytes.is_empty()).take(bytes.len()) {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(fed(json, sender, &chunks).map_err(|error| error.0), whole);
    }

    #[test]
    fn any_bytes_are_survived(chunks: Vec<Vec<u8>>, client: bool) {
        let sender = if client { Sender::Client } else { Sender::Server };
        let mut inspector = Inspector::new(sender);
        let inspect = inspect(r#"{"max_frame":300,"allow":["text"]}"#);
        for chunk in &chunks {
            if let Err(violation) = inspector.feed(&inspect, chunk) {
                prop_assert!(violation.clean.is_none_or(|clean| clean < chunk.len()));
                prop_assert!(violation.reason.len() <= 100);
                prop_assert!(violation.close_frame(sender).len() <= 8 + violation.reason.len());
            }
        }
    }
}
