//! A message as it was before a callback, for a filter that fails open: what it did before it died is undone.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::stream::{Data, LocalReply};

/// What a callback can change, but for the bytes that are held.
pub(super) struct Before {
    method: Method,
    authority: (HeaderValue, bool),
    path: (PathAndQuery, bool),
    status: Option<StatusCode>,
    headers: [HeaderMap; 2],
    trailers: [Option<HeaderMap>; 2],
    reply: Option<(usize, LocalReply)>,
    closed: Option<usize>,
}

impl Before {
    pub(super) fn of(data: &Data) -> Self {
        Self {
            method: data.method.clone(),
            authority: (data.authority.clone(), data.authority_changed),
            path: (data.path.clone(), data.path_changed),
            status: data.status,
            headers: data.headers.clone(),
            trailers: data.trailers.clone(),
            reply: data.reply.clone(),
            closed: data.closed,
        }
    }

    pub(super) fn put_back(self, data: &mut Data) {
        data.method = self.method;
        (data.authority, data.authority_changed) = self.authority;
        (data.path, data.path_changed) = self.path;
        data.status = self.status;
        data.headers = self.headers;
        data.trailers = self.trailers;
        data.reply = self.reply;
        data.closed = self.closed;
    }
}
