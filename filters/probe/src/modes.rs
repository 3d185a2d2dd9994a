//! What each value of the request header `x-probe` makes the probe do, and the state of the streams.
//!
//! A mode is `what` or `what-where`, for instance `reply-response_headers`: `what` is done in the callback `where`,
//! by default in `request_headers`. A stream that pauses asks for a tick, in which it is continued.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::edits;
use crate::host::{Out, raw, span};
use crate::line;
use crate::survey;

/// How long a paused stream waits for its tick.
const PAUSE_MS: u32 = 80;

/// One request.
#[derive(Clone, Default)]
struct Stream {
    /// What `x-probe` says before the first `-`.
    mode: String,
    /// The callback in which it is done.
    place: String,
    /// What `x-t-name` says: names what outlives the stream.
    name: String,
    /// The call out that is to continue this stream.
    call: Option<u32>,
    /// Which direction a tick is to continue.
    paused: Option<u32>,
}

/// All contexts of this VM.
#[derive(Default)]
pub struct Streams {
    /// The root context.
    pub root: u32,
    by_context: BTreeMap<u32, Stream>,
    call_waiting: u32,
}

thread_local! {
    /// The contexts; borrowed only between host calls, because a host call may need the allocator.
    pub static STREAMS: RefCell<Streams> = RefCell::default();
}

/// What a context is called in the log.
pub fn who(context: u32) -> &'static str {
    STREAMS.with_borrow(|streams| match context {
        context if context == streams.root => "root",
        context if streams.by_context.contains_key(&context) => "stream",
        _ => "unknown",
    })
}

fn stream(context: u32) -> Stream {
    STREAMS.with_borrow(|streams| streams.by_context.get(&context).cloned().unwrap_or_default())
}

fn change(context: u32, apply: impl FnOnce(&mut Stream)) {
    STREAMS.with_borrow_mut(|streams| apply(streams.by_context.entry(context).or_default()));
}

/// A callback that returns an action.
pub fn callback(context: u32, phase: &'static str, count: u32, end: Option<u32>) -> u32 {
    if phase == "request_headers" {
        open(context);
    }
    let stream = stream(context);
    let count = match phase {
        "request_body" | "response_body" if stream.mode == "over" => "masked",
        "request_body" | "response_body" => &count.to_string(),
        _ => line::some(count),
    };
    if stream.mode != "over" || end != Some(0) {
        line::write(&format!("{phase}({count},{})", end.map_or("-".to_owned(), |end| end.to_string())));
    }
    let action = act(context, &stream, phase, end);
    if action != 0 && stream.mode != "over" {
        line::write(&format!("{phase} returns {action}"));
    }
    action
}

/// Reads the mode of a new stream.
fn open(context: u32) {
    let read = |name: &str| {
        let (out, (at, length)) = (Out::new(), span(name.as_bytes()));
        raw::proxy_get_header_map_value(0, at, length, out.at(), out.at_second());
        String::from_utf8_lossy(&out.bytes().unwrap_or_default()).into_owned()
    };
    let (probe, name) = (read("x-probe"), read("x-t-name"));
    let (mode, place) = probe.split_once('-').unwrap_or((&probe, "request_headers"));
    change(context, |stream| {
        (stream.mode, stream.place, stream.name) = (mode.to_owned(), place.to_owned(), name);
    });
}

fn act(context: u32, stream: &Stream, phase: &'static str, end: Option<u32>) -> u32 {
    let response = phase.starts_with("response");
    let (buffer, headers) = if response { (1, 2) } else { (0, 0) };
    match stream.mode.as_str() {
        "info" => {
            survey::all(phase, &stream.name, context);
            return 0;
        }
        "whole" if phase.ends_with("_body") => return whole(phase, buffer, end),
        "over" if phase == "request_body" => return u32::from(end == Some(0)),
        "trailers" => return trailers(phase, end),
        "edit" if phase.ends_with("_headers") => {
            survey::edit(phase, headers, "remove", "content-length", "");
        }
        "grow" if phase.ends_with("_body") && end == Some(0) => {
            let status = raw::proxy_set_buffer_bytes(buffer, usize::MAX, 0, GROWTH.as_ptr() as usize, GROWTH.len());
            line::status(phase, "set_buffer(append 70000)", status);
        }
        _ => {}
    }
    if stream.place == phase { act_here(context, stream, phase) } else { 0 }
}

