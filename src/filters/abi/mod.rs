//! The functions a guest may call: Proxy-Wasm 0.1.0 to 0.2.1 under `env`, and the WASI subset.
//!
//! ```text
//!   guest ─▶ row of HOST_FUNCTIONS ─▶ function of a file here ─▶ State, the guest's memory ─▶ status
//! ```
//!
//! Section numbers in this directory are those of the Proxy-Wasm specification's summary kept with the
//! design notes. No function calls back into the guest, except its allocator: what would is an
//! [`Effect`](super::state::Effect). Every function is linked whatever version a module announces,
//! because the names do not collide.

mod buffers;
mod calls;
mod commons;
mod control;
mod foreign;
mod log;
mod maps;
mod memory;
mod metrics;
pub mod pairs;
mod properties;
mod wasi;

use std::time::Instant;

use wasmtime::{Caller, Linker};

use super::observe::HostCall;
use super::state::{Phase, State};
use super::status::Status;

pub(super) use wasi::Exited;

/// A host call in progress.
pub(super) type Cx<'a> = Caller<'a, State>;

/// How a host call fails.
pub(super) enum Fail {
    /// With a status.
    Status(Status),
    /// With a trap of the guest: its allocator, or `proc_exit`.
    Trap(wasmtime::Error),
}

/// `Ok` answers `OK`.
pub(super) type Outcome = Result<(), Fail>;

