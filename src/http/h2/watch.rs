//! A watch on the frames of one connection, for what `h2` lets pass or calls by another name.
//!
//! ```text
//!   socket ─▶ Watched ─▶ h2      each frame's head is looked at; the first that is refused ends the
//!   socket ◀─ Watched ◀─ h2      reading, and the connection's driver says GOAWAY with its reason
//! ```
//!
//! Three rules: a frame of fixed size has that size (RFC 9113, 4.2); DATA comes only on a stream its
//! sender has not ended (5.1); and frames that bring nothing are paid for from a [`Budget`] that
//! answers fill (10.5). `h2` answers every PING and SETTINGS there is, and counts only such resets
//! as it has not seen begin. The watch refuses to know streams' states beyond that, or any payload.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::limits::FrameBudget;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// Flag of DATA and HEADERS; the bit means ACK on SETTINGS.
const END_STREAM: u8 = 1;

const HEAD_BYTES: usize = 9;
const PREFACE_BYTES: usize = 24;

/// Streams a peer may leave open that are remembered; older ones are no longer judged. Eight times
/// the default of `streams_per_connection`: also those that were answered before they were sent.
const OPEN_MAX: usize = 1024;

/// Which end of the connection is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Ours is the server: the peer sends a preface.
    Server,
    /// Ours is the client: we send one.
    Client,
}

/// What the watch has found, for the connection's driver.
#[derive(Clone, Default)]
pub struct Watch(Rc<Cell<Option<Reason>>>);

impl Watch {
    /// Why the connection must end, once something was found.
    #[must_use]
    pub fn found(&self) -> Option<Reason> {
        self.0.get()
    }

    /// Drives a connection until it ends.
    ///
    /// # Errors
    /// Why it must end, when something was found first.
    pub async fn over<F: Future>(&self, connection: F) -> Result<F::Output, Reason> {
        let mut connection = pin!(connection);
        std::future::poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Ok(ended)),
            Poll::Pending => self.found().map_or(Poll::Pending, |reason| Poll::Ready(Err(reason))),
        })
        .await
    }
}

/// A connection whose frames are watched.
pub struct Watched<S> {
    inner: S,
    watch: Watch,
    inbound: Heads,
    outbound: Heads,
    budget: Budget,
    /// A server's: to a client, streams answer in any order.
    uploads: Option<Uploads>,
}

impl<S> Watched<S> {
    /// Watches `inner`, which is `end` of its connection and may cost its peer `budget`.
    #[must_use]
    pub fn new(inner: S, end: End, limits: FrameBudget) -> Self {
        let preface = |here: bool| Heads { skip: if here { PREFACE_BYTES } else { 0 }, ..Heads::default() };
        Self {
            inner,
            watch: Watch::default(),
            inbound: preface(end == End::Server),
            outbound: preface(end == End::Client),
            budget: Budget { limits, left: limits.burst, filled: Instant::now() },
            uploads: (end == End::Server).then(Uploads::default),
        }
    }

    /// Where to look for what is found.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Looks at bytes that came in; how many of them may pass.
    fn came_in(&mut self, bytes: &[u8]) -> usize {
        let Self { watch, inbound, budget, uploads, .. } = self;
        inbound.walk(bytes, |head| {
            let state = || uploads.as_mut().and_then(|uploads| uploads.refuse(head));
            let found = head.misshapen().or_else(state).or_else(|| budget.pay(head.cost(budget)));
            watch.0.set(found);
            found.is_none()
        })
    }

    fn went_out(&mut self, bytes: &[u8]) {
        let Self { watch, outbound, budget, .. } = self;
        outbound.walk(bytes, |head| {
            match head.kind {
                // However small: it is us who sent it so, and its reader gives credit back all the same.
                HEADERS | DATA if head.length > 0 => budget.earn(budget.limits.answer),
                // One that the peer brought about (CVE-2025-8671); after an answer it costs nothing.
                RST_STREAM => watch.0.set(watch.0.get().or(budget.pay(budget.limits.provoked))),
                _ => {}
            }
            true
        });
    }
}

