//! Every host function once with good and once with bad arguments, without a lasting effect on the stream.
//!
//! Calls with an effect (continue, close, local response, calls out, body edits) are left to the modes, except
//! where bad arguments keep them from having one.

use crate::host::{Allocator, FAR, Out, allocations_since, allocator_is, raw, serialise, span};
use crate::line;
use crate::properties;

/// All of it. `key` keeps what outlives the stream (shared data, metrics) apart from other surveys.
pub fn all(phase: &str, key: &str, context: u32) {
    basics(phase);
    buffers(phase);
    maps(phase);
    properties::survey(phase);
    control(phase, context);
    calls(phase);
    shared_data(phase, &format!("{key}-{phase}"));
    queues(phase);
    metrics(phase, &format!("{key}-{phase}"));
    foreign(phase);
    allocation(phase);
}

fn basics(phase: &str) {
    line::status(phase, "log(level 9)", raw::proxy_log(9, b"x".as_ptr() as usize, 1));
    line::status(phase, "log(far)", raw::proxy_log(2, FAR, 8));
    line::status(phase, "log(length past the end)", raw::proxy_log(2, 16, usize::MAX));
    let out = Out::new();
    let status = raw::proxy_get_log_level(out.at());
    line::value(phase, "get_log_level()", status, &out.number().to_string());
    line::status(phase, "get_log_level(far)", raw::proxy_get_log_level(FAR));
    let out = Out::new();
    let status = raw::proxy_get_current_time_nanoseconds(out.at());
    let plausible = out.long() > 1_600_000_000_000_000_000 && out.long() < 4_000_000_000_000_000_000;
    line::value(phase, "get_current_time()", status, if plausible { "<time>" } else { "not a time" });
    line::status(phase, "get_current_time(far)", raw::proxy_get_current_time_nanoseconds(FAR));
    line::status(phase, "set_tick_period(0)", raw::proxy_set_tick_period_milliseconds(0));
    let out = Out::new();
    let status = raw::proxy_get_status(out.at(), out.at_second(), out.at_third());
    line::value(phase, "get_status()", status, &format!("{} {}:{}", out.number(), out.second(), out.third()));
    line::status(phase, "get_status(far)", raw::proxy_get_status(FAR, FAR, FAR));
}

/// Logs the bytes `get_buffer_bytes` gives.
pub fn buffer(phase: &str, buffer: u32, start: usize, max: usize) {
    let out = Out::new();
    let status = raw::proxy_get_buffer_bytes(buffer, start, max, out.at(), out.at_second());
    line::value(phase, &format!("get_buffer({buffer},{start},{max})"), status, &line::returned(&out));
}

fn buffers(phase: &str) {
    for number in 0..=9 {
        buffer(phase, number, 0, 100_000);
        let out = Out::new();
        let status = raw::proxy_get_buffer_status(number, out.at(), out.at_second());
        let value = format!("length {} flags {}", out.number(), out.second());
        line::value(phase, &format!("get_buffer_status({number})"), status, &value);
    }
    buffer(phase, 0, 1, 3);
    buffer(phase, 7, 1, 3);
    buffer(phase, 7, 9999, 3);
    buffer(phase, 7, 4, 0);
    buffer(phase, 7, 2, usize::MAX);
    line::status(phase, "get_buffer(7,far)", raw::proxy_get_buffer_bytes(7, 0, 100, FAR, FAR));
    line::status(phase, "get_buffer_status(0,far)", raw::proxy_get_buffer_status(0, FAR, FAR));
    for number in [0, 1, 4, 6, 7, 8, 9] {
        let status = raw::proxy_set_buffer_bytes(number, 0, 0, 0, 0);
        line::status(phase, &format!("set_buffer({number},0,0,empty)"), status);
    }
    line::status(phase, "set_buffer(0,0,0,far)", raw::proxy_set_buffer_bytes(0, 0, 0, FAR, 4));
}

/// Logs the pairs of a map.
pub fn map(phase: &str, map: u32) {
    let out = Out::new();
    let status = raw::proxy_get_header_map_pairs(map, out.at(), out.at_second());
    let value = match (out.number(), out.second()) {
        (0, 0) => "empty".to_owned(),
        _ => out.bytes().map_or_else(|| line::returned(&out), |bytes| line::pairs(&bytes)),
    };
    line::value(phase, &format!("get_pairs({map})"), status, &value);
}

