//! One request as its filters see it: both heads, the bodies that are held, and what the filters asked for.
//!
//! ```text
//!   corridor, flows ──with──▶ Shared ◀──lend, give back── a guest's callback
//! ```
//!
//! The data is lent to a guest for the length of one callback; nothing else runs on that worker
//! meanwhile. It refuses to carry out what a filter asks: that is the flow's business, after the
//! callback has returned.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::error::Error;
use crate::id::RequestId;

/// A direction of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    Request = 0,
    /// From the backend, or from a filter's own reply.
    Response = 1,
}

/// What does not change while a request lives.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The app.
    pub app: Arc<str>,
    /// The request's id.
    pub id: RequestId,
    /// `HTTP/1.1` and the like.
    pub protocol: &'static str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The client's end of the connection.
    pub peer: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
    /// Which connection it is.
    pub connection: u64,
    /// What its TLS handshake agreed on.
    pub tls_version: Option<&'static str>,
    /// The server name of the TLS handshake.
    pub server_name: Option<Arc<str>>,
    /// When the head was complete.
    pub began: SystemTime,
}

/// The request and the response, and what the filters hold and want.
pub struct Data {
    /// What does not change.
    pub facts: Facts,
    /// `:method`.
    pub method: Method,
    /// `:authority`.
    pub authority: HeaderValue,
    /// `:path`.
    pub path: PathAndQuery,
    /// A filter set `:authority`: that is then the `Host` the backend sees.
    pub authority_changed: bool,
    /// A filter set `:path`: it has to be judged again.
    pub path_changed: bool,
    /// A WebSocket is asked for.
    pub is_websocket: bool,
    /// `:status`, once there is a response.
    pub status: Option<StatusCode>,
    /// The fields of request and response.
    pub headers: [HeaderMap; 2],
    /// The trailers, once they have come or a filter has made some.
    pub trailers: [Option<HeaderMap>; 2],
    /// Bytes that have passed the first filter, by direction.
    pub sizes: [u64; 2],
    /// One place for each filter of the chain.
    pub slots: Vec<Slot>,
    /// `proxy_set_property`.
    pub properties: HashMap<Vec<u8>, Bytes>,
    /// The first local response that was asked for, and by which filter.
    pub reply: Option<(usize, LocalReply)>,
    /// The details of the reply that was sent, for `response.code_details`.
    pub details: String,
    /// The filter that closed the stream.
    pub closed: Option<usize>,
    /// Why the request's body broke off on its way through the filters.
    pub fault: Option<Error>,
    /// The response's head has gone to the client: no reply is possible any more.
    pub committed: bool,
    wakers: [Option<Waker>; 3],
}

/// What one filter holds of one request.
#[derive(Default)]
pub struct Slot {
    /// Its context in the guest; 0 before the first callback.
    pub context: u32,
    /// The body bytes it may read now, by direction.
    pub held: [Held; 2],
    /// Its own fields may still be written.
    pub head_open: [bool; 2],
    /// The trailers may be written.
    pub trailers_open: [bool; 2],
    /// The present body callback is the last.
    pub last_chunk: [bool; 2],
    /// `proxy_continue_stream` came.
    pub resumed: [bool; 2],
    /// It wants no more body callbacks.
    pub skips_body: [bool; 2],
    /// Its VM is gone, and its state with it.
    pub lost: bool,
    /// Calls out under way for this request.
    pub calls: usize,
}

/// An answer a filter gives itself.
#[derive(Clone, Debug, Default)]
pub struct LocalReply {
    /// 200 to 599.
    pub status: StatusCode,
    /// Legal fields, without framing.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// For the log: spaces are replaced by `_`.
    pub details: String,
    /// The status of a gRPC answer; negative: derived from `status`.
    pub grpc_status: i32,
}

/// Who waits for something a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The request's flow.
    Request = 0,
    /// The response's flow.
    Response = 1,
    /// The corridor, while the request is relayed.
    Corridor = 2,
}

/// Bytes a filter may read and change.
#[derive(Default)]
pub enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// As they came; shared with whoever read them.
    Shared(Bytes),
    /// Collected or edited.
    Own(BytesMut),
}

