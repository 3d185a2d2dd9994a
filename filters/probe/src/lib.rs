//! The ABI probe: a filter that calls every Proxy-Wasm host function in every phase and logs what came back.
//!
//! Run in Envoy and in Lockgate with the same requests (`envoy.py`), the two logs say where the hosts differ. The
//! request header `x-probe` names a mode (see `modes.rs`); without it only the callbacks themselves are logged.
//! It refuses to judge: an unexpected status is a line in the log, never a panic.
//!
//! ```text
//! callback (here) ──► line "phase(arguments)" ──► mode (modes.rs) ──► calls (survey.rs, edits.rs) ──► lines
//!                 ◄── line "phase returns N" ◄── action
//! ```

mod edits;
mod host;
mod line;
mod modes;
mod properties;
mod survey;
mod wasi_survey;

use modes::STREAMS;

/// Says which version of the ABI this module speaks; never called.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// A context came to be; parent 0 makes it a root.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent == 0 {
        line::write("start context_create(root,0)");
        STREAMS.with_borrow_mut(|streams| streams.root = context);
        survey::all("start-create", "root", context);
    } else {
        let known = STREAMS.with_borrow(|streams| streams.root == parent);
        line::write(&format!("context_create(stream,{})", if known { "root" } else { "unknown" }));
    }
}

/// The VM starts.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(context: u32, size: u32) -> u32 {
    line::write(&format!("start vm_start({},{size})", modes::who(context)));
    survey::all("start-vm", "root", context);
    1
}

/// The filter is configured.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(context: u32, size: u32) -> u32 {
    line::write(&format!("start configure({},{size})", modes::who(context)));
    survey::all("start-configure", "root", context);
    wasi_survey::all("start-configure");
    line::write("start complete");
    1
}

/// The timer of a root context fired.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_tick(context: u32) {
    modes::tick(context);
}

/// A stream, or the root, is about to end.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_done(context: u32) -> u32 {
    modes::done(context)
}

/// The stream's line in the access log is due.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(context: u32) {
    modes::log(context);
}

/// The context is gone.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(context: u32) {
    modes::delete(context);
}

/// Request headers are there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(context: u32, headers: u32, end: u32) -> u32 {
    modes::callback(context, "request_headers", headers, Some(end))
}

/// A piece of the request's body is there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_body(context: u32, size: u32, end: u32) -> u32 {
    modes::callback(context, "request_body", size, Some(end))
}

/// Request trailers are there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_trailers(context: u32, trailers: u32) -> u32 {
    modes::callback(context, "request_trailers", trailers, None)
}

/// Response headers are there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(context: u32, headers: u32, end: u32) -> u32 {
    modes::callback(context, "response_headers", headers, Some(end))
}

/// A piece of the response's body is there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_body(context: u32, size: u32, end: u32) -> u32 {
    modes::callback(context, "response_body", size, Some(end))
}

/// Response trailers are there.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_trailers(context: u32, trailers: u32) -> u32 {
    modes::callback(context, "response_trailers", trailers, None)
}

/// A call out was answered, or failed.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_http_call_response(context: u32, call: u32, headers: u32, body: u32, trailers: u32) {
    modes::call_response(context, call, [headers, body, trailers]);
}

/// Something was put into a queue of this root context.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_queue_ready(context: u32, queue: u32) {
    modes::queue_ready(context, queue);
}

/// Somebody called this filter's foreign function; no host of the comparison does.
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_foreign_function(context: u32, function: u32, size: u32) {
    line::write(&format!("foreign_function({},{function},{size})", modes::who(context)));
}
