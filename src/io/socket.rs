//! Listening and dialling TCP sockets with the options every room expects.
//!
//! Refuses to hide a failed option that changes behaviour: binding and connecting return errors,
//! while mere hints (`TCP_NODELAY`) are best effort.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::tcp::Tcp;

/// Connections the kernel may hold before a worker accepts them. The kernel caps it at
/// `net.core.somaxconn` (4096 by default), so asking for that much is asking for its limit.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Binds `count` listeners to one address, one for each worker, by `SO_REUSEPORT`.
///
/// A port of 0 is chosen by the system once and shared by all. The sockets are plain descriptors:
/// each worker turns its own into a [`TcpListener`] on its own runtime with [`listen`].
///
/// # Errors
/// The kernel's error, for example `AddrInUse` or `PermissionDenied` (ports below 1024).
pub fn bind_shared(addr: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    // The first socket is bound without SO_REUSEPORT set by others in mind: if a foreign process
    // holds the port without the option the bind fails, which is what an operator must hear.
    let probe = std::net::TcpListener::bind(addr)?;
    let addr = probe.local_addr()?;
    drop(probe);
    let sockets = (0..count.max(1)).map(|_| bind_one(addr)).collect::<io::Result<Vec<_>>>()?;
    Ok((addr, sockets))
}

fn bind_one(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Registers a bound listener with the current runtime.
///
/// # Errors
/// The kernel's error when the descriptor cannot be registered.
pub fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Dials `addr` and sets the options of a long-lived connection.
///
/// # Errors
/// `TimedOut` after `timeout`, otherwise the kernel's error.
pub async fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(addr)).await {
        Ok(connected) => connected?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "connect timed out")),
    };
    tune(&stream);
    Ok(stream)
}

/// Sets `TCP_NODELAY`: every writer here gathers its own bytes, Nagle would only add 40 ms.
pub fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}

/// Lets the kernel find a dead peer of a connection that may be silent for hours (a WebSocket):
/// first probe after a minute, three probes ten seconds apart.
pub fn keep_alive(stream: &Tcp) {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    #[cfg(unix)]
    let probes = probes.with_retries(3);
    stream.options(|socket| drop(socket.set_tcp_keepalive(&probes)));
}
