//! One request on an HTTP/2 connection that we opened the streams of: a link, or a backend.
//!
//! Tells apart what was certainly never processed (and may go elsewhere) from what may have been.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::StatusCode;

use super::SendBody;
use crate::error::{Error, Side};
use crate::http::{Body, Interim, Upload};
use crate::limits::INTERIM_RESPONSES;

/// Why there is no response, and what may be done about it.
#[derive(Debug)]
pub struct Failure {
    /// In words, for the log.
    pub detail: String,
    /// The peer certainly did not process the request (RFC 9113, 8.7).
    pub unprocessed: bool,
    /// The body, if not a byte of it was taken.
    pub body: Option<Body>,
    /// The peer gave this one stream up after it had begun to work on it.
    pub reset: bool,
    /// It was the request's own body that failed: the sender is to blame, not the peer.
    pub own: Option<Error>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("length", &self.length()).finish_non_exhaustive()
    }
}

/// A response head, its body, and what is left of the upload.
pub type Answer = (http::Response<RecvStream>, Option<Upload>);

/// Sends `request` with `body`; the future waits for the final response head, and interim
/// responses go to `interim`. With `waits` the body is not touched before `100 Continue`.
///
/// # Errors
/// [`Failure`], at once or from the future; dropping the future resets the stream.
pub fn send<'a>(
    connection: &mut SendRequest<Bytes>,
    request: http::Request<()>,
    body: Body,
    waits: bool,
    interim: &'a Interim,
) -> Result<Exchange<'a>, Box<Failure>> {
    let bodiless = body.is_empty();
    let (response, stream) = match connection.send_request(request, bodiless) {
        Ok(sent) => sent,
        Err(error) => {
            return Err(Box::new(Failure {
                detail: error.to_string(),
                unprocessed: true,
                body: Some(body),
                reset: false,
                own: None,
            }));
        }
    };
    let upload = (!bodiless).then(|| SendBody::new(stream, body, Side::Backend));
    Ok(Exchange { response, upload, bodiless, waits, interim, interims: 0 })
}

/// A request on its way to its response head.
pub struct Exchange<'a> {
    response: ResponseFuture,
    upload: Option<SendBody>,
    /// There was no body to begin with.
    bodiless: bool,
    /// The body waits for `100 Continue`.
    waits: bool,
    interim: &'a Interim,
    interims: usize,
}

impl Exchange<'_> {
    fn failure(&mut self, error: &h2::Error) -> Box<Failure> {
        // REFUSED_STREAM, or a GOAWAY that does not cover this stream, is the peer's word that it
        // did nothing (RFC 9113, 8.7). A broken connection promises nothing.
        let unprocessed = error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote());
        let body = match self.upload.take() {
            Some(upload) => upload.into_untouched(),
            None => self.bodiless.then_some(Body::Empty),
        };
        Box::new(Failure {
            detail: error.to_string(),
            unprocessed,
            body,
            reset: error.is_reset() && error.is_remote(),
            own: None,
        })
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Result<(), Box<Failure>> {
        while let Poll::Ready(Some(Ok(head))) = self.response.poll_informational(cx) {
            self.interims += 1;
            if self.interims > INTERIM_RESPONSES {
                let detail = format!("more than {INTERIM_RESPONSES} interim responses");
                return Err(Box::new(Failure { detail, unprocessed: false, body: None, reset: false, own: None }));
            }
            if head.status() == StatusCode::CONTINUE {
                self.waits = false;
            }
            self.interim.send(head.status(), head.headers());
        }
        Ok(())
    }
}

impl Future for Exchange<'_> {
    type Output = Result<Answer, Box<Failure>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_interim(cx)?;
        if !self.waits
            && let Some(upload) = &mut self.upload
        {
            match Pin::new(upload).poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.upload = None,
                // The response says more about why the peer stopped reading than we can; the
                // client's own failure ends the request.
                Poll::Ready(Err(error)) if error.side == Side::Client => {
                    let detail = error.to_string();
                    return Poll::Ready(Err(Box::new(Failure {
                        detail,
                        unprocessed: false,
                        body: None,
                        reset: false,
                        own: Some(error),
                    })));
                }
                Poll::Ready(Err(_)) => self.upload = None,
            }
        }
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(response)) => {
                let upload = self.upload.take().filter(|_| !self.waits).map(|upload| Box::pin(upload) as Upload);
                Poll::Ready(Ok((response, upload)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.failure(&error))),
        }
    }
}
