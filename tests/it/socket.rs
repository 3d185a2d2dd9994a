//! A WebSocket client of a few lines (RFC 6455): enough to know that a socket is alive and untouched.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::client::{H1, h1};

/// An open WebSocket to an echo server.
pub struct Socket(H1<TcpStream>);

impl Socket {
    /// Opens `ws://host/ws`.
    pub async fn open(addr: SocketAddr, host: &str) -> Self {
        let mut client = h1(addr).await;
        client
            .send(&format!(
                "GET /ws HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ))
            .await;
        let answer = client.answer("GET").await.expect("an answer to the handshake");
        assert_eq!(answer.status, 101, "{}", answer.text());
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Self(client)
    }

    /// Sends `text` (at most 125 bytes) and reads a message back; `None` when the socket is gone.
    pub async fn echo(&mut self, text: &str) -> Option<String> {
        let length = u8::try_from(text.len()).unwrap();
        // A mask of zeros leaves the payload as it is.
        self.0.send_bytes(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()).await;
        let head = self.0.bytes(2).await?;
        assert_eq!(head[0], 0x81, "a whole text message");
        let payload = self.0.bytes(usize::from(head[1])).await?;
        Some(String::from_utf8(payload).unwrap())
    }
}
