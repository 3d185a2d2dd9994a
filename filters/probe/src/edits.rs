//! The calls of the modes that have an effect: body edits, header edits, local responses, malformed maps.

use crate::host::{Out, raw, serialise, span};
use crate::line;
use crate::survey;

/// Changes a buffer, logs the status and what the buffer holds then.
pub fn set_buffer(phase: &str, buffer: u32, start: usize, size: usize, bytes: &[u8]) {
    let (at, length) = span(bytes);
    let status = raw::proxy_set_buffer_bytes(buffer, start, size, at, length);
    let shown = line::quoted(bytes);
    line::status(phase, &format!("set_buffer({buffer},{start},{size},{shown})"), status);
    survey::buffer(phase, buffer, 0, 100_000);
}

/// Every form of `set_buffer_bytes` the specification has.
pub fn body_forms(phase: &str, buffer: u32) {
    set_buffer(phase, buffer, 0, 0, b"PREPENDED-");
    set_buffer(phase, buffer, 0xffff_ffff, 0, b"-APPENDED");
    set_buffer(phase, buffer, 3, 0, b"<INJECTED>");
    set_buffer(phase, buffer, 0, 4, b"FRONT");
    set_buffer(phase, buffer, 2, 3, b"");
    set_buffer(phase, buffer, 2, 0xffff_ffff, b"<TAIL>");
    set_buffer(phase, buffer, 100_000, 5, b"+FAR");
    set_buffer(phase, buffer, 0, 0xffff_ffff, b"replaced whole ");
    set_buffer(phase, buffer, 0, 15, b"");
    set_buffer(phase, buffer, 0, 0, b"from nothing");
    set_buffer(phase, buffer, 0, 12, b"final body\n");
}

/// Every edit of a header map, with what it holds after each.
pub fn headers(phase: &str, map: u32) {
    survey::edit(phase, map, "add", "x-t-edit", "first");
    survey::edit(phase, map, "add", "X-T-Edit", "second");
    survey::edit(phase, map, "add", "x-t-empty", "");
    survey::map(phase, map);
    survey::header(phase, map, "X-T-EDIT");
    survey::edit(phase, map, "replace", "x-t-edit", "third");
    survey::edit(phase, map, "replace", "x-t-fresh", "replaced from nothing");
    survey::edit(phase, map, "remove", "x-t-one", "");
    survey::edit(phase, map, "remove", "x-t-none", "");
    survey::edit(phase, map, "add", "x-t-latin", "\u{e9} in UTF-8");
    survey::edit(phase, map, "replace", "x-t-empty", "no longer");
    survey::edit(phase, map, "add", "", "nameless");
    survey::map(phase, map);
    if map == 0 {
        survey::edit(phase, map, "replace", ":path", "/echo?rewritten=1");
        survey::edit(phase, map, "replace", ":authority", "rewritten.example");
        survey::edit(phase, map, "replace", ":method", "POST");
    } else {
        survey::edit(phase, map, "replace", ":status", "299");
    }
    survey::map(phase, map);
}

/// Header values that are no HTTP, one at a time, removed again.
pub fn bad_headers(phase: &str, map: u32) {
    for (name, value) in [("x-t-crlf", "a\r\nx-t-split: 1"), ("x-t-nul", "a\0b"), ("x-t sp", "1"), ("x-t-col:on", "1")]
    {
        survey::edit(phase, map, "add", name, value);
        survey::header(phase, map, name);
        survey::edit(phase, map, "remove", name, "");
    }
}

/// Replaces all pairs of a map.
pub fn set_pairs(phase: &str, map: u32, what: &str, bytes: &[u8]) {
    let (at, length) = span(bytes);
    line::status(phase, &format!("set_pairs({map},{what})"), raw::proxy_set_header_map_pairs(map, at, length));
    survey::map(phase, map);
}

/// Well-formed and malformed maps; the last one leaves a usable response.
pub fn pairs(phase: &str, map: u32) {
    let good = serialise(&[(":status", "200"), ("x-t-set", "1"), ("X-T-Set", "2"), ("content-type", "text/plain")]);
    set_pairs(phase, map, "good", &good);
    set_pairs(phase, map, "short", &good[..good.len() - 3]);
    set_pairs(phase, map, "good", &good);
    set_pairs(phase, map, "trailing byte", &[good.as_slice(), b"x"].concat());
    set_pairs(phase, map, "count too large", &[&[0xff, 0xff, 0xff, 0x7f], &good[4..]].concat());
    set_pairs(phase, map, "empty", b"");
    set_pairs(phase, map, "one zero byte", &[0]);
    set_pairs(phase, map, "count 0", &[0; 4]);
    set_pairs(phase, map, "good", &good);
}

/// Sends a local response and logs the status.
pub fn reply(phase: &str, status: u32, body: &str, headers: &[(&str, &str)]) {
    let headers = if headers.is_empty() { Vec::new() } else { serialise(headers) };
    let (details, body_span, (at, length)) = (span(b"probe says no"), span(body.as_bytes()), span(&headers));
    let returned =
        raw::proxy_send_local_response(status, details.0, details.1, body_span.0, body_span.1, at, length, -1);
    line::status(phase, &format!("send_local_response({status},{body:?})"), returned);
}

/// Puts two items into a queue of this root context, which is told so later; logs every status.
pub fn enqueue(phase: &str, name: &str) {
    let (id, (at, length)) = (Out::new(), span(name.as_bytes()));
    let status = raw::proxy_register_shared_queue(at, length, id.at());
    line::value(phase, "register_queue()", status, "<id>");
    let again = Out::new();
    let status = raw::proxy_register_shared_queue(at, length, again.at());
    line::value(phase, "register_queue(again)", status, &format!("the same: {}", again.number() == id.number()));
    let found = Out::new();
    let status = raw::proxy_resolve_shared_queue(0, 0, at, length, found.at());
    line::value(phase, "resolve_queue(own)", status, &format!("the same: {}", found.number() == id.number()));
    let (vm, vm_length) = span(b"another-vm");
    let status = raw::proxy_resolve_shared_queue(vm, vm_length, at, length, found.at());
    line::status(phase, "resolve_queue(another VM)", status);
    dequeue(phase, id.number());
    for item in ["first", ""] {
        let (at, length) = span(item.as_bytes());
        let status = raw::proxy_enqueue_shared_queue(id.number(), at, length);
        line::status(phase, &format!("enqueue({item:?})"), status);
    }
}

/// Takes one item from a queue; whether there was one.
pub fn dequeue(phase: &str, queue: u32) -> bool {
    let out = Out::new();
    let status = raw::proxy_dequeue_shared_queue(queue, out.at(), out.at_second());
    line::value(phase, "dequeue()", status, &line::returned(&out));
    status == 0
}
