//! The host functions as imports, and thin wrappers that take slices and return a status with a value.
//!
//! No SDK: an SDK panics on a status it does not expect, and the probe is here to see those. Nothing is
//! interpreted or retried; an out-parameter the host did not write keeps [`UNWRITTEN`], so that it can be told
//! from a zero.

use std::cell::Cell;

/// What out-parameters hold before a call.
pub const UNWRITTEN: u32 = 0x5555_5555;

/// An address outside every memory the probe can have.
pub const FAR: usize = 0xffff_0000;

/// How the allocator answers the host's next request for memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Allocator {
    /// As asked.
    Honest,
    /// With address 0, which means failure.
    Refuses,
    /// With an address outside the memory.
    Lies,
}

thread_local! {
    static ALLOCATOR: Cell<Allocator> = const { Cell::new(Allocator::Honest) };
    static ALLOCATIONS: Cell<u32> = const { Cell::new(0) };
}

/// Sets the behaviour of the allocator from now on.
pub fn allocator_is(behaviour: Allocator) {
    ALLOCATOR.set(behaviour);
}

/// How often the host asked for memory since the last call of this function.
pub fn allocations_since() -> u32 {
    ALLOCATIONS.replace(0)
}

/// Memory for bytes the host returns; taken back by [`Out::bytes`].
// SAFETY: the name is the ABI's own; nothing else in this module exports it.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> usize {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    match ALLOCATOR.get() {
        Allocator::Honest => Box::leak(vec![0u8; size].into_boxed_slice()).as_mut_ptr() as usize,
        Allocator::Refuses => 0,
        Allocator::Lies => FAR,
    }
}

macro_rules! imports {
    ($module:literal: $($name:ident($($parameter:ident: $type:ty),*);)*) => {
        #[link(wasm_import_module = $module)]
        // SAFETY: numbers in, a number out; the host checks every address it is given.
        unsafe extern "C" { $(pub safe fn $name($($parameter: $type),*) -> u32;)* }
    };
}

/// The imports. Safe to call: the host checks every address it is given, and where it is given a good one, it
/// belongs to an [`Out`] or is only read.
pub mod raw {
    imports! { "env":
        proxy_log(level: u32, text: usize, length: usize);
        proxy_get_log_level(level: usize);
        proxy_get_current_time_nanoseconds(time: usize);
        proxy_set_tick_period_milliseconds(period: u32);
        proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, bytes: usize, length: usize);
        proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, bytes: usize, length: usize);
        proxy_get_buffer_status(buffer: u32, length: usize, flags: usize);
        proxy_get_header_map_size(map: u32, size: usize);
        proxy_get_header_map_pairs(map: u32, bytes: usize, length: usize);
        proxy_set_header_map_pairs(map: u32, bytes: usize, length: usize);
        proxy_get_header_map_value(map: u32, key: usize, key_length: usize, bytes: usize, length: usize);
        proxy_add_header_map_value(map: u32, key: usize, key_length: usize, value: usize, length: usize);
        proxy_replace_header_map_value(map: u32, key: usize, key_length: usize, value: usize, length: usize);
        proxy_remove_header_map_value(map: u32, key: usize, key_length: usize);
        proxy_get_property(path: usize, path_length: usize, bytes: usize, length: usize);
        proxy_set_property(path: usize, path_length: usize, value: usize, length: usize);
        proxy_continue_stream(stream: u32);
        proxy_close_stream(stream: u32);
        proxy_send_local_response(status: u32, details: usize, details_length: usize, body: usize, body_length: usize,
            headers: usize, headers_length: usize, grpc_status: i32);
        proxy_get_status(code: usize, bytes: usize, length: usize);
        proxy_set_effective_context(context: u32);
        proxy_done();
        proxy_http_call(upstream: usize, upstream_length: usize, headers: usize, headers_length: usize, body: usize,
            body_length: usize, trailers: usize, trailers_length: usize, timeout: u32, call: usize);
        proxy_grpc_call(upstream: usize, upstream_length: usize, service: usize, service_length: usize, method: usize,
            method_length: usize, metadata: usize, metadata_length: usize, message: usize, message_length: usize,
            timeout: u32, call: usize);
        proxy_grpc_stream(upstream: usize, upstream_length: usize, service: usize, service_length: usize,
            method: usize, method_length: usize, metadata: usize, metadata_length: usize, stream: usize);
        proxy_grpc_send(stream: u32, message: usize, length: usize, end: u32);
        proxy_grpc_cancel(call: u32);
        proxy_grpc_close(call: u32);
        proxy_get_shared_data(key: usize, key_length: usize, bytes: usize, length: usize, cas: usize);
        proxy_set_shared_data(key: usize, key_length: usize, value: usize, length: usize, cas: u32);
        proxy_register_shared_queue(name: usize, length: usize, queue: usize);
        proxy_resolve_shared_queue(vm: usize, vm_length: usize, name: usize, length: usize, queue: usize);
        proxy_enqueue_shared_queue(queue: u32, bytes: usize, length: usize);
        proxy_dequeue_shared_queue(queue: u32, bytes: usize, length: usize);
        proxy_define_metric(kind: u32, name: usize, length: usize, metric: usize);
        proxy_increment_metric(metric: u32, delta: i64);
        proxy_record_metric(metric: u32, value: u64);
        proxy_get_metric(metric: u32, value: usize);
        proxy_call_foreign_function(name: usize, name_length: usize, arguments: usize, arguments_length: usize,
            bytes: usize, length: usize);
    }
}

