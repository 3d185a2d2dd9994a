//! H20–H23: other ways into HTTP/2, early data, gRPC, and what is said before HTTP/2. H02–H07 and H19 are in
//! `http2_malformed`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use lockgate::config::BackendProtocol;
use lockgate::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::{GET, Siege};
use crate::client::{connect_tls, h1, h1_tls, h2};
use crate::frames::{CANCEL, DATA, END_STREAM, Frames, HEADERS, PREFACE, block, frame, headers, reset, settings};
use crate::world::{World, plan, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn h20_http2_begins_by_alpn_and_in_no_other_way() {
    let siege = Siege::start().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let mut plain = h1(siege.world.http).await;
    let mut secure = h1_tls(siege.world.https, "shop.test").await;
    plain.send(upgrade).await;
    secure.send(upgrade).await;
    for answer in [plain.answer("GET").await, secure.answer("GET").await] {
        let answer = answer.expect("H20: a plain answer");
        assert_eq!((answer.status, answer.text().as_str(), answer.field("upgrade")), (200, "ok\n", None), "H20");
    }
    let before = siege.reached();
    let request = [PREFACE, &settings(&[]), &headers(1, &GET, END_STREAM)].concat();
    let mut plain = h1(siege.world.http).await;
    let mut secure = h1_tls(siege.world.https, "shop.test").await;
    plain.send_bytes(&request).await;
    secure.send_bytes(&request).await;
    for answer in [plain.answer("GET").await, secure.answer("GET").await] {
        let answer = answer.expect("H20: a refusal");
        assert!([400, 505].contains(&answer.status), "H20: {}", answer.status);
        assert_eq!(answer.field("connection"), Some("close"), "H20");
    }
    assert!(plain.is_closed().await && secure.is_closed().await, "H20");
    assert_eq!(siege.reached(), before, "H20");
    siege.canary("H20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h21_no_early_data() {
    let siege = Siege::start().await;
    let provider = tls::provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(tls::VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(tls::danger::skip_backend_verification(provider))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.enable_early_data = true;
    let config = Arc::new(config);
    let name = ServerName::try_from("shop.test").unwrap();
    let connect = async || {
        let tcp = TcpStream::connect(siege.world.https).await.unwrap();
        within("a handshake", tls::connect(tcp, config.clone(), name.clone())).await.unwrap()
    };
    let mut first = Frames::over(connect().await);
    first.write(&[PREFACE, &settings(&[]), &headers(1, &GET, END_STREAM)].concat()).await;
    first.end_of(1).await;
    // The session is remembered, and offers nothing to be sent before its handshake is over.
    let mut next = ClientConnection::new(config.clone(), name.clone()).unwrap();
    assert!(next.early_data().is_none(), "H21");
    let second = connect().await;
    assert_eq!(second.tls().unwrap().handshake_kind(), Some(HandshakeKind::Resumed), "H21: a ticket was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_what_is_agreed_on_before_http2() {
    let siege = Siege::start().await;
    let refused = connect_tls(siege.world.https, "shop.test", &["foo"]).await.err().expect("H23: no connection");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "H23: {refused}");
    // A client of no name is served by the name in its request: nobody's certificate binds it (RFC 9110, 7.4).
    let mut nameless = Frames::over(connect_tls(siege.world.https, "127.0.0.1", &["h2"]).await.unwrap());
    nameless.write(&[PREFACE, &settings(&[]), &headers(1, &GET, END_STREAM)].concat()).await;
    assert_eq!(nameless.end_of(1).await, crate::frames::End::Status(200), "H23");
    // Without ALPN it is HTTP/1.1.
    let mut silent = connect_tls(siege.world.https, "shop.test", &[]).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut silent, PREFACE).await.unwrap();
    tokio::io::AsyncWriteExt::flush(&mut silent).await.unwrap();
    let mut answer = [0; 9];
    within("H23: an answer", silent.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 ", "H23");
    siege.canary("H23").await;
}

/// What a gRPC backend saw.
#[derive(Default)]
struct Seen {
    with_te: AtomicUsize,
    begun: AtomicUsize,
    cancelled: AtomicUsize,
}

/// A gRPC server of three methods: `/fail` answers with trailers only, `/echo` with one message and trailers, and
/// `/stream` never ends.
async fn grpc() -> (String, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Arc::new(Seen::default());
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let mut connection = ::h2::server::handshake(tcp).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer_call(request, respond, log.clone()));
                }
            });
        }
    });
    (url, seen)
}

