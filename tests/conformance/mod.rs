//! The usual conformance list for HTTP/2 servers (that of h2spec: 147 cases, strict), against the public port.
//!
//! A case is a line of a table: its number on the list, what is sent, and the verdict that holds it. Each is run on a
//! connection of its own, through the whole path to a backend. It refuses to pass over a case: what is not held is in
//! [`EXCEPTIONS`] with its reason, and fails the test as soon as it is held.

mod generic;
mod rfc7541;
mod rfc9113_3_4;
mod rfc9113_5;
mod rfc9113_6;
mod rfc9113_6_9;
mod rfc9113_8;

use crate::backend::Backend;
use crate::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, NO_ERROR, PING, RST_STREAM, SETTINGS, block,
    frame, headers,
};
use crate::world::{World, plan};

/// Cases that are not held: number, what is seen instead, and why it stays so.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

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

struct Case {
    number: &'static str,
    what: &'static str,
    /// Sent before the case by the connection itself.
    opening: Opening,
    steps: Vec<Step>,
    verdict: Verdict,
}

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

/// Runs a section of the list; every case of it must be held, or be an exception.
async fn hold(cases: Vec<Case>) {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut broken = Vec::new();
    for case in cases {
        let found = run(&world, &case).await;
        let exception = EXCEPTIONS.iter().find(|exception| exception.0 == case.number);
        let line = match (&found, exception) {
            (Ok(()), None) => continue,
            (Err(seen), Some((_, expected, _))) if seen == expected => continue,
            (Ok(()), Some(_)) => format!("{} {}: is held now; take it out of EXCEPTIONS", case.number, case.what),
            (Err(seen), _) => format!("{} {}: {:?}, but seen: {seen}", case.number, case.what, case.verdict),
        };
        broken.push(line);
    }
    assert!(broken.is_empty(), "{} cases:\n{}", broken.len(), broken.join("\n"));
}

/// `Ok` when the case is held; otherwise what was seen last.
async fn run(world: &World, case: &Case) -> Result<(), String> {
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
    loop {
        let Some(frame) = frames.next().await else {
            let closed = matches!(case.verdict, Verdict::Connection(_) | Verdict::Stream(_) | Verdict::Closed);
            return if closed { Ok(()) } else { Err(format!("{seen}, then the end of the connection")) };
        };
        if let Some(verdict) = judge(&case.verdict, &frame) {
            return if verdict { Ok(()) } else { Err(describe(&frame)) };
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
        (Verdict::Connection(codes) | Verdict::Stream(codes), GOAWAY) => Some(codes.contains(&frame.word(4))),
        (Verdict::Stream(codes), RST_STREAM) => Some(codes.contains(&frame.word(0))),
        (Verdict::GoAway(code), GOAWAY) => Some(frame.word(4) == *code),
        (Verdict::Reset(code), RST_STREAM) => Some(frame.stream == 1 && frame.word(0) == *code),
        (Verdict::Answer, HEADERS) if frame.stream == 1 => Some(true),
        (Verdict::Data(length), DATA) => Some(length.is_none_or(|length| frame.payload.len() == length)),
        (Verdict::Pong(payload), PING) if frame.payload != END => Some(frame.is_ack() && frame.payload == payload),
        (Verdict::SettingsAck, SETTINGS) => frame.is_ack().then_some(true),
        (Verdict::SettingsFirst, kind) => Some(kind == SETTINGS && !frame.is_ack()),
        (Verdict::Closed, _) => None,
        (_, GOAWAY) => (frame.word(4) != NO_ERROR).then_some(false),
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