/// The WASI imports under their present name.
pub mod wasi {
    imports! { "wasi_snapshot_preview1":
        fd_write(fd: u32, vectors: usize, count: usize, written: usize);
        fd_close(fd: u32);
        fd_fdstat_get(fd: u32, stat: usize);
        fd_prestat_get(fd: u32, stat: usize);
        path_open(fd: u32, flags: u32, path: usize, length: usize, open: u32, base: u64, inheriting: u64, fdflags: u32,
            opened: usize);
        environ_sizes_get(count: usize, bytes: usize);
        args_sizes_get(count: usize, bytes: usize);
        clock_time_get(clock: u32, precision: u64, time: usize);
        random_get(bytes: usize, length: usize);
        sched_yield();
        poll_oneoff(subscriptions: usize, events: usize, count: usize, stored: usize);
    }
}

/// One WASI import under its old name, to see that it links.
pub mod wasi_old {
    imports! { "wasi_unstable": clock_time_get(clock: u32, precision: u64, time: usize); }
}

/// Out-parameters: an address and a length, or a number of up to 64 bits, with room for a second number.
#[repr(C, align(8))]
pub struct Out {
    first: Cell<u32>,
    second: Cell<u32>,
    third: Cell<u32>,
}

impl Out {
    /// Out-parameters nobody has written yet.
    pub fn new() -> Self {
        Out { first: Cell::new(UNWRITTEN), second: Cell::new(UNWRITTEN), third: Cell::new(UNWRITTEN) }
    }

    /// Where the host is to write the address, or the first number.
    pub fn at(&self) -> usize {
        self.first.as_ptr() as usize
    }

    /// Where the host is to write the length, or the second number.
    pub fn at_second(&self) -> usize {
        self.second.as_ptr() as usize
    }

    /// Where the host is to write a third number.
    pub fn at_third(&self) -> usize {
        self.third.as_ptr() as usize
    }

    /// The first number.
    pub fn number(&self) -> u32 {
        std::hint::black_box(&self.first).get()
    }

    /// The second number.
    pub fn second(&self) -> u32 {
        std::hint::black_box(&self.second).get()
    }

    /// The third number.
    pub fn third(&self) -> u32 {
        std::hint::black_box(&self.third).get()
    }

    /// A number of 64 bits written at [`Out::at`].
    pub fn long(&self) -> u64 {
        u64::from(self.number()) | (u64::from(self.second()) << 32)
    }

    /// The bytes the host allocated, which are freed; `None` if it wrote no address or address 0.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let (address, length) = (self.number(), self.second());
        if address == 0 || address == UNWRITTEN || length == UNWRITTEN || address as usize == FAR {
            return None;
        }
        // SAFETY: the host writes an address only after `proxy_on_memory_allocate` gave it that block, which was a
        // boxed slice of that length; each is taken once, because an `Out` is used for one call.
        Some(unsafe { Vec::from_raw_parts(address as *mut u8, length as usize, length as usize) })
    }
}

/// Address and length of a slice; an empty one is `(0, 0)`, as SDKs pass it.
pub fn span(bytes: &[u8]) -> (usize, usize) {
    if bytes.is_empty() { (0, 0) } else { (bytes.as_ptr() as usize, bytes.len()) }
}

/// The serialised form of a map.
pub fn serialise(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        for part in [name, value] {
            out.extend(part.as_bytes());
            out.push(0);
        }
    }
    out
}

/// The pairs of a serialised map; `None` if it is malformed. Nothing at all is the empty map.
pub fn parse(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = word(0)?;
    let mut at = 4 + count.checked_mul(8)?;
    let mut pairs = Vec::new();
    for index in 0..count {
        let mut take = |length: usize| {
            let part = bytes.get(at..at + length)?.to_vec();
            let end = bytes.get(at + length)?;
            at += length + 1;
            (*end == 0).then_some(part)
        };
        pairs.push((take(word(4 + 8 * index)?)?, take(word(8 + 8 * index)?)?));
    }
    (at == bytes.len()).then_some(pairs)
}