/// Logs one value of a map.
pub fn header(phase: &str, map: u32, name: &str) {
    let out = Out::new();
    let (at, length) = span(name.as_bytes());
    let status = raw::proxy_get_header_map_value(map, at, length, out.at(), out.at_second());
    line::value(phase, &format!("get_value({map},{name:?})"), status, &line::returned(&out));
}

/// Adds, replaces or removes (value `None`) a header and logs the status.
pub fn edit(phase: &str, map: u32, how: &str, name: &str, value: &str) {
    let ((key, key_length), (at, length)) = (span(name.as_bytes()), span(value.as_bytes()));
    let status = match how {
        "add" => raw::proxy_add_header_map_value(map, key, key_length, at, length),
        "replace" => raw::proxy_replace_header_map_value(map, key, key_length, at, length),
        _ => raw::proxy_remove_header_map_value(map, key, key_length),
    };
    line::status(phase, &format!("{how}({map},{name:?},{value:?})"), status);
}

fn maps(phase: &str) {
    for number in 0..=8 {
        map(phase, number);
        let out = Out::new();
        let status = raw::proxy_get_header_map_size(number, out.at());
        line::value(phase, &format!("get_map_size({number})"), status, line::some(out.number()));
        header(phase, number, "x-t-none");
    }
    for name in [":path", ":METHOD", ":status", "X-T-One", "x-t-empty", "x-t-latin", ""] {
        header(phase, 0, name);
    }
    header(phase, 2, ":status");
    for number in [0, 1, 2, 3, 6] {
        edit(phase, number, "add", "x-t-survey", "1");
        edit(phase, number, "add", "X-T-Survey", "2");
        header(phase, number, "x-t-survey");
        edit(phase, number, "replace", "x-t-survey", "3");
        header(phase, number, "x-t-survey");
        edit(phase, number, "remove", "x-t-survey", "");
        edit(phase, number, "remove", "x-t-survey", "");
        header(phase, number, "x-t-survey");
    }
    line::status(phase, "get_pairs(0,far)", raw::proxy_get_header_map_pairs(0, FAR, FAR));
    line::status(phase, "get_map_size(0,far)", raw::proxy_get_header_map_size(0, FAR));
    let out = Out::new();
    let status = raw::proxy_get_header_map_value(0, FAR, 5, out.at(), out.at_second());
    line::value(phase, "get_value(0,far)", status, &line::returned(&out));
    let (at, length) = span(b":path");
    line::status(phase, "get_value(0,:path,far)", raw::proxy_get_header_map_value(0, at, length, FAR, FAR));
    line::status(phase, "add(0,far)", raw::proxy_add_header_map_value(0, FAR, 4, FAR, 4));
    line::status(phase, "replace(0,far)", raw::proxy_replace_header_map_value(0, FAR, 4, FAR, 4));
    line::status(phase, "remove(0,far)", raw::proxy_remove_header_map_value(0, FAR, 4));
    line::status(phase, "set_pairs(0,far)", raw::proxy_set_header_map_pairs(0, FAR, 40));
}

fn control(phase: &str, context: u32) {
    line::status(phase, "continue_stream(9)", raw::proxy_continue_stream(9));
    line::status(phase, "close_stream(9)", raw::proxy_close_stream(9));
    line::status(phase, "set_effective_context(unknown)", raw::proxy_set_effective_context(999_999));
    line::status(phase, "set_effective_context(0)", raw::proxy_set_effective_context(0));
    line::status(phase, "set_effective_context(self)", raw::proxy_set_effective_context(context));
    if phase != "done" {
        line::status(phase, "done()", raw::proxy_done());
    }
    let status = raw::proxy_send_local_response(200, FAR, 4, FAR, 4, FAR, 4, -1);
    line::status(phase, "send_local_response(far)", status);
}