/// The head of a frame (RFC 9113, 4.1).
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        }
    }

    fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }

    /// Sizes that a type of frame does not allow (RFC 9113, 6.3, 6.4, 6.5, 6.7, 6.9).
    fn misshapen(self) -> Option<Reason> {
        let wrong = match self.kind {
            PRIORITY => self.length != 5,
            RST_STREAM | WINDOW_UPDATE => self.length != 4,
            SETTINGS if self.flags & END_STREAM != 0 => self.length != 0,
            SETTINGS => !self.length.is_multiple_of(6),
            PING => self.length != 8,
            _ => false,
        };
        wrong.then_some(Reason::FRAME_SIZE_ERROR)
    }

    /// What it costs us beyond what it brings.
    fn cost(self, budget: &Budget) -> u32 {
        match self.kind {
            DATA if self.length > 0 || self.ends_stream() => 0,
            RST_STREAM => budget.limits.reset,
            _ => 1,
        }
    }
}

/// Finds the heads in a stream of bytes.
#[derive(Default)]
struct Heads {
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Bytes until the next head.
    skip: usize,
}

impl Heads {
    /// Shows each head in `bytes` to `look`, until it says `false`; how many bytes lie before that frame.
    fn walk(&mut self, bytes: &[u8], mut look: impl FnMut(Head) -> bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let skipped = self.skip.min(bytes.len() - at);
            self.skip -= skipped;
            at += skipped;
            let began = at;
            let took = (HEAD_BYTES - self.have).min(bytes.len() - at);
            self.head[self.have..self.have + took].copy_from_slice(&bytes[at..at + took]);
            self.have += took;
            at += took;
            if self.have == HEAD_BYTES {
                let head = Head::read(&self.head);
                if !look(head) {
                    return began;
                }
                self.have = 0;
                self.skip = head.length;
            }
        }
        bytes.len()
    }
}

/// Frames that bring nothing, and what they may still cost.
struct Budget {
    limits: FrameBudget,
    left: u32,
    filled: Instant,
}

impl Budget {
    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.limits.burst);
    }

    fn pay(&mut self, cost: u32) -> Option<Reason> {
        if self.left < cost {
            // The clock is read only here, where a connection has been busy for a while.
            let passed = self.filled.elapsed();
            self.filled += passed;
            let refill = passed.as_millis() * u128::from(self.limits.per_second) / 1000;
            self.earn(u32::try_from(refill).unwrap_or(u32::MAX));
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                None
            }
            None => Some(Reason::ENHANCE_YOUR_CALM),
        }
    }
}

/// The streams whose sender has not ended them.
#[derive(Default)]
struct Uploads {
    open: BTreeSet<u32>,
    highest: u32,
    /// Streams up to this one are no longer judged.
    forgotten: u32,
    /// Identifiers were left out: HEADERS may be of a stream that never was, which is for `h2` to say.
    gaps: bool,
}

