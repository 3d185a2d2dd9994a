//! The host calls of the built-in filters, called directly: the SDK would copy every field into two
//! vectors of its own and trap where the host says no.
//!
//! It refuses to trap: a refused write is dropped and reported, a refused read is nothing.
#![expect(unsafe_code, reason = "the imports of the ABI are foreign functions, and their results raw memory")]

use crate::{Edit, serialise};

/// The two header maps a filter works on; the numbers are the ABI's.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Map {
    /// `HTTP_REQUEST_HEADERS`.
    Request = 0,
    /// `HTTP_RESPONSE_HEADERS`.
    Response = 2,
}

/// The two bodies; the numbers are the ABI's.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Body {
    /// `HTTP_REQUEST_BODY`.
    Request = 0,
    /// `HTTP_RESPONSE_BODY`.
    Response = 1,
}

/// How loud a line of the log is; the numbers are the ABI's.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Level {
    /// Something was refused or left out.
    Warn = 3,
    /// The filter cannot work.
    Error = 4,
}

const OK: u32 = 0;
/// `PLUGIN_CONFIGURATION`.
const CONFIGURATION: u32 = 7;
/// The gRPC status that means none.
const NO_GRPC_STATUS: i32 = -1;

// SAFETY: names and types are those of the ABI, 0.2.1.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, len: usize) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_len: usize,
        body: *const u8,
        body_len: usize,
        headers: *const u8,
        headers_len: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, key: *const u8, len: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, key: *const u8, len: usize, value: *const u8, size: usize) -> u32;
    fn proxy_add_header_map_value(map: u32, key: *const u8, len: usize, value: *const u8, size: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, len: usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, len: usize, value: *const u8, size: usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, len: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        len: usize,
        arguments: *const u8,
        arguments_len: usize,
        result: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_property(path: *const u8, len: usize, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// The whole map, serialised, for [`crate::Pairs`].
pub fn pairs(map: Map) -> Vec<u8> {
    // SAFETY: both pointers are valid for the call and the host writes nothing else.
    received(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) }).unwrap_or_default()
}

/// The first value of this name.
pub fn value(map: Map, name: &[u8]) -> Option<Vec<u8>> {
    received(|data, size| {
        // SAFETY: as in `pairs`; the name is only read.
        unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size) }
    })
}

/// A property; the parts of its path are joined by one zero byte.
pub fn property(path: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: as in `pairs`; the path is only read.
    received(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// The bytes of the body that are here now.
pub fn body(body: Body, size: usize) -> Vec<u8> {
    // SAFETY: as in `pairs`.
    received(|data, len| unsafe { proxy_get_buffer_bytes(body as u32, 0, size, data, len) }).unwrap_or_default()
}

/// Puts other bytes in the place of those that are here now. Says whether the host did.
pub fn replace_body(body: Body, size: usize, bytes: &[u8]) -> bool {
    // SAFETY: the bytes are only read, within their length.
    let status = unsafe { proxy_set_buffer_bytes(body as u32, 0, size, bytes.as_ptr(), bytes.len()) };
    status == OK
}

/// Asks for no more callbacks for this body. A host that does not know this goes on calling.
pub fn skip_body(body: Body) {
    const NAME: &str = "lockgate_skip_body";
    let which = match body {
        Body::Request => "request",
        Body::Response => "response",
    };
    // SAFETY: name and argument are only read; both result pointers are valid for the call.
    received(|data, size| unsafe {
        proxy_call_foreign_function(NAME.as_ptr(), NAME.len(), which.as_ptr(), which.len(), data, size)
    });
}

/// A counter of the filter's own.
#[derive(Clone, Copy, Debug)]
pub struct Counter(Option<u32>);

impl Counter {
    /// Defines the counter, or finds the one of this name. One the host refuses counts nothing.
    pub fn define(name: &str) -> Self {
        let mut metric = 0;
        // SAFETY: the name is only read; `metric` is valid for the call. Kind 0 is a counter.
        let status = unsafe { proxy_define_metric(0, name.as_ptr(), name.len(), &mut metric) };
        Counter((status == OK).then_some(metric))
    }

    /// Adds to it.
    pub fn add(self, by: usize) {
        if let (Some(metric), Ok(by @ 1..)) = (self.0, i64::try_from(by)) {
            // SAFETY: two numbers.
            unsafe { proxy_increment_metric(metric, by) };
        }
    }
}

/// The filter's configuration.
pub fn configuration() -> Vec<u8> {
    // SAFETY: as in `pairs`.
    let call = |data, len| unsafe { proxy_get_buffer_bytes(CONFIGURATION, 0, usize::MAX >> 1, data, len) };
    received(call).unwrap_or_default()
}

/// Writes a line to the host's log.
pub fn log(level: Level, text: &str) {
    // SAFETY: the text is only read.
    unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

/// Answers the request here, with a reason for the host's own log. The callback then gives `Pause`.
pub fn respond(status: u16, details: &str, headers: &[(&str, &str)], body: &[u8]) {
    let headers = serialise(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    // SAFETY: all four are only read, within their lengths.
    unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    };
}

/// Ends the stream from this side, at once.
pub fn close(body: Body) {
    // SAFETY: a number; stream types 0 and 1 are those of the bodies.
    unsafe { proxy_close_stream(body as u32) };
}

/// Makes the edits, in order. Says how many the host refused.
pub fn apply(map: Map, edits: &[Edit]) -> usize {
    edits.iter().filter(|edit| written(map as u32, edit) != OK).count()
}

fn written(map: u32, edit: &Edit) -> u32 {
    // SAFETY: names and values are only read, within the lengths given.
    unsafe {
        match edit {
            Edit::Remove(name) => proxy_remove_header_map_value(map, name.as_ptr(), name.len()),
            Edit::Set(name, value) => {
                proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
            Edit::Add(name, value) => {
                proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
            }
        }
    }
}

/// Bytes the host allocated in this guest; no pointer means none.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    if call(&mut data, &mut size) != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host got this block of exactly `size` bytes from `contexts::allocate`, filled it,
    // and gave up its ownership.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}