impl From<Status> for Fail {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// A row of the reference in `docs/filters.md`.
pub struct HostFunction {
    /// The name under `env`.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [&'static str],
    /// What it does.
    pub meaning: &'static str,
}

/// Declares the host functions: what the guest sees, which function does it, and the reference.
macro_rules! host_functions {
    ($( $(#[doc = $meaning:literal])+ $name:ident($($parameter:ident: $type:ty),*) => $function:path; )*) => {
        /// Every function under `env`, in the order of the reference.
        pub const HOST_FUNCTIONS: &[HostFunction] = &[$(
            HostFunction {
                name: stringify!($name),
                parameters: &[$(stringify!($parameter)),*],
                meaning: concat!($($meaning),+),
            },
        )*];

        fn link_host(linker: &mut Linker<State>) -> wasmtime::Result<()> {
            $(
                linker.func_wrap("env", stringify!($name), |mut cx: Cx<'_>, $($parameter: $type),*| {
                    watched(&mut cx, stringify!($name), |cx| $function(cx, $($parameter),*))
                })?;
            )*
            Ok(())
        }
    };
}

host_functions! {
    /// Writes a line to the log; level 0 (trace) to 5 (critical).
    proxy_log(level: u32, message: u32, message_size: u32) => log::line;
    /// The level below which lines are dropped.
    proxy_get_log_level(out_level: u32) => log::level;
    /// Unix time in nanoseconds.
    proxy_get_current_time_nanoseconds(out_time: u32) => log::time;
    /// Calls `proxy_on_tick` every so often; 0 stops it. One timer per root context.
    proxy_set_tick_period_milliseconds(period: u32) => log::tick;
    /// Bytes of a buffer from `start`, at most `max_size`.
    proxy_get_buffer_bytes(buffer: u32, start: u32, max_size: u32, out_bytes: u32, out_size: u32) => buffers::read;
    /// Exchanges `size` bytes at `start` of a body for others; beyond the end appends.
    proxy_set_buffer_bytes(buffer: u32, start: u32, size: u32, bytes: u32, bytes_size: u32) => buffers::write;
    /// The length of a buffer; flags are always 0.
    proxy_get_buffer_status(buffer: u32, out_length: u32, out_flags: u32) => buffers::status;
    /// Bytes that all pairs of a map take when serialised.
    proxy_get_header_map_size(map: u32, out_size: u32) => maps::size;
    /// All pairs of a map, pseudo-headers first.
    proxy_get_header_map_pairs(map: u32, out_pairs: u32, out_size: u32) => maps::pairs;
    /// Exchanges all pairs of a map.
    proxy_set_header_map_pairs(map: u32, pairs: u32, pairs_size: u32) => maps::set_pairs;
    /// The first value of a name.
    proxy_get_header_map_value(map: u32, key: u32, key_size: u32, out_value: u32, out_size: u32) => maps::value;
    /// Appends a pair.
    proxy_add_header_map_value(map: u32, key: u32, key_size: u32, value: u32, value_size: u32) => maps::add;
    /// Removes all values of a name and appends one.
    proxy_replace_header_map_value(map: u32, key: u32, key_size: u32, value: u32, value_size: u32) => maps::replace;
    /// Removes all values of a name.
    proxy_remove_header_map_value(map: u32, key: u32, key_size: u32) => maps::remove;
    /// A property, by its path (parts joined by NUL).
    proxy_get_property(path: u32, path_size: u32, out_value: u32, out_size: u32) => properties::read;
    /// Keeps a property for the filters behind this one, under a path of one part.
    proxy_set_property(path: u32, path_size: u32, value: u32, value_size: u32) => properties::write;
    /// Lets a paused request (0) or response (1) go on, after this callback.
    proxy_continue_stream(stream: u32) => control::continue_stream;
    /// Ends a request (0) or response (1), after this callback.
    proxy_close_stream(stream: u32) => control::close_stream;
    /// 0.1.0: lets a paused request go on.
    proxy_continue_request() => control::continue_request;
    /// 0.1.0: lets a paused response go on.
    proxy_continue_response() => control::continue_response;
    /// 0.1.0: does nothing; routes are chosen before filters run.
    proxy_clear_route_cache() => control::clear_route_cache;
    /// 0.1.0: the configuration of the VM while it starts, of the plugin afterwards.
    proxy_get_configuration(out_bytes: u32, out_size: u32) => buffers::configuration;
    /// Answers the request itself, after this callback.
    proxy_send_local_response(status: u32, details: u32, details_size: u32, body: u32, body_size: u32,
        headers: u32, headers_size: u32, grpc_status: i32) => control::send_local_response;
    /// The status of the last call out: 0 and an empty message.
    proxy_get_status(out_code: u32, out_message: u32, out_size: u32) => control::status;
    /// Makes the host calls of this callback act on another context of this VM.
    proxy_set_effective_context(context: u32) => control::set_effective_context;
    /// Ends a root context whose `proxy_on_done` answered 0.
    proxy_done() => control::done;
    /// Calls an upstream of the configuration; the answer comes by `proxy_on_http_call_response`.
    proxy_http_call(upstream: u32, upstream_size: u32, headers: u32, headers_size: u32, body: u32, body_size: u32,
        trailers: u32, trailers_size: u32, timeout: u32, out_call: u32) => calls::http_call;
    /// Not done here: `INTERNAL_FAILURE`.
    proxy_grpc_call(upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout: u32, out_call: u32)
        => calls::grpc_call;
    /// Not done here: `INTERNAL_FAILURE`.
    proxy_grpc_stream(upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32,
        method_size: u32, metadata: u32, metadata_size: u32, out_stream: u32) => calls::grpc_stream;
    /// Not done here: there is no such stream.
    proxy_grpc_send(stream: u32, message: u32, message_size: u32, end_of_stream: u32) => calls::grpc_send;
    /// Not done here: there is no such call.
    proxy_grpc_cancel(call: u32) => calls::grpc_end;
    /// Not done here: there is no such call.
    proxy_grpc_close(call: u32) => calls::grpc_end;
    /// A value shared by all VMs of this filter, and its cas.
    proxy_get_shared_data(key: u32, key_size: u32, out_value: u32, out_size: u32, out_cas: u32) => commons::read;
    /// Stores a shared value if its cas is still this one; cas 0 stores in any case.
    proxy_set_shared_data(key: u32, key_size: u32, value: u32, value_size: u32, cas: u32) => commons::write;
    /// Makes a queue, whose items are told to this filter by `proxy_on_queue_ready`.
    proxy_register_shared_queue(name: u32, name_size: u32, out_queue: u32) => commons::register;
    /// Finds a queue of this filter by its name.
    proxy_resolve_shared_queue(vm: u32, vm_size: u32, name: u32, name_size: u32, out_queue: u32) => commons::resolve;
    /// Puts an item into a queue.
    proxy_enqueue_shared_queue(queue: u32, item: u32, item_size: u32) => commons::enqueue;
    /// Takes the oldest item out of a queue.
    proxy_dequeue_shared_queue(queue: u32, out_item: u32, out_size: u32) => commons::dequeue;
    /// Makes a counter (0), gauge (1) or histogram (2), shown as `lockgate_filter_custom_<name>`.
    proxy_define_metric(kind: u32, name: u32, name_size: u32, out_metric: u32) => metrics::define;
    /// Adds to a counter or gauge.
    proxy_increment_metric(metric: u32, by: i64) => metrics::increment;
    /// Sets a gauge, adds to a counter, observes in a histogram.
    proxy_record_metric(metric: u32, value: i64) => metrics::record;
    /// The value of a counter or gauge.
    proxy_get_metric(metric: u32, out_value: u32) => metrics::value;
    /// Calls an extension of the host by its name.
    proxy_call_foreign_function(name: u32, name_size: u32, arguments: u32, arguments_size: u32, out_result: u32,
        out_size: u32) => foreign::call;
}

/// The reference of `docs/filters.md`, in Markdown.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::from("| call | does |\n|---|---|\n");
    for HostFunction { name, parameters, meaning } in HOST_FUNCTIONS {
        text.push_str(&format!("| `{name}({})` |{meaning} |\n", parameters.join(", ")));
    }
    text
}

/// Links every function of the host.
///
/// # Errors
/// A name used twice: a mistake of this directory.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_host(linker)?;
    // Emscripten tells when its memory has grown, and old builds compare threads.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    linker.func_wrap("env", "pthread_equal", |one: u32, other: u32| u32::from(one == other))?;
    linker.func_wrap("env", "abort", log::abort)?;
    wasi::link(linker)
}

