//! The life of a filter in the host's hands: roots, streams, and the functions the host calls.
//!
//! ```text
//! context_create(1, 0) ─▶ configure(1) ─┬▶ context_create(2, 1) ─▶ headers, bodies ─▶ delete(2)
//!                                       └▶ …
//! ```
//!
//! The SDK would do this too, but it exports every callback and imports every host call it knows:
//! a host that reads capabilities and phases off a module would grant and call too much. Here a
//! module exports the phases it has and imports what it uses.
//!
//! It refuses to trap: an unknown context, or one whose root was not configured, passes everything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use crate::host::{self, Level};

/// What becomes of the message after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// It goes on.
    Continue = 0,
    /// It waits, or has been answered.
    Pause = 1,
}

/// A filter: one value per configuration, one stream per request.
pub trait Filter: Sized + 'static {
    /// What is kept of a request from one phase to the next.
    type Stream: Default;

    /// Reads the configuration; the error is one line for the log.
    fn configure(configuration: &[u8]) -> Result<Self, String>;

    /// The head of the request is in [`host::Map::Request`].
    fn request_headers(&self, stream: &mut Self::Stream) -> Action;

    /// The head of the response is in [`host::Map::Response`].
    fn response_headers(&self, stream: &mut Self::Stream) -> Action;

    /// So many bytes are in this body now, and whether they are the last. Called only of filters
    /// exported with `bodies`.
    fn body(&self, _stream: &mut Self::Stream, _body: host::Body, _size: usize, _end: bool) -> Action {
        Action::Continue
    }

    /// Trailers follow this body, of which no callback was the last: bytes put into it now go before
    /// them. Called only of filters exported with `bodies`.
    fn trailers(&self, _stream: &mut Self::Stream, _body: host::Body) -> Action {
        Action::Continue
    }
}

type Streams<F> = HashMap<u32, (Rc<F>, <F as Filter>::Stream), BuildHasherDefault<IdHasher>>;

/// All contexts of a module. One per module, made by [`crate::export!`].
pub struct Contexts<F: Filter> {
    /// A root is here from its creation, its filter from its configuration.
    roots: RefCell<Vec<(u32, Option<Rc<F>>)>>,
    streams: RefCell<Streams<F>>,
}

impl<F: Filter> Default for Contexts<F> {
    fn default() -> Self {
        Contexts { roots: RefCell::default(), streams: RefCell::default() }
    }
}

impl<F: Filter> Contexts<F> {
    /// `proxy_on_context_create`: no parent makes a root.
    pub fn create(&self, id: u32, parent: u32) {
        let mut roots = self.roots.borrow_mut();
        if parent == 0 {
            return roots.push((id, None));
        }
        if let Some((_, Some(filter))) = roots.iter().find(|root| root.0 == parent) {
            self.streams.borrow_mut().insert(id, (Rc::clone(filter), F::Stream::default()));
        }
    }

    /// `proxy_on_configure`: a refusal is logged, and the former configuration stays.
    pub fn configure(&self, id: u32) -> u32 {
        match F::configure(&host::configuration()) {
            Ok(filter) => {
                let mut roots = self.roots.borrow_mut();
                roots.retain(|root| root.0 != id);
                roots.push((id, Some(Rc::new(filter))));
                1
            }
            Err(reason) => {
                host::log(Level::Error, &reason);
                0
            }
        }
    }

    /// A callback of a stream.
    pub fn call(&self, id: u32, callback: impl FnOnce(&F, &mut F::Stream) -> Action) -> u32 {
        let mut streams = self.streams.borrow_mut();
        let action = streams.get_mut(&id).map_or(Action::Continue, |(filter, stream)| callback(filter, stream));
        action as u32
    }

    /// `proxy_on_delete`, of a stream or a root.
    pub fn delete(&self, id: u32) {
        if self.streams.borrow_mut().remove(&id).is_none() {
            self.roots.borrow_mut().retain(|root| root.0 != id);
        }
    }
}

/// Context ids are small numbers the host counts up: spread over the table by one multiplication.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, id: u32) {
        // 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// `proxy_on_memory_allocate`: a block that [`host`] takes over as a `Vec` of this length.
pub fn allocate(size: usize) -> *mut u8 {
    std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size)).as_mut_ptr()
}

/// Functions under the names the host looks for.
#[doc(hidden)]
#[macro_export]
macro_rules! callbacks {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)? $body:block)*) => {$(
        // SAFETY: the name is the ABI's; nothing else in a module has it.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) $(-> $result)? $body
    )*};
}

/// Exports a [`Filter`] to the host: `export!(MyFilter)`, or `export!(MyFilter, bodies)`.
#[macro_export]
macro_rules! export {
    ($filter:ty, bodies) => {
        $crate::export!($filter);

        $crate::callbacks! {
            fn proxy_on_request_body(id: u32, size: usize, end: u32) -> u32 {
                let body = $crate::host::Body::Request;
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.body(stream, body, size, end != 0)))
            }

            fn proxy_on_response_body(id: u32, size: usize, end: u32) -> u32 {
                let body = $crate::host::Body::Response;
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.body(stream, body, size, end != 0)))
            }

            fn proxy_on_request_trailers(id: u32, _count: u32) -> u32 {
                let body = $crate::host::Body::Request;
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.trailers(stream, body)))
            }

            fn proxy_on_response_trailers(id: u32, _count: u32) -> u32 {
                let body = $crate::host::Body::Response;
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.trailers(stream, body)))
            }
        }
    };
    ($filter:ty) => {
        thread_local! {
            static CONTEXTS: $crate::contexts::Contexts<$filter> = Default::default();
        }

        // SAFETY: the linker makes this function, of this type.
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }

        $crate::callbacks! {
            fn _initialize() {
                // SAFETY: the host calls `_initialize` once, before anything else.
                unsafe { __wasm_call_ctors() };
            }

            fn proxy_abi_version_0_2_1() {}

            fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
                $crate::contexts::allocate(size)
            }

            fn proxy_on_context_create(id: u32, parent: u32) {
                CONTEXTS.with(|contexts| contexts.create(id, parent));
            }

            fn proxy_on_configure(id: u32, _size: usize) -> u32 {
                CONTEXTS.with(|contexts| contexts.configure(id))
            }

            fn proxy_on_request_headers(id: u32, _count: u32, _end: u32) -> u32 {
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.request_headers(stream)))
            }

            fn proxy_on_response_headers(id: u32, _count: u32, _end: u32) -> u32 {
                CONTEXTS.with(|contexts| contexts.call(id, |filter, stream| filter.response_headers(stream)))
            }

            fn proxy_on_delete(id: u32) {
                CONTEXTS.with(|contexts| contexts.delete(id));
            }
        }
    };
}
