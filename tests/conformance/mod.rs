//! The usual conformance list for HTTP/2 servers (that of h2spec: 147 cases, strict), against the public port.
//!
//! A case is a line of a table: its number on the list, what is sent, and the verdict that holds it. Each is run on a
//! connection of its own, through the whole path to a backend. It refuses to pass over a case: what is held in another
//! way than by the book is in [`CODES`] with its reason, and fails the test as soon as it is not so any more.

mod generic;
mod rfc7541;
mod rfc9113_3_4;
mod rfc9113_5;
mod rfc9113_6;
mod rfc9113_6_9;
mod rfc9113_8;

use std::collections::BTreeSet;

use crate::backend::Backend;
use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    block, frame, headers,
};
use crate::world::{World, plan};

/// Cases that end the connection as they must, which is all the list asks for, but say another code: number and
/// code. It is `h2` that says it: whatever its HPACK decoder or its reader of settings finds is a PROTOCOL_ERROR to it
/// (`codec::framed_read` of 0.4.20), where RFC 9113 has COMPRESSION_ERROR (4.3) and FLOW_CONTROL_ERROR (6.5.2).
const CODES: &[(&str, u32)] = &[
    ("hpack/2.3.3/1", PROTOCOL_ERROR),
    ("hpack/2.3.3/2", PROTOCOL_ERROR),
    ("hpack/4.2/1", PROTOCOL_ERROR),
    ("hpack/5.2/1", PROTOCOL_ERROR),
    ("hpack/5.2/2", PROTOCOL_ERROR),
    ("hpack/5.2/3", PROTOCOL_ERROR),
    ("hpack/6.1/1", PROTOCOL_ERROR),
    ("hpack/6.3/1", PROTOCOL_ERROR),
    ("http2/4.3/1", PROTOCOL_ERROR),
    ("http2/6.5.2/2", PROTOCOL_ERROR),
    ("http2/6.9.2/3", PROTOCOL_ERROR),
];

/// How a case is held.
#[derive(Debug, Clone)]
enum Verdict {
    /// A connection error: GOAWAY with one of these codes, or just the end of the connection.
    Connection(&'static [u32]),
    /// A stream error: the same, or RST_STREAM with one of these codes.
    Stream(&'static [u32]),
    /// The connection ends, whatever is said before.
    Closed,
    /// GOAWAY with this code, and nothing less.
    GoAway(u32),
    /// RST_STREAM of stream 1 with this code, and nothing less.
    Reset(u32),
    /// A response head on stream 1.
    Answer,
    /// The first DATA frame has this length; any length with `None`.
    Data(Option<usize>),
    /// PING comes back acknowledged with this payload, and none with another.
    Pong([u8; 8]),
    /// SETTINGS are acknowledged.
    SettingsAck,
    /// The first frame of all is SETTINGS, and no acknowledgement.
    SettingsFirst,
}

/// What is done in a case, in order.
#[derive(Clone)]
enum Step {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// Frames are read until stream 1 has its whole response.
    Answered,
    /// Frames are read until the last settings are acknowledged.
    Settled,
    /// Frames are read until there is DATA.
    Data,
}

#[derive(Clone)]
struct Case {
    number: &'static str,
    what: &'static str,
    /// Sent before the case by the connection itself.
    opening: Opening,
    steps: Vec<Step>,
    verdict: Verdict,
}

#[derive(Clone)]
enum Opening {
    /// TLS only.
    Nothing,
    /// Prefaces exchanged and acknowledged.
    Handshake,
}

/// A case that begins after the handshake with `bytes`.
fn case<const N: usize>(number: &'static str, what: &'static str, bytes: [Vec<u8>; N], verdict: Verdict) -> Case {
    steps(number, what, vec![Step::Send(bytes.concat())], verdict)
}

/// A case of several steps after the handshake.
fn steps(number: &'static str, what: &'static str, steps: Vec<Step>, verdict: Verdict) -> Case {
    Case { number, what, opening: Opening::Handshake, steps, verdict }
}

/// A case that begins before HTTP/2 does.
fn raw(number: &'static str, what: &'static str, bytes: &[u8], verdict: Verdict) -> Case {
    Case { number, what, opening: Opening::Nothing, steps: vec![Step::Send(bytes.to_vec())], verdict }
}

type Field = (&'static str, &'static str);
/// A whole request.
const GET: [Field; 4] = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "shop.test")];
/// A request that has a body.
const POST: [Field; 4] = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "shop.test")];

/// A whole request on stream 1.
fn get() -> Vec<u8> {
    headers(1, &GET, END_STREAM)
}

/// The head of a request on stream 1, with `more` fields; its body is still to come.
fn post(more: &[Field]) -> Vec<u8> {
    headers(1, &[&POST[..], more].concat(), 0)
}

/// A request on stream 1 with `more` fields, and no body.
fn with(more: &[Field]) -> Vec<u8> {
    headers(1, &[&GET[..], more].concat(), END_STREAM)
}

/// A request on stream 1 whose block is `before`, the fields of GET, and `after`.
fn coded(before: &[u8], after: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, &[before, &block(&GET), after].concat())
}

/// DATA on stream 1.
fn data(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, 1, payload)
}

/// A field section of some 4 KB.
fn bulk(index: usize) -> Vec<u8> {
    block(&[(&format!("x-dummy{index}"), &"x".repeat(4000))])
}

fn ping(payload: &[u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, payload)
}