/// What a body grows by.
static GROWTH: [u8; 70_000] = [b'g'; 70_000];

fn act_here(context: u32, stream: &Stream, phase: &'static str) -> u32 {
    let direction = u32::from(phase.starts_with("response"));
    let (buffer, map) = (direction, 2 * direction);
    match stream.mode.as_str() {
        "reply" => edits::reply(phase, 403, "denied\n", &[("x-t-reply", "1"), ("x-t-reply", "2"), (":status", "201")]),
        "empty" => edits::reply(phase, 204, "", &[]),
        "twice" => {
            edits::reply(phase, 403, "first\n", &[]);
            edits::reply(phase, 404, "second\n", &[]);
        }
        "odd" => edits::reply(phase, 299, "odd\n", &[("content-type", "text/x-odd"), ("content-length", "999")]),
        "forever" => return 1,
        "pause" | "tick" => return paused(context, direction, 1),
        "action2" => return paused(context, direction, 2),
        "action3" => return paused(context, direction, 3),
        "action4" => return paused(context, direction, 4),
        "action7" => return paused(context, direction, 7),
        "callout" => return callout(context, phase, "callout", "/call"),
        "dead" => return callout(context, phase, "dead", "/call"),
        "slow" => return callout(context, phase, "callout", "/slow"),
        "late" => {
            callout(context, phase, "callout", "/call");
        }
        "close" => line::status(phase, "close_stream", raw::proxy_close_stream(direction)),
        "continue" => {
            for stream in 0..4 {
                let status = raw::proxy_continue_stream(stream);
                line::status(phase, &format!("continue_stream({stream})"), status);
            }
        }
        "trap" => trap(),
        "edit" if phase.ends_with("_body") => edits::body_forms(phase, buffer),
        "headers" => edits::headers(phase, map),
        "badheaders" => edits::bad_headers(phase, map),
        "split" => survey::edit(phase, map, "add", "x-t-crlf", "a\r\nx-t-split: 1"),
        "nul" => survey::edit(phase, map, "add", "x-t-nul", "a\0b"),
        "space" => survey::edit(phase, map, "add", "x-t spaced", "1"),
        "splitreply" => edits::reply(phase, 403, "split\n", &[("x-t-crlf", "a\r\nx-t-split: 1")]),
        "oddstatus" => edits::reply(phase, 99, "odd\n", &[]),
        "nopath" => survey::edit(phase, map, "remove", if map == 0 { ":path" } else { ":status" }, ""),
        "pairs" => edits::pairs(phase, map),
        "effective" => effective(phase, context),
        "queue" => {
            edits::enqueue(phase, &format!("queue-{}", stream.name));
            change(context, |stream| stream.paused = Some(direction));
            return 1;
        }
        _ => {}
    }
    0
}

/// Ends the guest.
fn trap() {
    line::write("trap");
    std::process::abort();
}

/// Asks for a tick that continues the stream and returns `action`.
fn paused(context: u32, direction: u32, action: u32) -> u32 {
    change(context, |stream| stream.paused = Some(direction));
    raw::proxy_set_tick_period_milliseconds(PAUSE_MS);
    action
}

fn callout(context: u32, phase: &str, upstream: &str, path: &str) -> u32 {
    let headers = [(":method", "POST"), (":path", path), (":authority", "callout.example"), ("x-t-call", "1")];
    let call = survey::call_out(phase, upstream, &headers, 150);
    change(context, |stream| stream.call = call);
    STREAMS.with_borrow_mut(|streams| streams.call_waiting = context);
    u32::from(call.is_some())
}

/// Holds a body until it is whole, then replaces it.
fn whole(phase: &str, buffer: u32, end: Option<u32>) -> u32 {
    if end == Some(0) {
        return 1;
    }
    survey::buffer(phase, buffer, 0, 100_000);
    edits::set_buffer(phase, buffer, 0, 0xffff_ffff, b"whole new body\n");
    0
}

fn trailers(phase: &'static str, end: Option<u32>) -> u32 {
    let map = if phase.starts_with("request") { 1 } else { 3 };
    if phase.ends_with("_trailers") {
        survey::map(phase, map);
        survey::edit(phase, map, "add", "x-t-added", phase);
        survey::edit(phase, map, "replace", "x-t-trailer", "replaced");
        survey::map(phase, map);
    } else if end == Some(1) {
        survey::map(phase, map);
        survey::edit(phase, map, "add", "x-t-added", phase);
        survey::map(phase, map);
    }
    0
}

