//! WebSockets that are open (RFC 6455, RFC 8441): over every public protocol, through the tunnel and from the edge
//! itself, bytes pass both ways, and so does each end.

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use lockgate::http::websocket::accept_for;
use lockgate::sample::Sample;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::backend::{Backend, Conn};
use crate::client::{Answer, H1, H2, h1, h1_tls, h2};
use crate::world::{World, plan, until, within};

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The ways to a WebSocket, and through which destination.
pub const WAYS: [(Way, &str); 6] = [
    (Way::Plain, "shop.test"),
    (Way::Tls, "shop.test"),
    (Way::Http2, "shop.test"),
    (Way::Plain, "near.test"),
    (Way::Tls, "near.test"),
    (Way::Http2, "near.test"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Plain,
    Tls,
    Http2,
}

/// One WebSocket of a client, whatever it runs on.
pub enum Socket {
    Plain(H1<TcpStream>),
    Tls(Box<H1<lockgate::tls::Stream>>),
    Http2 { send: SendStream<Bytes>, recv: RecvStream, buffer: Vec<u8>, _connection: H2 },
}

impl Socket {
    /// The handshake and its answer; `extra` are further field lines of it.
    pub async fn open(world: &World, way: Way, host: &str, path: &str, extra: &[(&str, &str)]) -> (Answer, Self) {
        let fields: String = extra.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
        );
        match way {
            Way::Plain => {
                let mut client = h1(world.http).await;
                client.send(&head).await;
                (client.head().await.unwrap(), Self::Plain(client))
            }
            Way::Tls => {
                let mut client = h1_tls(world.https, host).await;
                client.send(&head).await;
                (client.head().await.unwrap(), Self::Tls(Box::new(client)))
            }
            Way::Http2 => Self::connect(h2(world.https, host).await, host, path, extra).await,
        }
    }

    async fn connect(mut client: H2, host: &str, path: &str, extra: &[(&str, &str)]) -> (Answer, Self) {
        until("SETTINGS_ENABLE_CONNECT_PROTOCOL", async || client.send.is_extended_connect_protocol_enabled()).await;
        let mut request = http::Request::connect(format!("https://{host}{path}")).header("sec-websocket-version", "13");
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (response, send) = client.send.send_request(request, false).unwrap();
        let (parts, recv) = within("a handshake's answer", response).await.unwrap().into_parts();
        let fields = parts.headers.iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let answer = Answer { status: parts.status.as_u16(), fields, body: Vec::new(), trailers: Vec::new() };
        (answer, Self::Http2 { send, recv, buffer: Vec::new(), _connection: client })
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(client) => client.send_bytes(bytes).await,
            Self::Tls(client) => client.send_bytes(bytes).await,
            Self::Http2 { send, .. } => send.send_data(Bytes::copy_from_slice(bytes), false).unwrap(),
        }
    }

    /// Exactly `count` bytes; `None` when the socket ends before.
    pub async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        match self {
            Self::Plain(client) => client.bytes(count).await,
            Self::Tls(client) => client.bytes(count).await,
            Self::Http2 { recv, buffer, .. } => {
                while buffer.len() < count {
                    let bytes = within("a WebSocket's bytes", recv.data()).await?.ok()?;
                    recv.flow_control().release_capacity(bytes.len()).unwrap();
                    buffer.extend_from_slice(&bytes);
                }
                Some(buffer.drain(..count).collect())
            }
        }
    }

    /// Whether the other end has ended, with nothing more said.
    pub async fn ends(&mut self) -> bool {
        self.bytes(1).await.is_none()
    }

    /// Ends our direction only.
    async fn finish(&mut self) {
        match self {
            Self::Plain(client) => client.stream.shutdown().await.unwrap(),
            Self::Tls(client) => client.stream.shutdown().await.unwrap(),
            Self::Http2 { send, .. } => send.send_data(Bytes::new(), true).unwrap(),
        }
    }
}

/// A frame of a client; the mask of zeros leaves the payload readable.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&header(opcode, payload.len(), 0x80)[..], &[0; 4], payload].concat()
}

/// The same as a server sends it.
fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&header(opcode, payload.len(), 0)[..], payload].concat()
}

fn header(opcode: u8, length: usize, mask: u8) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match length {
        0..126 => header.push(mask | u8::try_from(length).unwrap()),
        126..65_536 => {
            header.push(mask | 126);
            header.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}

pub async fn two_ways(url: String) -> World {
    plan().app("shop", &url).app_with("near", &url, |app| app.group = "local".into()).start().await
}

/// The backend's 101 for a handshake it got.
pub fn accepting(head: &str, extra: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    let accept = accept_for(key.as_bytes());
    let accept = accept.to_str().unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
    )
}