#[test]
fn the_list_is_whole() {
    let lists = [generic::cases(), rfc9113_3_4::cases(), rfc9113_5::cases(), rfc9113_6::cases()];
    let more = [rfc9113_6_9::cases(), rfc9113_8::cases(), rfc7541::cases()];
    let numbers: Vec<_> = lists.iter().chain(&more).flatten().map(|case| case.number).collect();
    let of = |part: &str| numbers.iter().filter(|number| number.starts_with(part)).count();
    assert_eq!((of("generic/"), of("http2/"), of("hpack/")), (44, 95, 8));
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 147, "none twice");
    assert!(CODES.iter().all(|(number, _)| numbers.contains(number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn generic_connections_frames_messages_and_fields() {
    hold(generic::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_3_and_4_prefaces_and_frames() {
    hold(rfc9113_3_4::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_5_streams() {
    hold(rfc9113_5::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_6_types_of_frames() {
    hold(rfc9113_6::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_6_9_flow_control() {
    hold(rfc9113_6_9::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc9113_8_requests() {
    hold(rfc9113_8::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc7541_compression() {
    hold(rfc7541::cases()).await;
}

/// Runs a section of the list; every case of it must be held, or be an exception.
async fn hold(cases: Vec<Case>) {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut broken = Vec::new();
    for case in cases {
        let code = CODES.iter().find(|(number, _)| *number == case.number).map(|(_, code)| *code);
        match run(&world, &case).await {
            Ok(other) if other == code => {}
            Ok(other) => broken.push(format!("{} {}: the code is {other:?}, not {code:?}", case.number, case.what)),
            Err(seen) => broken.push(format!("{} {}: {:?}, but {seen}", case.number, case.what, case.verdict)),
        }
    }
    assert!(broken.is_empty(), "{} cases:\n{}", broken.len(), broken.join("\n"));
}

/// `Ok` when the case is held, with the code of a GOAWAY that had another than it should; otherwise what was seen last.
async fn run(world: &World, case: &Case) -> Result<Option<u32>, String> {
    let mut frames = match case.opening {
        Opening::Nothing => Frames::dial(world.https, "shop.test").await,
        Opening::Handshake => Frames::handshake(world.https, "shop.test", &[]).await.0,
    };
    for step in &case.steps {
        let done: fn(&Frame) -> bool = match step {
            Step::Send(bytes) => {
                frames.write(bytes).await;
                continue;
            }
            Step::Answered => |frame| frame.stream == 1 && frame.ends_stream(),
            Step::Settled => |frame| frame.kind == SETTINGS && frame.is_ack(),
            Step::Data => |frame| frame.kind == DATA,
        };
        while !done(&frames.next().await.ok_or("the end of the connection, too early")?) {}
    }
    // A case that is not held would be waited for in vain: behind this PING nothing more can come of what was sent.
    // It is no part of the case, so a verdict that waits for the end of the connection does without.
    if !matches!(case.verdict, Verdict::Closed | Verdict::SettingsFirst) {
        frames.write(&ping(END)).await;
    }
    let mut seen = "nothing".to_owned();
    let mut pinged = 0;
    let mut code = None;
    loop {
        let Some(frame) = frames.next().await else {
            let closed = matches!(case.verdict, Verdict::Connection(_) | Verdict::Stream(_) | Verdict::Closed);
            return if closed { Ok(code) } else { Err(format!("{seen}, then the end of the connection")) };
        };
        match judge(&case.verdict, &frame) {
            Some(true) => return Ok(None),
            Some(false) => return Err(describe(&frame)),
            None => {}
        }
        if frame.kind == GOAWAY && !matches!(case.verdict, Verdict::Closed) {
            code = Some(frame.word(4)); // the wrong one; now the connection has to end
        }
        if frame.kind == PING && frame.payload == END {
            // What is answered by the backend comes later than what is answered here.
            pinged += 1;
            if pinged == PINGS {
                return Err(seen);
            }
            frames.write(&ping(END)).await;
        } else {
            seen = describe(&frame);
        }
    }
}

const END: &[u8; 8] = b"the end\0";
/// Round trips granted to a response from the backend.
const PINGS: usize = 5000;

/// Whether this frame decides the case, and how.
fn judge(verdict: &Verdict, frame: &Frame) -> Option<bool> {
    match (verdict, frame.kind) {
        (Verdict::Connection(codes) | Verdict::Stream(codes), GOAWAY) => codes.contains(&frame.word(4)).then_some(true),
        (Verdict::Stream(codes), RST_STREAM) => Some(codes.contains(&frame.word(0))),
        (Verdict::GoAway(code), GOAWAY) => Some(frame.word(4) == *code),
        (Verdict::Reset(code), RST_STREAM) => Some(frame.stream == 1 && frame.word(0) == *code),
        (Verdict::Answer, HEADERS) if frame.stream == 1 => Some(true),
        (Verdict::Data(length), DATA) => Some(length.is_none_or(|length| frame.payload.len() == length)),
        (Verdict::Pong(payload), PING) if frame.payload != END => Some(frame.is_ack() && frame.payload == payload),
        (Verdict::SettingsAck, SETTINGS) => frame.is_ack().then_some(true),
        (Verdict::SettingsFirst, kind) => Some(kind == SETTINGS && !frame.is_ack()),
        (Verdict::Closed, _) => None,
        (_, GOAWAY) => Some(false),
        _ => None,
    }
}

/// A frame in words, as [`EXCEPTIONS`] has it.
fn describe(frame: &Frame) -> String {
    match frame.kind {
        GOAWAY => format!("GOAWAY {}", frame.word(4)),
        RST_STREAM => format!("RST_STREAM {}", frame.word(0)),
        HEADERS => format!("status {}", frame.status()),
        DATA => format!("DATA of {}", frame.payload.len()),
        SETTINGS if frame.flags & ACK != 0 => "SETTINGS acknowledged".to_owned(),
        kind => format!("a frame of type {kind}"),
    }
}
