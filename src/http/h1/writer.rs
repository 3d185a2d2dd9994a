//! Writes a body's frames in the framing its head announced; it refuses to send more or less.

use bytes::Bytes;

use super::{Conn, Framing, encode};
use crate::error::{Error, Kind, Side};
use crate::http::Frame;

/// Writes a body's frames onto a connection in the framing its head announced.
#[derive(Debug)]
pub struct BodyWriter {
    framing: Framing,
    left: u64,
}

impl BodyWriter {
    /// A writer for `framing`; [`Framing::UntilClose`] writes bytes as they are.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Self { framing, left }
    }

    /// Queues one frame.
    ///
    /// # Errors
    /// More bytes than the head announced.
    pub fn queue(&mut self, conn: &mut Conn, frame: Frame) -> Result<(), Error> {
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => match self.framing {
                Framing::None => return Err(Error::new(Kind::BackendInvalid, "a body where none may be")),
                Framing::UntilClose => conn.queue(bytes),
                Framing::Length(_) => {
                    self.left = self
                        .left
                        .checked_sub(bytes.len() as u64)
                        .ok_or_else(|| Error::new(Kind::BackendInvalid, "a body longer than its Content-Length"))?;
                    conn.queue(bytes);
                }
                Framing::Chunked => {
                    conn.queue(encode::chunk_size(bytes.len()));
                    conn.queue(bytes);
                    conn.queue(Bytes::from_static(b"\r\n"));
                }
            },
            Err(frame) => {
                if let (Framing::Chunked, Ok(fields)) = (self.framing, frame.into_trailers()) {
                    conn.queue(encode::last_chunk(Some(&fields)));
                    self.framing = Framing::None;
                }
            }
        }
        Ok(())
    }

    /// Queues the end of the body.
    ///
    /// # Errors
    /// Fewer bytes than the head announced: the connection must be cut.
    pub fn finish(&mut self, conn: &mut Conn) -> Result<(), Error> {
        match self.framing {
            Framing::Chunked => conn.queue(encode::last_chunk(None)),
            Framing::Length(_) if self.left > 0 => {
                return Err(Error::cut(Side::Backend, "a body shorter than its Content-Length"));
            }
            _ => {}
        }
        Ok(())
    }
}