async fn answer_call(
    request: http::Request<::h2::RecvStream>,
    mut respond: ::h2::server::SendResponse<Bytes>,
    seen: Arc<Seen>,
) {
    if request.headers().get("te").is_some_and(|te| te == "trailers") {
        seen.with_te.fetch_add(1, Ordering::SeqCst);
    }
    let head = || http::Response::builder().header("content-type", "application/grpc");
    if request.uri().path() == "/fail" {
        let _ = respond.send_response(head().header("grpc-status", "5").body(()).unwrap(), true);
        return;
    }
    let mut stream = respond.send_response(head().body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
    if request.uri().path() == "/echo" {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let _ = stream.send_trailers(trailers);
        return;
    }
    seen.begun.fetch_add(1, Ordering::SeqCst);
    let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    seen.cancelled.fetch_add(1, Ordering::SeqCst);
}

async fn grpc_world() -> (World, Arc<Seen>) {
    let (url, seen) = grpc().await;
    let world = plan().app_with("shop", &url, |app| app.backend_protocol = BackendProtocol::H2c).start().await;
    (world, seen)
}

fn call(path: &str) -> http::Request<()> {
    let request = http::Request::post(format!("https://shop.test{path}"));
    request.header("te", "trailers").header("content-type", "application/grpc").body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_grpc_ends_in_trailers() {
    let (world, seen) = grpc_world().await;
    let mut client = h2(world.https, "shop.test").await;
    let answer = client.request(call("/echo"), b"\0\0\0\0\x02hi").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\0\0\0\x02hi"[..]), "H22");
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())], "H22");
    // Trailers-only is a head that ends its stream.
    let (mut frames, _) = Frames::handshake(world.https, "shop.test", &[]).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "shop.test"),
        (":path", "/fail"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    frames.write(&[frame(HEADERS, 4, 1, &block(&fields)), frame(DATA, END_STREAM, 1, b"\0\0\0\0\0")].concat()).await;
    let head = loop {
        let frame = frames.next().await.expect("H22: an answer");
        if frame.stream == 1 && frame.kind == HEADERS {
            break frame;
        }
    };
    assert!(head.status() == 200 && head.ends_stream(), "H22: {head:?}");
    let answer = client.request(call("/fail"), b"\0\0\0\0\0").await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("5"), "H22");
    assert_eq!(seen.with_te.load(Ordering::SeqCst), 3, "H22: te: trailers");
}

#[tokio::test(flavor = "multi_thread")]
async fn h22_a_call_that_is_cancelled_is_cancelled_at_the_backend() {
    let (world, seen) = grpc_world().await;
    let (mut frames, _) = Frames::handshake(world.https, "shop.test", &[]).await;
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "shop.test"), (":path", "/stream")];
    frames.headers(1, &fields, 0).await;
    frames.headers(3, &fields, 0).await;
    for _ in 0..2 {
        while frames.next().await.expect("H22: a message").kind != DATA {}
    }
    frames.write(&reset(1, CANCEL)).await;
    until("H22: one is cancelled", async || seen.cancelled.load(Ordering::SeqCst) == 1).await;
    assert_eq!(seen.begun.load(Ordering::SeqCst), 2);
    // The other goes on until its connection goes.
    frames.send(DATA, 0, 3, b"more").await;
    frames.send(crate::frames::PING, 0, 0, &[1; 8]).await;
    while frames.next().await.expect("H22: the connection stays").kind != crate::frames::PING {}
    assert_eq!(seen.cancelled.load(Ordering::SeqCst), 1);
    drop(frames);
    until("H22: both are cancelled", async || seen.cancelled.load(Ordering::SeqCst) == 2).await;
}
