//! Bytes that wait to be written: heads and small pieces gathered in one buffer, large ones as
//! they are.
//!
//! ```text
//!   pieces: large │ large │ …   then   tail: head, small pieces      one write takes them all
//! ```
//!
//! A small response is one buffer and one plain `send`, which costs the kernel less than a
//! `writev`; the buffer is used again for the next one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::conn::COPIED_BYTES;
use crate::tls::Stream;

/// Pieces of one `writev`; Linux takes up to 1024, more than 64 has shown no gain.
const WRITE_PIECES: usize = 64;
/// A tail that has grown beyond this is given back once it is empty.
const TAIL_KEPT_BYTES: usize = 8 * 1024;

/// What waits to be written on one connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `pieces`.
    in_pieces: usize,
}

impl Output {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.in_pieces + self.tail.len()
    }

    /// Adds bytes: small ones by copying them, large ones as they are.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED_BYTES {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.in_pieces += self.tail.len();
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.in_pieces += bytes.len();
        self.pieces.push_back(bytes);
    }

    /// The buffer that a head is written into.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// No head will be written for long: its buffer goes, if it is empty.
    pub(super) fn rest(&mut self) {
        if self.tail.is_empty() {
            self.tail = BytesMut::new();
        }
    }

    /// Writes once; the number of bytes written.
    pub(super) fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let wrote = if self.pieces.is_empty() {
            ready!(stream.poll_write(cx, &self.tail))?
        } else {
            let mut slices = [IoSlice::new(&[]); WRITE_PIECES];
            let mut count = 0;
            let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
            for (slice, piece) in slices.iter_mut().zip(self.pieces.iter().map(|piece| &piece[..]).chain(tail)) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            ready!(stream.poll_write_vectored(cx, &slices[..count]))?
        };
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.consume(wrote);
        Poll::Ready(Ok(wrote))
    }

    fn consume(&mut self, mut wrote: usize) {
        while let Some(front) = self.pieces.front_mut() {
            let taken = wrote.min(front.len());
            self.in_pieces -= taken;
            wrote -= taken;
            front.advance(taken);
            if !front.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.tail.advance(wrote.min(self.tail.len()));
        if self.tail.is_empty() && self.tail.capacity() > TAIL_KEPT_BYTES {
            self.tail = BytesMut::new();
        } else if self.tail.is_empty() {
            self.tail.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_leave_in_order_whatever_the_writes_take() {
        let pieces =
            [b"head".to_vec(), vec![b'a'; COPIED_BYTES + 1], b"small".to_vec(), vec![b'b'; 3 * COPIED_BYTES], vec![]];
        let whole = pieces.concat();
        for step in [1, 7, COPIED_BYTES, whole.len()] {
            let mut output = Output::default();
            for piece in &pieces {
                output.push(Bytes::from(piece.clone()));
            }
            assert_eq!(output.len(), whole.len());
            let mut left = Vec::new();
            while output.len() > 0 {
                let queued: Vec<u8> =
                    output.pieces.iter().flat_map(|piece| piece.to_vec()).chain(output.tail.to_vec()).collect();
                let take = step.min(queued.len());
                left.extend_from_slice(&queued[..take]);
                output.consume(take);
            }
            assert_eq!(left, whole, "{step}");
        }
    }
}
