//! A filter's part in one request, how its reply reads as gRPC, and the body that runs through all of them.

use super::*;

/// A filter's part in one request.
pub(in crate::filters) struct Member {
    pub(in crate::filters) plugin: Arc<Plugin>,
    /// `None`: its VM could not be had and it fails open.
    pub(in crate::filters) running: Option<Rc<Running>>,
    /// Failed open: the request goes on without it.
    pub(in crate::filters) skipped: std::cell::Cell<bool>,
    pub(in crate::filters) paused: std::cell::Cell<bool>,
}

impl Member {
    pub(in crate::filters) fn shard(&self, count: impl FnOnce(&crate::metrics::FilterShard)) {
        if let Some(running) = &self.running {
            count(&running.shard);
        }
    }

    /// The filter failed: the request ends, or goes on without it.
    pub(in crate::filters) fn failed(&self) -> Result<()> {
        if self.plugin.settings.fail_open {
            self.skipped.set(true);
            return Ok(());
        }
        let name = &self.plugin.settings.name;
        Err(Error::new(Kind::FilterFailed, format!("filter={name} reason=lost: its instance died; see the log above")))
    }

    /// The filter did what it may not: the request ends whatever its policy, since its message is
    /// broken already.
    pub(in crate::filters) fn broke(&self, reason: &str) -> Error {
        self.shard(|shard| shard.failure(FilterFailure::Invalid));
        Error::new(Kind::FilterFailed, format!("filter={} reason=invalid: {reason}", self.plugin.settings.name))
    }

    pub(in crate::filters) fn set_paused(&self, paused: bool) {
        if self.paused.replace(paused) != paused {
            self.shard(|shard| shard.paused(if paused { 1 } else { -1 }));
        }
    }
}

pub(in crate::filters) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// gRPC over HTTP/2: how an HTTP status reads as a gRPC one.
pub(in crate::filters) fn grpc_code(status: StatusCode) -> i32 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

pub(in crate::filters) fn percent_encoded(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A body that runs through filters.
pub(in crate::filters) struct FilteredBody(pub(in crate::filters) RefCell<Flow>);

impl http_body::Body for FilteredBody {
    type Data = bytes::Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<crate::http::Frame>>> {
        self.get_mut().0.get_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().is_ended()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.borrow().length().map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}
