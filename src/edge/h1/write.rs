//! Writing towards an HTTP/1 client while watching it: slow is fine, gone is not.

use std::future::Future;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::error::{Error, Result, Side};
use crate::http::Body;
use crate::http::h1::writer::BodyWriter;
use crate::http::h1::{Conn, Inbound, Shared};
use crate::http::patience::{Patience, Stall, Waits};

/// What a client may send ahead while its request is under way: some pipelined heads.
const AHEAD_BYTES: usize = 64 * 1024;

/// Writes a body as it comes, flushing whenever there is nothing more to add at once.
pub(super) fn write_body(
    conn: Shared,
    idle: Duration,
    mut body: Body,
    mut writer: BodyWriter,
    shut: bool,
) -> impl Future<Output = Result<()>> {
    let mut ended = false;
    let mut stalled = Stall::default();
    let mut written = 0;
    let mut upload = UploadWatch::new(&conn.borrow(), Patience { silence: idle, rate: 0 });
    std::future::poll_fn(move |cx| {
        loop {
            let mut starved = false;
            while !ended && !starved && conn.borrow().has_room() {
                match body.poll_frame(cx) {
                    Poll::Pending => starved = true,
                    Poll::Ready(Some(frame)) => writer.queue(&mut conn.borrow_mut(), frame?)?,
                    Poll::Ready(None) => {
                        writer.finish(&mut conn.borrow_mut())?;
                        ended = true;
                    }
                }
            }
            let conn = &mut *conn.borrow_mut();
            let flushed = if shut && ended { conn.poll_shutdown(cx) } else { conn.poll_flush(cx) };
            match flushed {
                Poll::Ready(Ok(())) if ended => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => stalled.end(),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Error::cut(Side::Client, format!("writing: {error}"))));
                }
                Poll::Pending => {
                    // A client that takes some bytes is slow; one that takes none is gone.
                    if written != conn.bytes_written {
                        written = conn.bytes_written;
                        stalled.end();
                    }
                    if shut {
                        return Poll::Pending; // a WebSocket may wait as long as TCP does
                    }
                    ready!(stalled.poll_over(idle, cx));
                    return Poll::Ready(Err(Error::cut(Side::Client, "the client stopped reading")));
                }
            }
            if starved {
                let mut gone = || upload.poll_stalled(conn, cx).is_ready() || poll_ahead(conn, cx).is_ready();
                if !shut && gone() {
                    return Poll::Ready(Err(Error::cut(Side::Client, "the client is gone")));
                }
                return Poll::Pending;
            }
        }
    })
}

/// Notices a client that has stopped sending the body it announced, or hardly sends it.
pub(super) struct UploadWatch {
    patience: Patience,
    waits: Waits,
    /// Bytes the connection had read when the watch began, and when it last looked.
    read: [u64; 2],
}

impl UploadWatch {
    /// Watches what comes from now on.
    pub(super) fn new(conn: &Conn, patience: Patience) -> Self {
        Self { patience, waits: Waits::default(), read: [conn.bytes_read; 2] }
    }

    pub(super) fn poll_stalled(&mut self, conn: &Conn, cx: &mut Context<'_>) -> Poll<()> {
        let wanted = conn.starving && !matches!(conn.inbound, Inbound::Done | Inbound::Gated(_) | Inbound::Raw);
        let [began, seen] = &mut self.read;
        if !wanted || *seen != conn.bytes_read {
            *seen = conn.bytes_read;
            self.waits.end();
        }
        if !wanted {
            return Poll::Pending;
        }
        self.waits.poll_over(self.patience, *seen - *began, cx)
    }
}

/// Reads ahead while an exchange runs. Ready when the client is gone; a client that has only ended
/// its direction still gets its answer.
pub(super) fn poll_ahead(conn: &mut Conn, cx: &mut Context<'_>) -> Poll<()> {
    while matches!(conn.inbound, Inbound::Done) && !conn.read_ended() && conn.input.len() < AHEAD_BYTES {
        let filled: Poll<io::Result<usize>> = conn.poll_fill(cx);
        match ready!(filled) {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return Poll::Ready(()),
        }
    }
    Poll::Pending
}