impl Uploads {
    /// RFC 9113, 5.1: DATA or HEADERS after END_STREAM or RST_STREAM is an error of type STREAM_CLOSED.
    fn refuse(&mut self, head: Head) -> Option<Reason> {
        let ends = head.ends_stream();
        match head.kind {
            HEADERS if head.stream > self.highest => {
                self.gaps |= head.stream != (self.highest + 1) | 1;
                self.highest = head.stream;
                if !ends {
                    self.open.insert(head.stream);
                }
                if self.open.len() > OPEN_MAX {
                    self.forgotten = self.open.pop_first().unwrap_or_default();
                }
            }
            DATA if head.stream > self.forgotten && head.stream <= self.highest => {
                if !self.open.contains(&head.stream) {
                    return Some(Reason::STREAM_CLOSED);
                }
                if ends {
                    self.open.remove(&head.stream);
                }
            }
            HEADERS => {
                let known = !self.gaps && head.stream > self.forgotten;
                if known && !self.open.contains(&head.stream) {
                    return Some(Reason::STREAM_CLOSED);
                }
                if ends {
                    self.open.remove(&head.stream);
                }
            }
            RST_STREAM => drop(self.open.remove(&head.stream)),
            _ => {}
        }
        None
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watch.found().is_some() {
            return Poll::Pending; // its driver ends it; nothing more is read
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let pass = self.came_in(&buffer.filled()[before..]);
        buffer.set_filled(before + pass);
        // Nothing of it may pass: that is no end of the stream.
        if pass == 0 && self.watch.found().is_some() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.went_out(&bytes[..wrote]);
        Poll::Ready(Ok(wrote))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, pieces))?;
        let mut left = wrote;
        for piece in pieces {
            let took = left.min(piece.len());
            self.went_out(&piece[..took]);
            left -= took;
        }
        Poll::Ready(Ok(wrote))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CLIENT_FRAMES, LINK_FRAMES};

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let head = [&(length as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [head, vec![0; length]].concat()
    }

    /// What is found in `frames` when they come in pieces of `size`, and how many bytes were let through.
    fn found(frames: &[Vec<u8>], size: usize) -> (Option<Reason>, usize) {
        let mut watched = Watched::new((), End::Server, CLIENT_FRAMES);
        let bytes = [&[0; PREFACE_BYTES][..], &frames.concat()].concat();
        let mut passed = 0;
        for piece in bytes.chunks(size) {
            passed += watched.came_in(piece);
            if watched.watch().found().is_some() {
                break;
            }
        }
        (watched.watch().found(), passed - PREFACE_BYTES)
    }

    #[test]
    fn pieces_of_any_size_are_read_alike() {
        let good = [frame(HEADERS, 0, 1, 40), frame(DATA, 1, 1, 300), frame(PING, 0, 0, 8), frame(0xbe, 0, 0, 0)];
        let length = good.concat().len();
        for size in 1..length {
            assert_eq!(found(&good, size), (None, length), "{size}");
            for (bad, reason) in [
                (frame(PING, 0, 0, 7), Reason::FRAME_SIZE_ERROR),
                (frame(DATA, 0, 1, 5), Reason::STREAM_CLOSED),
                (frame(HEADERS, 1, 1, 5), Reason::STREAM_CLOSED),
            ] {
                let (seen, passed) = found(&[good.concat(), bad], size);
                // A head that came in several pieces has begun to pass; its last byte never does.
                assert!(seen == Some(reason) && (length..length + HEAD_BYTES).contains(&passed), "{size}: {seen:?}");
            }
        }
    }

    #[test]
    fn a_budget_is_filled_by_answers() {
        let floods = |answers: usize| {
            let mut watched = Watched::new((), End::Server, CLIENT_FRAMES);
            watched.came_in(&[0; PREFACE_BYTES]);
            (0..10_000).position(|_| {
                watched.came_in(&frame(PING, 0, 0, 8));
                watched.went_out(&frame(DATA, 0, 1, 1).repeat(answers));
                watched.watch().found().is_some()
            })
        };
        assert_eq!(floods(1), None);
        // Time fills it as well, 64 a second.
        assert!(floods(0).is_some_and(|frames| (1024..2048).contains(&frames)));
    }

    #[test]
    fn whoever_reads_small_messages_may_measure_and_give_credit_for_each() {
        let mut watched = Watched::new((), End::Server, CLIENT_FRAMES);
        watched.came_in(&[0; PREFACE_BYTES]);
        // As grpc-go does for every DATA frame while none of its PINGs is under way, and HAProxy on the stream.
        let reading = [frame(WINDOW_UPDATE, 0, 1, 4), frame(WINDOW_UPDATE, 0, 0, 4), frame(PING, 0, 0, 8)].concat();
        for message in 0..10_000 {
            watched.went_out(&frame(DATA, 0, 1, 7));
            watched.came_in(&reading);
            assert_eq!(watched.watch().found(), None, "message {message}");
        }
    }

    #[test]
    fn all_streams_there_may_be_can_be_reset_together() {
        for (end, limits, streams) in [(End::Server, CLIENT_FRAMES, 2000), (End::Client, LINK_FRAMES, 65_536)] {
            let mut watched = Watched::new((), end, limits.carrying(streams));
            if end == End::Server {
                watched.came_in(&[0; PREFACE_BYTES]);
            }
            let head = |stream: usize| frame(HEADERS, END_STREAM, u32::try_from(stream * 2 + 1).unwrap(), 5);
            let reset = |stream: usize| frame(RST_STREAM, 0, u32::try_from(stream * 2 + 1).unwrap(), 4);
            for frame in (0..streams).map(head).chain((0..streams).map(reset)) {
                watched.came_in(&frame);
            }
            assert_eq!(watched.watch().found(), None, "{streams}");
        }
    }

    #[test]
    fn uploads_that_never_end_are_forgotten_and_not_judged() {
        let mut uploads = Uploads::default();
        let head = |kind, flags, stream| Head { length: 5, kind, flags, stream };
        for index in 0..3000 {
            assert_eq!(uploads.refuse(head(HEADERS, 0, index * 2 + 1)), None);
        }
        assert_eq!(uploads.open.len(), OPEN_MAX);
        assert_eq!(uploads.refuse(head(DATA, 1, 1)), None, "an old one");
        assert_eq!(uploads.refuse(head(DATA, 1, 5999)), None, "a known one");
        assert_eq!(uploads.refuse(head(DATA, 1, 5999)), Some(Reason::STREAM_CLOSED), "the same, ended");
    }
}
