//! Clients that speak the protocols byte by byte, so that a test says exactly what was sent.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use lockgate::tls::{self, Stream};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::within;

/// A response as a client got it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A TLS connection to the edge for `server_name`, offering `protocols`; any certificate is taken.
pub async fn connect_tls(addr: SocketAddr, server_name: &str, protocols: &[&str]) -> std::io::Result<Stream> {
    let provider = tls::provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(tls::VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(tls::danger::skip_backend_verification(provider))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    within("a TLS handshake", tls::connect(tcp, Arc::new(config), name)).await
}

/// An HTTP/1.1 connection, plain or TLS.
pub struct H1<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// A plain connection.
pub async fn h1(addr: SocketAddr) -> H1<TcpStream> {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    H1 { stream, buffer: Vec::new() }
}

/// A TLS connection that speaks HTTP/1.1.
pub async fn h1_tls(addr: SocketAddr, server_name: &str) -> H1<Stream> {
    H1 { stream: connect_tls(addr, server_name, &["http/1.1"]).await.unwrap(), buffer: Vec::new() }
}

/// One GET on a connection of its own.
pub async fn get(addr: SocketAddr, host: &str, target: &str) -> Answer {
    let mut client = h1(addr).await;
    client.send(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    client.answer("GET").await.expect("an answer")
}

impl<S: AsyncRead + AsyncWrite + Unpin> H1<S> {
    pub async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    /// Sends; a peer that has closed already is no failure of the test's.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match within("bytes from the edge", self.stream.read(&mut piece)).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                true
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next response head, final or interim.
    pub async fn head(&mut self) -> Option<Answer> {
        let status_line = self.line().await?;
        let status = status_line.split(' ').nth(1)?.parse().ok()?;
        let fields = self.fields().await?;
        Some(Answer { status, fields, body: Vec::new(), trailers: Vec::new() })
    }

    async fn fields(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(fields);
            }
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Exactly `count` bytes, or `None` when the connection ends before.
    pub async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next chunk of a chunked body; `None` at its end, its trailer section left unread.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let data = self.bytes(size).await.filter(|data| !data.is_empty())?;
        self.line().await?;
        Some(data)
    }

    /// Whether the edge has closed, with nothing more said.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    /// The next final response to `method`, complete; `None` when it is cut.
    pub async fn answer(&mut self, method: &str) -> Option<Answer> {
        let mut answer = self.head().await?;
        while answer.status < 200 && answer.status != 101 {
            answer = self.head().await?;
        }
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Some(answer);
        }
        if let Some(length) = answer.field("content-length") {
            answer.body = self.bytes(length.parse().ok()?).await?;
        } else if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
                if size == 0 {
                    answer.trailers = self.fields().await?;
                    break;
                }
                answer.body.extend(self.bytes(size).await?);
                self.line().await?;
            }
        } else {
            answer.body = self.rest().await;
        }
        Some(answer)
    }
}

/// An HTTP/2 connection to the edge.
pub struct H2 {
    pub send: h2::client::SendRequest<Bytes>,
}

/// Connects by TLS and ALPN.
pub async fn h2(addr: SocketAddr, server_name: &str) -> H2 {
    let stream = connect_tls(addr, server_name, &["h2"]).await.unwrap();
    // Room for one stalled stream of 64 KiB and others beside it.
    let (send, connection) =
        h2::client::Builder::new().initial_connection_window_size(1 << 20).handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    // Extended CONNECT is known only after the peer's SETTINGS.
    let send = within("HTTP/2 settings", send.ready()).await.unwrap();
    H2 { send }
}

impl H2 {
    /// Sends a request with a body in one piece and collects the response.
    pub async fn request(&mut self, request: http::Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        let response = within("an HTTP/2 response", response).await?;
        let (parts, mut stream) = response.into_parts();
        let mut answer = Answer {
            status: parts.status.as_u16(),
            fields: plain(&parts.headers),
            body: Vec::new(),
            trailers: Vec::new(),
        };
        while let Some(piece) = within("an HTTP/2 body", stream.data()).await {
            let piece = piece?;
            let _ = stream.flow_control().release_capacity(piece.len());
            answer.body.extend_from_slice(&piece);
        }
        if let Some(trailers) = stream.trailers().await? {
            answer.trailers = plain(&trailers);
        }
        Ok(answer)
    }

    pub async fn get(&mut self, url: &str) -> Result<Answer, h2::Error> {
        self.request(http::Request::get(url).body(()).unwrap(), b"").await
    }
}

fn plain(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
