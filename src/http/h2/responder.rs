//! The answering side of a stream that the other end opened: interim responses, then the final one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, StatusCode};

use super::SendBody;
use crate::error::{Error, Side};
use crate::http::body::Body;
use crate::http::upload::{Upload, write_beside};

/// The response side of an accepted stream, shared with whoever sends interim responses.
#[derive(Clone)]
pub struct Responder(Rc<Answering>);

struct Answering {
    send: RefCell<SendResponse<Bytes>>,
    begun: Cell<bool>,
}

impl Responder {
    /// Wraps the response side of a stream.
    #[must_use]
    pub fn new(send: SendResponse<Bytes>) -> Self {
        Self(Rc::new(Answering { send: RefCell::new(send), begun: Cell::new(false) }))
    }

    /// Sends an interim response; failures are ignored, as the final one will meet them again.
    pub fn send_interim(&self, status: StatusCode, headers: &HeaderMap) {
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers.clone();
        let _ = self.0.send.borrow_mut().send_informational(response);
    }

    /// Sends the head and then the body, beside what is left of the request's upload.
    ///
    /// # Errors
    /// The body broke (the stream has been reset), or the peer reset the stream.
    pub async fn respond(
        &self,
        head: (StatusCode, HeaderMap),
        body: Body,
        upload: Option<Upload>,
        websocket: bool,
        patience: Duration,
    ) -> Result<(), Error> {
        let mut response = http::Response::new(());
        (*response.status_mut(), *response.headers_mut()) = head;
        let ends = body.is_empty() && !websocket;
        self.0.begun.set(true);
        let stream = self.0.send.borrow_mut().send_response(response, ends);
        let stream = stream.map_err(|error| Error::cut(Side::Client, format!("HTTP/2 stream: {error}")))?;
        if ends {
            return Ok(());
        }
        write_beside(SendBody::new(stream, body, Side::Client).patient_for(patience), upload, websocket).await
    }

    /// Whether the final response has begun.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.0.begun.get()
    }

    /// Resets the stream.
    pub fn reset(&self, reason: Reason) {
        self.0.send.borrow_mut().send_reset(reason);
    }

    /// Completes when the peer resets the stream.
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.send.borrow_mut().poll_reset(cx).map(drop)
    }
}
