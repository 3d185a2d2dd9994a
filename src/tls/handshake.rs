//! Handshakes: a server's in two steps, so that it can choose by name and protocol, and a client's.
//!
//! It refuses to keep time: every caller sets the deadline of its own room.

use std::io::{self, Read};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig};
use tokio::net::TcpStream;

use super::stream::{Stream, TlsStream};

/// Reads a ClientHello (RFC 8446, 4.1.2), so that the server can choose a configuration by name
/// and protocol. The caller sets the deadline.
///
/// # Errors
/// The peer's fault in words; the fitting alert has been sent.
pub async fn read_hello(tcp: TcpStream) -> io::Result<(TcpStream, Accepted)> {
    let mut acceptor = Acceptor::default();
    // A hello may come in any number of pieces; rustls bounds its length at 64 KiB.
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok((tcp, accepted)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                let _ = alert.write_all(&mut bytes);
                let _ = tcp.try_write(&bytes);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        tcp.readable().await?;
        let mut source = SyncRead(&tcp);
        match acceptor.read_tls(&mut source) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Completes a server handshake whose ClientHello was read. The caller sets the deadline.
///
/// # Errors
/// The reason the handshake failed; the alert has been sent.
pub async fn accept(tcp: TcpStream, hello: Accepted, config: Arc<ServerConfig>) -> io::Result<Stream> {
    match hello.into_connection(config) {
        Ok(connection) => shake_hands(tcp, Connection::Server(connection)).await,
        Err((error, mut alert)) => {
            let mut bytes = Vec::new();
            let _ = alert.write_all(&mut bytes);
            let _ = tcp.try_write(&bytes);
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }
}

/// Makes a client handshake. The caller sets the deadline.
///
/// # Errors
/// The reason the handshake failed; a `rustls::Error` is the error's source.
pub async fn connect(tcp: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Stream> {
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    shake_hands(tcp, Connection::Client(connection)).await
}

async fn shake_hands(tcp: TcpStream, tls: Connection) -> io::Result<Stream> {
    let mut stream = TlsStream::new(tcp.into(), tls);
    std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

struct SyncRead<'a>(&'a TcpStream);

impl Read for SyncRead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}
