//! The seam: a TCP connection, driven by the runtime's own reactor (epoll, IOCP) or by the worker's
//! io_uring.
//!
//! ```text
//!   accept, dial, handshake ── reactor ──▶ settle ──▶ the worker's ring, if it has one
//! ```
//!
//! A connection begins with the reactor, may be handed to another worker there, and settles once, if
//! it carries one client's or backend's messages. Links never settle: they are few, always busy, and
//! read in large pieces, where the ring was measured slower (docs/decisions/io-uring.md). Above this
//! file nobody knows which of the two drives it. It refuses to leave a ring again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(target_os = "linux")]
use super::uring;

/// Bytes the kernel takes from us beyond what the peer's window lets it send. Without a bound a peer that
/// reads nothing pins up to `tcp_wmem` (4 MiB) of kernel memory, and some hundred of them what all sockets
/// of the machine share, links included. What is under way to a peer that reads is not limited by it. Links
/// have no such bound: a connector has one for each worker, and with it they cost 7 % more at 1 MiB bodies.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 256 * 1024;

/// A TCP connection.
#[derive(Debug)]
pub enum Tcp {
    /// Driven by the runtime's reactor.
    Reactor(TcpStream),
    /// Driven by the worker's ring.
    #[cfg(target_os = "linux")]
    Ring(uring::Socket),
}

impl From<TcpStream> for Tcp {
    fn from(tcp: TcpStream) -> Self {
        Self::Reactor(tcp)
    }
}

impl Tcp {
    /// Bounds what waits in the kernel for the peer, and moves the connection into this worker's ring, if it
    /// has one; it stays on this worker.
    ///
    /// # Errors
    /// When the reactor does not let go of it, or does not take it back.
    pub fn settle(self) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        self.options(|socket| drop(socket.set_tcp_notsent_lowat(UNSENT_BYTES)));
        #[cfg(target_os = "linux")]
        if let Self::Reactor(tcp) = self {
            if !uring::is_running() {
                return Ok(Self::Reactor(tcp));
            }
            return match uring::Socket::adopt(tcp.into_std()?) {
                Ok(socket) => Ok(Self::Ring(socket)),
                Err(tcp) => TcpStream::from_std(tcp).map(Self::Reactor),
            };
        }
        Ok(self)
    }

    /// Takes the connection off this runtime.
    ///
    /// # Errors
    /// `Unsupported` for one that has settled in a ring, else the reactor's.
    pub fn detach(self) -> io::Result<std::net::TcpStream> {
        match self {
            Self::Reactor(tcp) => tcp.into_std(),
            #[cfg(target_os = "linux")]
            Self::Ring(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether a read may give something; an error is the read's to tell.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Reactor(tcp) => tcp.poll_read_ready(cx).map(|_| ()),
            #[cfg(target_os = "linux")]
            Self::Ring(socket) => socket.poll_readable(cx),
        }
    }

    /// Runs `set` on the descriptor, for its options.
    pub fn options(&self, set: impl FnOnce(SockRef<'_>)) {
        match self {
            Self::Reactor(tcp) => set(SockRef::from(tcp)),
            #[cfg(target_os = "linux")]
            Self::Ring(socket) => {
                socket.options(set);
            }
        }
    }

    /// Makes `close` send RST, so that a peer never mistakes a cut response for a complete one.
    pub fn reset_on_close(&self) {
        self.options(|socket| drop(socket.set_linger(Some(std::time::Duration::ZERO))));
        #[cfg(target_os = "linux")]
        if let Self::Ring(socket) = self {
            socket.abort_on_drop();
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Reactor(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            #[cfg(target_os = "linux")]
            Self::Ring(socket) => socket.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Reactor(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            #[cfg(target_os = "linux")]
            Self::Ring(socket) => socket.poll_write(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing waits here: the reactor writes at once, the ring at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Reactor(tcp) => Pin::new(tcp).poll_shutdown(cx),
            #[cfg(target_os = "linux")]
            Self::Ring(socket) => Poll::Ready(socket.shutdown()),
        }
    }
}