fn effective(phase: &str, context: u32) {
    let root = STREAMS.with_borrow(|streams| streams.root);
    line::status(phase, "set_effective_context(root)", raw::proxy_set_effective_context(root));
    survey::header(phase, 0, ":path");
    survey::map(phase, 0);
    survey::edit(phase, 0, "add", "x-t-root", "1");
    edits::reply(phase, 418, "from the root\n", &[]);
    line::status(phase, "continue_stream(0)", raw::proxy_continue_stream(0));
    line::status(phase, "set_effective_context(stream)", raw::proxy_set_effective_context(context));
    survey::header(phase, 0, ":path");
}

/// The timer: continues what is paused, or surveys.
pub fn tick(context: u32) {
    let waiting: Vec<_> = STREAMS.with_borrow_mut(|streams| {
        let paused = streams.by_context.iter_mut().filter(|(_, stream)| stream.paused.is_some());
        paused.map(|(id, stream)| (*id, stream.paused.take().unwrap_or(0), stream.clone())).collect()
    });
    raw::proxy_set_tick_period_milliseconds(0);
    line::write(&format!("tick({})", who(context)));
    for (id, direction, stream) in waiting {
        if stream.mode == "tick" {
            survey::all("tick", &stream.name, context);
        }
        resume("tick", id, direction);
    }
}

/// Continues a stream from a callback of the root.
fn resume(phase: &str, context: u32, direction: u32) {
    line::status(phase, "set_effective_context(stream)", raw::proxy_set_effective_context(context));
    survey::map(phase, 2 * direction);
    survey::edit(phase, 2 * direction, "add", "x-t-resumed", phase);
    survey::buffer(phase, direction, 0, 100_000);
    line::status(phase, "continue_stream", raw::proxy_continue_stream(direction));
}

/// An answer to a call out.
pub fn call_response(context: u32, call: u32, [headers, body, trailers]: [u32; 3]) {
    let waiting = STREAMS.with_borrow(|streams| streams.call_waiting);
    let stream = stream(waiting);
    let known = stream.call == Some(call);
    let counts = format!("{},{body},{trailers}", line::some(headers));
    line::write(&format!("http_call_response({},{counts}), the stream is there: {known}", who(context)));
    survey::map("http_call_response", 6);
    survey::map("http_call_response", 7);
    survey::buffer("http_call_response", 4, 0, 100_000);
    if stream.mode == "callout" || stream.mode.is_empty() {
        survey::all("http_call_response", &format!("{}-call", stream.name), context);
    }
    if known {
        resume("http_call_response", waiting, u32::from(stream.place.starts_with("response")));
    }
}

/// A queue has something.
pub fn queue_ready(context: u32, queue: u32) {
    line::write(&format!("queue_ready({})", who(context)));
    let waiting = STREAMS.with_borrow_mut(|streams| {
        let mut paused = streams.by_context.iter_mut().filter(|(_, stream)| stream.mode == "queue");
        paused.find_map(|(id, stream)| Some((*id, stream.paused.take()?)))
    });
    while edits::dequeue("queue_ready", queue) {}
    if let Some((id, direction)) = waiting {
        resume("queue_ready", id, direction);
    }
}

/// The context is done; mode `notdone` says that it is not.
pub fn done(context: u32) -> u32 {
    let stream = stream(context);
    line::write(&format!("done({})", who(context)));
    end(context, &stream, "done");
    u32::from(stream.mode != "notdone")
}

/// The access log.
pub fn log(context: u32) {
    let stream = stream(context);
    line::write(&format!("log({})", who(context)));
    end(context, &stream, "log");
}

/// The end of the context.
pub fn delete(context: u32) {
    let stream = stream(context);
    line::write(&format!("delete({})", who(context)));
    end(context, &stream, "delete");
    STREAMS.with_borrow_mut(|streams| streams.by_context.remove(&context));
}

fn end(context: u32, stream: &Stream, phase: &'static str) {
    if stream.mode == "info" {
        survey::all(phase, &stream.name, context);
    } else if stream.place == phase {
        act_here(context, stream, phase);
    }
    if stream.mode == "notdone" && phase == "done" {
        line::status(phase, "done()", raw::proxy_done());
    }
}
