//! A connection, plain or TLS, with large reads and gathered writes.
//!
//! ```text
//!   socket ──64 KiB read──▶ scratch ──▶ rustls ──▶ caller        (an idle stream holds no buffer)
//!   caller ──▶ rustls records ──one writev of many──▶ socket     (on flush, or above WRITE_BUFFER)
//! ```
//!
//! rustls reads at most 4 KiB at a time from a bare socket; here it reads from memory. It refuses
//! to report a clean end for a TLS stream cut without `close_notify`: that is `UnexpectedEof`.

use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::io::buffer::with_scratch;
use crate::io::tcp::Tcp;

/// Bytes that wait in rustls, encrypted, for a flush; a writer beyond it waits for the socket.
const WRITE_BUFFER: usize = 256 * 1024;

/// A client's, backend's or link's connection.
pub enum Stream {
    /// TCP without TLS.
    Plain(Tcp),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

/// TLS over TCP; see [`super::accept`] and [`super::connect`].
pub struct TlsStream {
    tcp: Tcp,
    tls: Connection,
    /// Ciphertext read from the socket that rustls had no room for yet.
    unread: Vec<u8>,
    unread_from: usize,
    /// The socket has ended; `true` even when the peer forgot `close_notify`.
    ended: bool,
    shut: bool,
}

/// A stream taken off its runtime, to be attached to another worker.
pub struct Detached {
    tcp: std::net::TcpStream,
    tls: Option<(Connection, Vec<u8>, bool)>,
}

impl Stream {
    /// The socket beneath.
    #[must_use]
    pub fn tcp(&self) -> &Tcp {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => &stream.tcp,
        }
    }

    /// Whether a read may give something: what is known without one.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(tcp) => tcp.poll_readable(cx),
            Self::Tls(_) => Poll::Ready(()),
        }
    }

    /// The TLS session, if there is one.
    #[must_use]
    pub fn tls(&self) -> Option<&Connection> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(&stream.tls),
        }
    }

    /// The stream stays on this worker from here: its ring drives it, if it has one.
    ///
    /// # Errors
    /// As [`Tcp::settle`].
    pub fn settle(self) -> io::Result<Self> {
        Ok(match self {
            Self::Plain(tcp) => Self::Plain(tcp.settle()?),
            Self::Tls(stream) => {
                let TlsStream { tcp, tls, unread, unread_from, ended, shut } = *stream;
                let tcp = tcp.settle()?;
                Self::Tls(Box::new(TlsStream { tcp, tls, unread, unread_from, ended, shut }))
            }
        })
    }

    /// Takes the stream off this runtime.
    ///
    /// # Errors
    /// When the socket cannot be deregistered.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Plain(tcp) => Detached { tcp: tcp.detach()?, tls: None },
            Self::Tls(stream) => {
                let TlsStream { tcp, tls, unread, unread_from, ended, .. } = *stream;
                Detached { tcp: tcp.detach()?, tls: Some((tls, unread[unread_from..].to_vec(), ended)) }
            }
        })
    }
}

impl Detached {
    /// Registers the stream with the current runtime.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn attach(self) -> io::Result<Stream> {
        let tcp = Tcp::from(tokio::net::TcpStream::from_std(self.tcp)?);
        Ok(match self.tls {
            None => Stream::Plain(tcp),
            Some((tls, unread, ended)) => {
                Stream::Tls(Box::new(TlsStream { tcp, tls, unread, unread_from: 0, ended, shut: false }))
            }
        })
    }
}

impl TlsStream {
    /// A stream whose handshake has not begun.
    pub(super) fn new(tcp: Tcp, mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(WRITE_BUFFER));
        Self { tcp, tls, unread: Vec::new(), unread_from: 0, ended: false, shut: false }
    }

    /// Runs the handshake.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_tls(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_feed(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Feeds rustls with ciphertext, from memory first. `Ok(0)` is the end of the socket.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.unread_from < self.unread.len() {
            let took = feed(&mut self.tls, &self.unread[self.unread_from..])?;
            self.unread_from += took;
            if self.unread_from == self.unread.len() {
                self.unread = Vec::new();
                self.unread_from = 0;
            }
            return Poll::Ready(Ok(took.max(1)));
        }
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let Self { tcp, tls, unread, ended, .. } = self;
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(tcp).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                *ended = true;
                return Poll::Ready(Ok(0));
            }
            let took = feed(tls, read)?;
            unread.extend_from_slice(&read[took..]);
            Poll::Ready(Ok(read.len()))
        })
    }

    fn poll_write_tls(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut sink = SyncWrite { tcp: &mut self.tcp, cx };
            match self.tls.write_tls(&mut sink) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            while buffer.remaining() > 0 {
                let mut reader = self.tls.reader();
                // Lent, not read: `read` would want the whole buffer zeroed first.
                match reader.fill_buf() {
                    Ok([]) => return Poll::Ready(Ok(())), // close_notify
                    Ok(chunk) => {
                        let took = chunk.len().min(buffer.remaining());
                        buffer.put_slice(&chunk[..took]);
                        reader.consume(took);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) if buffer.filled().len() > before => return Poll::Ready(Ok(())),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let some = buffer.filled().len() > before;
            if buffer.remaining() == 0 || (some && self.unread_from == self.unread.len()) {
                return Poll::Ready(Ok(()));
            }
            match self.poll_feed(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let _ = self.poll_write_tls(cx); // the alert
                    return Poll::Ready(Err(error));
                }
            }
            // Answers of the protocol itself (key updates, tickets) leave without waiting. That nothing
            // can be sent any more is for the next write to say: a peer that refused an upload and
            // closed has said why before it, and that must still be read.
            if self.tls.wants_write() {
                let _ = self.poll_write_tls(cx);
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let wrote = self.tls.writer().write_vectored(pieces)?;
            if wrote > 0 || pieces.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(Ok(wrote));
            }
            // rustls is full: make room on the socket, or wait for it.
            ready!(self.poll_write_tls(cx))?;
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            self.tls.send_close_notify();
            self.shut = true;
        }
        ready!(self.poll_write_tls(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Hands rustls as much of `bytes` as it takes; how much that was.
fn feed(tls: &mut Connection, bytes: &[u8]) -> io::Result<usize> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match tls.read_tls(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            // The plaintext of earlier records must be read first.
            Err(error) if error.kind() == io::ErrorKind::Other => break,
            Err(error) => return Err(error),
        }
        let state = tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if state.peer_has_closed() {
            return Ok(bytes.len());
        }
    }
    Ok(bytes.len() - rest.len())
}

struct SyncWrite<'a, 'b> {
    tcp: &'a mut Tcp,
    cx: &'a mut Context<'b>,
}

impl Write for SyncWrite<'_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, pieces) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => stream.poll_write(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(stream) => stream.poll_write_tls(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}
