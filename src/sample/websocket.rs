//! `/ws`: a WebSocket that sends every message back (RFC 6455).
//!
//! Tungstenite keeps the protocol, this file moves the bytes: one buffer in, one buffer out, and no reading while the
//! answer to what was read is still unsent, so a client that does not read is not read from either. It refuses messages
//! over [`MESSAGE_BYTES_MAX`] (close code 1009) and offers no extensions. It takes any `Origin`: an echo tells nobody
//! anything they did not say.
//!
//! ```text
//!  socket ──read──▶ Pipe.input ──▶ tungstenite ──▶ Pipe.output ──write──▶ socket
//! ```

use std::io::{self, Read, Write};

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::streams::Body;

/// 16 MiB, the largest message of the Autobahn test suite.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// One read from the socket.
const READ_BYTES: usize = 16 << 10;

/// The one subprotocol it speaks, to a client that offers it.
const SUBPROTOCOL: &str = "echo";

/// Answers the handshake and leaves the echo running on a task of its own, or says what the handshake lacked.
pub fn accept(mut request: Request<Incoming>) -> Response<Body> {
    let mut response = match create_response_with_body(&request, || Body::whole("")) {
        Ok(response) => response,
        Err(error) => return refusal(&error),
    };
    let headers = response.headers_mut();
    if offers_echo(&request) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    // A cookie on the 101 is easily lost on the way; the page looks for it afterwards.
    headers.insert(header::SET_COOKIE, HeaderValue::from_static("sample_ws=seen; Path=/; SameSite=Lax"));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Either side going away ends the echo; there is nobody to tell.
        if let Ok(upgraded) = upgrade.await {
            let _ = echo(TokioIo::new(upgraded)).await;
        }
    });
    response
}

fn offers_echo(request: &Request<Incoming>) -> bool {
    request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}

/// 426 where the client has to ask for an upgrade, or for another version; 400 where it asked wrongly.
fn refusal(error: &Error) -> Response<Body> {
    let status = match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => StatusCode::UPGRADE_REQUIRED,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = Response::new(Body::whole(format!("This is a WebSocket endpoint. {error}.\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// The two buffers tungstenite reads and writes instead of a socket.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    /// How much of `input` tungstenite has taken.
    taken: usize,
    /// At most the echo of one message and what else fitted into one read.
    output: Vec<u8>,
}

impl Pipe {
    fn refill(&mut self, bytes: &[u8]) {
        debug_assert!(self.taken == self.input.len(), "refilled before it was empty");
        self.input.clear();
        self.input.extend_from_slice(bytes);
        self.taken = 0;
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.input[self.taken..];
        if left.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is left to do after a round of messages.
enum Next {
    Read,
    Close,
}

async fn echo<S>(mut socket: S) -> io::Result<()>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut websocket = WebSocket::from_raw_socket(Pipe::default(), Role::Server, Some(config));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        websocket.get_mut().refill(&buffer[..count]);
        let next = answer_all(&mut websocket);
        let output = std::mem::take(&mut websocket.get_mut().output);
        socket.write_all(&output).await?;
        socket.flush().await?;
        if matches!(next, Next::Close) {
            return socket.shutdown().await;
        }
    }
}

/// Echoes every message that is complete. Pings and closes are answered by tungstenite, into the same output.
fn answer_all(websocket: &mut WebSocket<Pipe>) -> Next {
    loop {
        let answered = match websocket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => websocket.send(message),
            Ok(_) => websocket.flush(),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Next::Read;
            }
            Err(error) => return refuse(websocket, &error),
        };
        if let Err(error) = answered {
            return refuse(websocket, &error);
        }
    }
}

/// Says why before it closes (RFC 6455, 7.4.1). After a finished close handshake there is nothing left to say.
fn refuse(websocket: &mut WebSocket<Pipe>, error: &Error) -> Next {
    let code = match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => return Next::Close,
    };
    // The connection ends either way; a close frame that cannot be made is only not sent.
    let _ = websocket.close(Some(CloseFrame { code, reason: "".into() }));
    let _ = websocket.flush();
    Next::Close
}