/// Makes a call out and logs the status; the call's id if it was accepted.
pub fn call_out(phase: &str, upstream: &str, headers: &[(&str, &str)], timeout_ms: u32) -> Option<u32> {
    let out = Out::new();
    let headers = serialise(headers);
    let ((up, up_length), (at, length)) = (span(upstream.as_bytes()), span(&headers));
    let (body, body_length) = span(b"question");
    let status = raw::proxy_http_call(up, up_length, at, length, body, body_length, 0, 0, timeout_ms, out.at());
    line::value(phase, &format!("http_call({upstream:?},{timeout_ms} ms)"), status, "<call>");
    (status == 0).then(|| out.number())
}

fn calls(phase: &str) {
    let complete = [(":method", "GET"), (":path", "/call"), (":authority", "callout")];
    call_out(phase, "no-such-upstream", &complete, 100);
    call_out(phase, "", &complete, 100);
    for missing in 0..complete.len() {
        let rest: Vec<_> = complete.iter().filter(|pair| **pair != complete[missing]).copied().collect();
        line::write(&format!("{phase} the next call lacks {}", complete[missing].0));
        call_out(phase, "callout", &rest, 100);
    }
    let (at, length) = span(b"callout");
    let status = raw::proxy_http_call(at, length, FAR, 30, 0, 0, 0, 0, 100, Out::new().at());
    line::status(phase, "http_call(headers far)", status);
    let status = raw::proxy_http_call(at, length, at, length, 0, 0, 0, 0, 100, Out::new().at());
    line::status(phase, "http_call(headers malformed)", status);
    let headers = serialise(&complete);
    let (pairs, pairs_length) = span(&headers);
    let status = raw::proxy_http_call(at, length, pairs, pairs_length, 0, 0, 0, 0, 100, FAR);
    line::status(phase, "http_call(call id far)", status);
    let (id, name) = (Out::new(), span(b"no-such-upstream"));
    let status = raw::proxy_grpc_call(name.0, name.1, at, length, at, length, 0, 0, 0, 0, 100, id.at());
    line::status(phase, "grpc_call(unknown)", status);
    let status = raw::proxy_grpc_stream(name.0, name.1, at, length, at, length, 0, 0, id.at());
    line::status(phase, "grpc_stream(unknown)", status);
    line::status(phase, "grpc_send(bad id)", raw::proxy_grpc_send(4000, at, length, 1));
    line::status(phase, "grpc_send(unknown stream)", raw::proxy_grpc_send(4002, at, length, 1));
    line::status(phase, "grpc_cancel(unknown)", raw::proxy_grpc_cancel(4001));
    line::status(phase, "grpc_close(unknown)", raw::proxy_grpc_close(4002));
}

/// Sets a shared value and logs the status.
fn share(phase: &str, call: &str, key: &str, cas: u32) {
    let ((at, length), (value, value_length)) = (span(key.as_bytes()), span(b"value"));
    line::status(phase, call, raw::proxy_set_shared_data(at, length, value, value_length, cas));
}

/// Reads a shared value, logs it and returns its cas.
fn shared(phase: &str, call: &str, key: &str) -> u32 {
    let (out, (at, length)) = (Out::new(), span(key.as_bytes()));
    let status = raw::proxy_get_shared_data(at, length, out.at(), out.at_second(), out.at_third());
    line::value(phase, call, status, &line::returned(&out));
    out.third()
}

fn shared_data(phase: &str, key: &str) {
    shared(phase, "get_shared(missing)", "no-such-key");
    line::status(phase, "get_shared(far)", raw::proxy_get_shared_data(FAR, 3, FAR, FAR, FAR));
    line::status(phase, "set_shared(far)", raw::proxy_set_shared_data(FAR, 3, FAR, 3, 0));
    if phase.starts_with("start") {
        return; // the values of an earlier VM may still be there
    }
    share(phase, "set_shared(new, cas 7777)", &format!("{key}-cas"), 7777);
    share(phase, "set_shared(new, cas 0)", key, 0);
    let before = shared(phase, "get_shared()", key);
    share(phase, "set_shared(wrong cas)", key, before.wrapping_add(1000));
    share(phase, "set_shared(right cas)", key, before);
    let after = shared(phase, "get_shared()", key);
    share(phase, "set_shared(old cas)", key, before);
    line::write(&format!("{phase} cas grew: {}", after > before));
    let (at, length) = span(key.as_bytes());
    line::status(phase, "set_shared(empty value)", raw::proxy_set_shared_data(at, length, 0, 0, 0));
    shared(phase, "get_shared(empty value)", key);
}

