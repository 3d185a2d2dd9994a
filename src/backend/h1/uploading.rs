//! A request body on its way to a backend, and what may hold it back.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::error::{Error, Kind, Result};
use crate::http::Body;
use crate::http::h1::writer::BodyWriter;
use crate::http::h1::{Inbound, Shared};
use crate::io::clock::Watchdog;

/// What holds the body back.
pub(super) enum Gate {
    /// Nothing.
    Open,
    /// `Expect: 100-continue`.
    Continue,
    /// The 101 of a WebSocket: no byte may go before it (RFC 9931).
    Upgrade,
}

/// Writes a request body onto the connection.
pub(super) struct Uploading {
    pub(super) conn: Shared,
    pub(super) gate: Gate,
    pub(super) writer: BodyWriter,
    pub(super) body: Body,
    pub(super) touched: bool,
    pub(super) ended: bool,
    pub(super) patience: Watchdog,
    pub(super) done: Rc<Cell<bool>>,
}

impl Future for Uploading {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let starved = this.fill(cx)?;
            ready!(this.poll_flush(cx))?;
            if this.ended {
                this.done.set(true);
                return Poll::Ready(Ok(()));
            }
            match this.gate {
                Gate::Open if starved => return Poll::Pending,
                Gate::Open => {}
                Gate::Upgrade => return Poll::Pending,
                Gate::Continue => {
                    ready!(this.patience.poll_elapsed(cx));
                    this.gate = Gate::Open;
                }
            }
        }
    }
}

impl Uploading {
    /// Queues what the body gives; whether it has nothing more for now.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<bool> {
        while !self.ended && matches!(self.gate, Gate::Open) && self.conn.borrow().has_room() {
            match self.body.poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(frame)) => {
                    self.touched = true;
                    self.writer.queue(&mut self.conn.borrow_mut(), frame?)?;
                }
                Poll::Ready(None) => {
                    self.writer.finish(&mut self.conn.borrow_mut())?;
                    self.ended = true;
                }
            }
        }
        Ok(false)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let raw = self.ended && matches!(self.conn.borrow().inbound, Inbound::Raw);
        let mut conn = self.conn.borrow_mut();
        // The end of a WebSocket's direction is the end of ours (half close).
        let flushed = if raw { conn.poll_shutdown(cx) } else { conn.poll_flush(cx) };
        flushed.map_err(|error| Error::new(Kind::BackendClosed, format!("writing the request: {error}")))
    }
}