/// Runs a host call, notes it, and shows it to whoever watches.
fn watched(cx: &mut Cx<'_>, name: &'static str, call: impl FnOnce(&mut Cx<'_>) -> Outcome) -> wasmtime::Result<u32> {
    let state = cx.data_mut();
    match state.phase {
        // ABI, 7: while libraries initialise there is no context to act on; and the allocator is in
        // the middle of a host call already.
        Phase::Initialize | Phase::Allocate if name != "proxy_log" => {
            let when = if state.phase == Phase::Allocate { "its allocator runs" } else { "it initialises" };
            return Err(wasmtime::Error::msg(format!("{name} was called while {when}; only proxy_log may be")));
        }
        _ => {}
    }
    let traced = state.observer.as_ref().is_some_and(|observer| observer.traces()).then(Instant::now);
    let status = match call(cx) {
        Ok(()) => Status::Ok as u32,
        Err(Fail::Status(status)) => status as u32,
        Err(Fail::Trap(trap)) => return Err(trap),
    };
    let state = cx.data_mut();
    state.note(name, status);
    if let (Some(began), Some(observer)) = (traced, &state.observer) {
        let (about, bytes) = (std::mem::take(&mut state.about), std::mem::take(&mut state.moved));
        observer.host_call(HostCall { name, about, status, bytes, took: began.elapsed() });
    }
    Ok(status)
}

/// Tells an observer what a call is about; costs a branch when nobody watches.
fn about(cx: &mut Cx<'_>, text: impl FnOnce() -> String) {
    let state = cx.data_mut();
    if state.observer.as_ref().is_some_and(|observer| observer.traces()) {
        state.about = text();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ABI, 3: the parameter counts of the specification.
    #[test]
    fn abi_3_every_function_has_its_parameters() {
        let counts = "log 3 get_log_level 1 get_current_time_nanoseconds 1 set_tick_period_milliseconds 1 \
            get_buffer_bytes 5 set_buffer_bytes 5 get_buffer_status 3 get_header_map_size 2 get_header_map_pairs 3 \
            set_header_map_pairs 3 get_header_map_value 5 add_header_map_value 5 replace_header_map_value 5 \
            remove_header_map_value 3 get_property 4 set_property 4 continue_stream 1 close_stream 1 \
            continue_request 0 continue_response 0 clear_route_cache 0 get_configuration 2 send_local_response 8 \
            get_status 3 set_effective_context 1 done 0 http_call 10 grpc_call 12 grpc_stream 9 grpc_send 4 \
            grpc_cancel 1 grpc_close 1 get_shared_data 5 set_shared_data 5 register_shared_queue 3 \
            resolve_shared_queue 5 enqueue_shared_queue 3 dequeue_shared_queue 3 define_metric 4 increment_metric 2 \
            record_metric 2 get_metric 2 call_foreign_function 6";
        let ours: Vec<String> = HOST_FUNCTIONS
            .iter()
            .map(|function| format!("{} {}", function.name.trim_start_matches("proxy_"), function.parameters.len()))
            .collect();
        assert_eq!(ours.join(" "), counts.split_whitespace().collect::<Vec<_>>().join(" "));
    }
}