fn assert_open(answer: &Answer, way: Way, case: &str) {
    let expected = if way == Way::Http2 { 200 } else { 101 };
    assert_eq!(answer.status, expected, "{case}: {answer:?}");
    if way != Way::Http2 {
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{case}");
    }
    assert_eq!(answer.field("transfer-encoding"), None, "{case}");
    assert_eq!(answer.field("content-length"), None, "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6455_messages_come_back_over_every_protocol() {
    let sample = Sample::start().unwrap();
    let world = two_ways(sample.url()).await;
    let large: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
    for (way, host) in WAYS {
        let case = format!("{way:?} {host}");
        let offered = [("sec-websocket-protocol", "chat, echo"), ("origin", "https://shop.test")];
        let (answer, mut socket) = Socket::open(&world, way, host, "/ws", &offered).await;
        assert_open(&answer, way, &case);
        assert_eq!(answer.field("sec-websocket-protocol"), Some("echo"), "{case}");
        assert!(answer.field("set-cookie").is_some_and(|cookie| cookie.starts_with("sample_ws=seen")), "{case}");
        for (opcode, payload) in
            [(1, "hello".as_bytes()), (2, &[0, 255, 7]), (2, &large[..70_000]), (2, &large), (1, b"")]
        {
            socket.send(&frame(opcode, payload)).await;
            let expected = unmasked(opcode, payload);
            assert!(socket.bytes(expected.len()).await.unwrap() == expected, "{case}: {} bytes", payload.len());
        }
        let fragments = [&[0x01, 0x82, 0, 0, 0, 0][..], b"ab", &[0x80, 0x81, 0, 0, 0, 0], b"c"].concat();
        socket.send(&fragments).await;
        assert_eq!(socket.bytes(5).await.unwrap(), unmasked(1, b"abc"), "{case}: fragments");
        socket.send(&frame(9, b"ping")).await;
        assert_eq!(socket.bytes(6).await.unwrap(), unmasked(10, b"ping"), "{case}: a ping");
        socket.send(&frame(8, &1000u16.to_be_bytes())).await;
        assert_eq!(socket.bytes(4).await.unwrap(), unmasked(8, &1000u16.to_be_bytes()), "{case}: close");
        assert!(socket.ends().await, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rfc6455_9_1_extensions_and_cookies_pass() {
    let backend = Backend::serve(|mut conn, _| async move {
        let head = conn.head().await.unwrap();
        for field in ["sec-websocket-extensions: permessage-deflate; client_max_window_bits", "cookie: a=b", "x-mine: 1"] {
            assert!(head.contains(field), "{field} in {head}");
        }
        let extra = "Sec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Secure\r\nX-Ours: 1\r\n";
        conn.send(accepting(&head, extra).as_bytes()).await;
        conn.rest().await;
    })
    .await;
    let world = two_ways(backend.url()).await;
    let extra = [
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("cookie", "a=b"),
        ("x-mine", "1"),
    ];
    for (way, host) in WAYS {
        let case = format!("{way:?} {host}");
        let (answer, _socket) = Socket::open(&world, way, host, "/", &extra).await;
        assert_open(&answer, way, &case);
        assert_eq!(answer.field("sec-websocket-extensions"), Some("permessage-deflate"), "{case}");
        let cookies: Vec<_> = answer.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!(cookies.len(), 2, "{case}");
        assert_eq!(answer.field("x-ours"), Some("1"), "{case}");
    }
}

/// A backend that accepts, and hands its end of the socket to the test.
async fn handing_over() -> (Backend, mpsc::Receiver<Conn>) {
    let (give, take) = mpsc::channel(8);
    let backend = Backend::serve(move |mut conn, _| {
        let give = give.clone();
        async move {
            let head = conn.head().await.unwrap();
            conn.send(accepting(&head, "").as_bytes()).await;
            let _ = give.send(conn).await;
        }
    })
    .await;
    (backend, take)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_for_itself() {
    let (backend, mut ends) = handing_over().await;
    let world = two_ways(backend.url()).await;
    for (way, host) in WAYS {
        let case = format!("{way:?} {host}");
        let (_, mut socket) = Socket::open(&world, way, host, "/", &[]).await;
        let mut conn = within("the backend's end", ends.recv()).await.unwrap();
        socket.send(b"last words").await;
        socket.finish().await;
        assert_eq!(within(&case, conn.rest()).await, b"last words", "{case}: the client's end passes");
        conn.send(b"the answer").await;
        assert_eq!(socket.bytes(10).await.unwrap(), b"the answer", "{case}: the other direction is open still");
        conn.stream.shutdown().await.unwrap();
        assert!(socket.ends().await, "{case}");

        let (_, mut socket) = Socket::open(&world, way, host, "/", &[]).await;
        let mut conn = within("the backend's end", ends.recv()).await.unwrap();
        conn.send(b"that was all").await;
        conn.stream.shutdown().await.unwrap();
        assert_eq!(socket.bytes(12).await.unwrap(), b"that was all", "{case}");
        assert!(socket.ends().await, "{case}: the backend's end passes");
        socket.send(b"not yet").await;
        assert_eq!(within(&case, conn.bytes(7)).await, b"not yet", "{case}: the other direction is open still");
        socket.finish().await;
        assert!(within(&case, conn.rest()).await.is_empty(), "{case}");
    }
    until("no stream is left", async || world.edge.links().await.iter().all(|link| link.streams == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abrupt_end_reaches_the_other_side() {
    let (backend, mut ends) = handing_over().await;
    let world = two_ways(backend.url()).await;
    for (way, host) in WAYS {
        let case = format!("{way:?} {host}");
        let (_, mut socket) = Socket::open(&world, way, host, "/", &[]).await;
        let conn = within("the backend's end", ends.recv()).await.unwrap();
        conn.stream.set_zero_linger().unwrap();
        drop(conn);
        assert!(socket.ends().await, "{case}: a backend that is gone");

        let (_, mut socket) = Socket::open(&world, way, host, "/", &[]).await;
        let mut conn = within("the backend's end", ends.recv()).await.unwrap();
        socket.send(b"x").await;
        assert_eq!(conn.bytes(1).await, b"x");
        if let Socket::Plain(client) = &socket {
            client.stream.set_zero_linger().unwrap();
        }
        drop(socket);
        assert!(within(&format!("{case}: a client that is gone"), conn.rest()).await.is_empty());
    }
    until("no stream is left", async || world.edge.links().await.iter().all(|link| link.streams == 0)).await;
}
