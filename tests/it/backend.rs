//! Backends under a test's control: raw bytes in, raw bytes out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A backend that runs until it is dropped.
pub struct Backend {
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Runs `serve` for every connection, with its number.
    pub async fn serve<F, Fut>(serve: F) -> Self
    where
        F: Fn(Conn, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Conn::new(stream), number));
            }
        });
        Self { addr, connections, task }
    }

    /// Answers every request with `answer`, keeping the connection.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::serve(move |mut conn, _| {
            let answer = answer.clone();
            async move {
                while conn.request().await.is_some() {
                    conn.send(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers every request with 200 and the request head it got as the body.
    pub async fn mirror() -> Self {
        Self::serve(|mut conn, _| async move {
            while let Some(request) = conn.request().await {
                let body = format!("{}\n{}", request.head, String::from_utf8_lossy(&request.body));
                conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            }
        })
        .await
    }

    /// Answers every complete request with 200 and `METHOD target`, and keeps a journal of what it got.
    pub async fn recording() -> (Self, Journal) {
        let journal = Journal::default();
        let writer = journal.clone();
        let backend = Self::serve(move |mut conn, _| {
            let journal = writer.clone();
            async move {
                while let Some(head) = conn.head().await {
                    journal.heads.lock().unwrap().push(head.clone());
                    let Some(request) = conn.body_of(head).await else {
                        journal.cut.fetch_add(1, Ordering::SeqCst);
                        return;
                    };
                    let line = request.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                    journal.requests.lock().unwrap().push(request);
                    let body = if line.starts_with("HEAD ") { "" } else { &line };
                    conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", line.len()).as_bytes())
                        .await;
                }
            }
        })
        .await;
        (backend, journal)
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a recording backend got.
#[derive(Clone, Default)]
pub struct Journal {
    heads: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<Vec<Received>>>,
    cut: Arc<AtomicUsize>,
}

impl Journal {
    /// Every request line and field section that arrived, complete request or not.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The complete requests since the last call.
    pub fn take(&self) -> Vec<Received> {
        self.heads.lock().unwrap().clear();
        self.cut.store(0, Ordering::SeqCst);
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// Requests since [`Journal::take`] whose connection ended before they were complete.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

/// A request as a backend got it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Request line and fields, without the empty line.
    pub head: String,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The trailer fields of a chunked body, as lines.
    pub trailers: Vec<String>,
}

impl Received {
    /// The values of a field, in order.
    pub fn field(&self, name: &str) -> Vec<String> {
        let matches = |line: &&str| line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = |line: &str| line.split_once(':').unwrap().1.trim().to_owned();
        self.head.lines().skip(1).filter(matches).map(value).collect()
    }
}

/// A connection to a backend.
pub struct Conn {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Conn {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads more; `false` at the end.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                true
            }
        }
    }

    /// The next head, without its body.
    pub async fn head(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.raw_head().await?).into_owned())
    }

    /// The bytes of the next head.
    pub async fn raw_head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.buffer[..end].to_vec();
                self.buffer.drain(..end + 4);
                return Some(head);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// At least `count` bytes of what follows, or everything until the end.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.more().await {}
        let take = count.min(self.buffer.len());
        self.buffer.drain(..take).collect()
    }

    /// Whether bytes are there that nobody has read.
    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty() || self.stream.try_read(&mut [0]).is_ok_and(|length| length > 0)
    }

    /// Everything until the peer ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next complete request; `None` at the end of the connection.
    pub async fn request(&mut self) -> Option<Received> {
        let head = self.head().await?;
        self.body_of(head).await
    }

    /// The request that `head` begins; `None` when it is not complete and well-formed.
    pub async fn body_of(&mut self, head: String) -> Option<Received> {
        let mut received = Received { head, body: Vec::new(), trailers: Vec::new() };
        if let Some(length) = received.field("content-length").first() {
            let length = length.parse().ok()?;
            received.body = self.bytes(length).await;
            return (received.body.len() == length).then_some(received);
        }
        if received.field("transfer-encoding").is_empty() {
            return Some(received);
        }
        loop {
            let data = self.chunk().await?;
            if data.is_empty() {
                break;
            }
            received.body.extend_from_slice(&data);
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(received);
            }
            received.trailers.push(line);
        }
    }

    /// The next chunk; empty for the last one, whose trailer section follows.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).ok()?;
        let data = self.bytes(size).await;
        let whole = data.len() == size && (size == 0 || self.line().await?.is_empty());
        whole.then_some(data)
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
}
