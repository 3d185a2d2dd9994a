//! Ends of messages and connections that a client did not bring about itself.

use std::task::{Poll, ready};
use std::time::Duration;

use crate::http::h1::Shared;
use crate::io::clock::Watchdog;
use crate::limits::DRAIN_BYTES;

/// How long a refused client gets to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Reads what is left of a request body that nobody wanted; whether the connection is clean.
pub(super) async fn drain_request(conn: &Shared, patience: Duration) -> bool {
    conn.borrow_mut().owes_continue = false;
    let mut left = DRAIN_BYTES;
    let mut watchdog = Watchdog::default();
    watchdog.arm(patience);
    std::future::poll_fn(|cx| {
        loop {
            let mut conn = conn.borrow_mut();
            match conn.poll_body(cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(frame))) => {
                    let length = frame.data_ref().map_or(0, bytes::Bytes::len);
                    match left.checked_sub(length) {
                        Some(rest) => left = rest,
                        None => return Poll::Ready(false),
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => return watchdog.poll_elapsed(cx).map(|()| false),
            }
        }
    })
    .await
}

/// Ends our direction and reads on for a moment: a close with bytes unread would be a reset,
/// and a reset may take the answer away from the client (RFC 9112, 9.6).
pub(super) async fn linger(conn: &Shared) {
    let closing = std::future::poll_fn(|cx| {
        let mut conn = conn.borrow_mut();
        if ready!(conn.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut read = 0;
        while let Ok(length @ 1..) = ready!(conn.poll_fill(cx)) {
            conn.input.clear();
            read += length;
            if read > DRAIN_BYTES {
                break;
            }
        }
        Poll::Ready(())
    });
    let _ = tokio::time::timeout(LINGER, closing).await;
}