fn queues(phase: &str) {
    let (id, name) = (Out::new(), span(b"no-such-queue"));
    line::status(phase, "resolve_queue(unknown)", raw::proxy_resolve_shared_queue(0, 0, name.0, name.1, id.at()));
    line::status(phase, "resolve_queue(far)", raw::proxy_resolve_shared_queue(FAR, 4, FAR, 4, id.at()));
    line::status(phase, "register_queue(far)", raw::proxy_register_shared_queue(FAR, 4, id.at()));
    line::status(phase, "enqueue(unknown)", raw::proxy_enqueue_shared_queue(4000, name.0, name.1));
    let out = Out::new();
    line::status(phase, "dequeue(unknown)", raw::proxy_dequeue_shared_queue(4000, out.at(), out.at_second()));
}

fn metrics(phase: &str, key: &str) {
    let out = Out::new();
    let (at, length) = span(b"odd");
    line::status(phase, "define_metric(kind 3)", raw::proxy_define_metric(3, at, length, out.at()));
    line::status(phase, "define_metric(far)", raw::proxy_define_metric(0, FAR, 4, out.at()));
    for unknown in 40_000..40_004 {
        // Envoy has the kind in the two lowest bits.
        line::status(phase, &format!("increment_metric({unknown})"), raw::proxy_increment_metric(unknown, 1));
        line::status(phase, &format!("record_metric({unknown})"), raw::proxy_record_metric(unknown, 1));
        line::status(phase, &format!("get_metric({unknown})"), raw::proxy_get_metric(unknown, out.at()));
    }
    if phase.starts_with("start") {
        return; // metrics outlive VMs
    }
    for (kind, name) in [(0, "counter"), (1, "gauge"), (2, "histogram")] {
        let (id, full) = (Out::new(), format!("{name}-{key}"));
        let (at, length) = span(full.as_bytes());
        let status = raw::proxy_define_metric(kind, at, length, id.at());
        line::value(phase, &format!("define_metric({name})"), status, "<id>");
        let id = id.number();
        line::status(phase, &format!("increment_metric({name},3)"), raw::proxy_increment_metric(id, 3));
        line::status(phase, &format!("increment_metric({name},0)"), raw::proxy_increment_metric(id, 0));
        line::status(phase, &format!("increment_metric({name},-1)"), raw::proxy_increment_metric(id, -1));
        line::status(phase, &format!("record_metric({name},5)"), raw::proxy_record_metric(id, 5));
        let out = Out::new();
        let status = raw::proxy_get_metric(id, out.at());
        line::value(phase, &format!("get_metric({name})"), status, &out.long().to_string());
    }
}

fn foreign(phase: &str) {
    let (at, length) = span(b"no_such_function");
    let out = Out::new();
    let status = raw::proxy_call_foreign_function(at, length, 0, 0, out.at(), out.at_second());
    line::status(phase, "foreign(unknown)", status);
    line::status(phase, "foreign(unknown, no result)", raw::proxy_call_foreign_function(at, length, 0, 0, 0, 0));
    let status = raw::proxy_call_foreign_function(FAR, 4, 0, 0, out.at(), out.at_second());
    line::status(phase, "foreign(far)", status);
}

fn allocation(phase: &str) {
    let (at, length) = span(b"plugin_name");
    for (behaviour, name) in [(Allocator::Refuses, "refuses"), (Allocator::Lies, "lies")] {
        allocator_is(behaviour);
        let status = raw::proxy_get_property(at, length, Out::new().at(), Out::new().at());
        allocator_is(Allocator::Honest);
        line::status(phase, &format!("get_property(plugin_name), the allocator {name}"), status);
    }
    allocations_since();
    let out = Out::new();
    raw::proxy_get_property(at, length, out.at(), out.at_second());
    drop(out.bytes());
    line::write(&format!("{phase} allocations for one value: {}", allocations_since()));
    let (at, length) = span(b"connection\0requested_server_name");
    raw::proxy_get_property(at, length, out.at(), out.at_second());
    drop(out.bytes());
    line::write(&format!("{phase} allocations for an empty value: {}", allocations_since()));
}