impl Held {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Shared(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end; copies only when there are some already.
    pub fn append(&mut self, more: Bytes) {
        if more.is_empty() {
            return;
        }
        match self {
            held if held.is_empty() => *held = Self::Shared(more),
            held => held.own().extend_from_slice(&more),
        }
    }

    /// Exchanges `size` bytes at `start` for others; both are cut to what is there.
    pub fn splice(&mut self, start: usize, size: usize, with: &[u8]) {
        let length = self.len();
        let start = start.min(length);
        let end = start.saturating_add(size).min(length);
        if start == 0 && end == length {
            *self = Self::Own(BytesMut::from(with));
            return;
        }
        let own = self.own();
        if start == end && end == length {
            own.extend_from_slice(with);
        } else if with.len() == end - start {
            own[start..end].copy_from_slice(with);
        } else {
            let tail = own.split_off(end);
            own.truncate(start);
            own.reserve(with.len() + tail.len());
            own.extend_from_slice(with);
            own.extend_from_slice(&tail);
        }
    }

    /// The bytes, leaving nothing.
    pub fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Self::Nothing => Bytes::new(),
            Self::Shared(bytes) => bytes,
            Self::Own(bytes) => bytes.freeze(),
        }
    }

    fn own(&mut self) -> &mut BytesMut {
        if !matches!(self, Self::Own(_)) {
            let bytes = self.take();
            *self = Self::Own(BytesMut::from(bytes));
        }
        match self {
            Self::Own(bytes) => bytes,
            // The line above has made it so.
            _ => unreachable!("own bytes"),
        }
    }
}

/// The data of one request; shared by its flows and the guests it is lent to.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Option<Box<Data>>>>);

impl Data {
    /// The data of a request on its way to `filters` filters.
    #[must_use]
    pub fn new(facts: Facts, method: Method, authority: HeaderValue, path: PathAndQuery, headers: HeaderMap) -> Self {
        Self {
            facts,
            method,
            authority,
            path,
            authority_changed: false,
            path_changed: false,
            is_websocket: false,
            status: None,
            headers: [headers, HeaderMap::new()],
            trailers: [None, None],
            sizes: [0, 0],
            slots: Vec::new(),
            properties: HashMap::new(),
            reply: None,
            details: String::new(),
            closed: None,
            fault: None,
            committed: false,
            wakers: [None, None, None],
        }
    }

    /// Remembers who waits.
    pub fn wait(&mut self, who: Waiting, cx: &Context<'_>) {
        let place = &mut self.wakers[who as usize];
        match place {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            place => *place = Some(cx.waker().clone()),
        }
    }

    /// Wakes everybody who waits.
    pub fn wake(&mut self) {
        for waker in self.wakers.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}

impl Shared {
    /// Shares `data`.
    #[must_use]
    pub fn new(data: Data) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(data)))))
    }

    /// Looks at the data; `None` while a guest has it, which is never the case between callbacks.
    pub fn with<R>(&self, look: impl FnOnce(&mut Data) -> R) -> Option<R> {
        self.0.lock().ok()?.as_deref_mut().map(look)
    }

    /// Takes the data for the length of a callback.
    #[must_use]
    pub fn lend(&self) -> Option<Box<Data>> {
        self.0.lock().ok()?.take()
    }

    /// Ends a loan.
    pub fn give_back(&self, data: Box<Data>) {
        if let Ok(mut place) = self.0.lock() {
            *place = Some(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the obvious way to do it.
        #[test]
        fn edits_are_those_of_a_vector(chunks: Vec<Vec<u8>>, edits: Vec<(u16, u16, Vec<u8>)>) {
            let mut held = Held::default();
            let mut plain = Vec::new();
            for chunk in chunks {
                plain.extend_from_slice(&chunk);
                held.append(Bytes::from(chunk));
            }
            for (start, size, with) in edits {
                let first = usize::from(start % 64).min(plain.len());
                let last = (first + usize::from(size % 64)).min(plain.len());
                plain.splice(first..last, with.iter().copied());
                held.splice(usize::from(start % 64), usize::from(size % 64), &with);
                prop_assert_eq!(held.as_slice(), &plain[..]);
            }
            prop_assert_eq!(held.take(), plain);
            prop_assert!(held.is_empty());
        }
    }
}
