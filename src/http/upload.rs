//! The request body that is still on its way while the response already comes back.
//!
//! ```text
//!   write response ──done──▶ request: the rest of the upload is cancelled
//!                       └──▶ WebSocket: the other direction goes on until it ends too
//! ```

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::error::{Error, Side};
use crate::io::clock::Watchdog;
use crate::limits::HALF_CLOSED_IDLE;

/// Sends the rest of a request body; dropping it cancels the upload.
pub type Upload = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// Runs `write`, which writes a response, beside the rest of its request's upload.
///
/// # Errors
/// What ended the write; a client that broke off its upload (the response is then worthless); for
/// a WebSocket, the failure of either direction.
pub async fn write_beside<T>(
    write: impl Future<Output = Result<T, Error>>,
    mut upload: Option<Upload>,
    websocket: bool,
) -> Result<T, Error> {
    let mut write = pin!(write);
    let mut written = None;
    let mut patience = Watchdog::default();
    std::future::poll_fn(|cx| {
        if let Some(running) = &mut upload {
            match running.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => upload = None,
                // A backend that answers without reading the rest has every right to (RFC 9110, 10.1.1).
                Poll::Ready(Err(error)) if !websocket && error.side != Side::Client => upload = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if written.is_none() {
            match write.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(value)) => written = Some(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        match written.take() {
            Some(value) if upload.is_none() || !websocket => Poll::Ready(Ok(value)),
            Some(value) => {
                // Half closed: every wake-up of the other direction buys it more time.
                if patience.poll_elapsed(cx).is_ready() {
                    return Poll::Ready(Ok(value));
                }
                patience.arm(HALF_CLOSED_IDLE);
                let _ = patience.poll_elapsed(cx);
                written = Some(value);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    })
    .await
}
