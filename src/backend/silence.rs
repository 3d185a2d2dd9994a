//! The idle rule of a response body: a backend that falls silent is cut, one that streams is not.
//!
//! Event streams and WebSockets are exempt: silence is their nature.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Kind};
use crate::http::{Body, Frame};
use crate::io::clock::Watchdog;

/// `body`, cut with `backend-timeout` when it is polled without a byte for `silence`.
pub(super) fn limit(body: Body, silence: Duration) -> Body {
    Body::Boxed(Box::pin(Limited { body, silence, watchdog: Watchdog::default() }))
}

struct Limited {
    body: Body,
    silence: Duration,
    watchdog: Watchdog,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        let this = &mut *self;
        match this.body.poll_frame(cx) {
            Poll::Ready(frame) => {
                this.watchdog.disarm();
                Poll::Ready(frame)
            }
            Poll::Pending => {
                // Only waiting counts: while nobody polls, it is the reader that is slow.
                this.watchdog.arm_once(this.silence);
                match this.watchdog.poll_elapsed(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        let detail = format!("the body was silent for {:?}", this.silence);
                        Poll::Ready(Some(Err(Error::new(Kind::BackendTimeout, detail))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
