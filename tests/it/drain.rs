//! The edge stops: nothing new comes in, what is under way ends by itself or by the grace period.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate::drain::Ending;
use lockgate::sample::Sample;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::client::{h1, h1_tls, h2};
use crate::gate::{DOWNLOAD_BYTES, Gate};
use crate::socket::Socket;
use crate::world::{PATIENCE, World, plan, until, within};

const HOLD: &str = "GET /hold HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// Begins to stop the edge and returns once it accepts nothing any more.
async fn stop(world: &World, grace: Duration) -> JoinHandle<Ending> {
    let edge = Arc::clone(&world.edge);
    let stopping = tokio::spawn(async move { edge.stop(grace).await });
    for addr in [world.http, world.https] {
        until("new connections are refused", async || TcpStream::connect(addr).await.is_err()).await;
    }
    stopping
}

#[tokio::test(flavor = "multi_thread")]
async fn o06_requests_under_way_finish_and_their_connections_close() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).edge_workers(2).start().await;
    let (mut plain, mut secure) = (h1(world.http).await, h1_tls(world.https, "shop.test").await);
    plain.send(HOLD).await;
    secure.send(HOLD).await;
    let mut download = h1(world.http).await;
    download.send("GET /download HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    let mut upload = h1(world.http).await;
    upload.send("POST /hold HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut http2 = h2(world.https, "shop.test").await;
    let mut sender = http2.send.clone();
    let under_way = tokio::spawn(async move { http2.get("https://shop.test/hold").await });
    gate.has_seen(4).await;

    let stopping = stop(&world, PATIENCE).await;
    until("the HTTP/2 connection takes no more", async || {
        let request = http::Request::get("https://shop.test/").body(()).unwrap();
        sender.clone().ready().await.is_err() || sender.send_request(request, true).is_err()
    })
    .await;
    assert!(!stopping.is_finished(), "it waits for what is under way");
    upload.send("world").await;
    gate.has_seen(5).await;
    gate.open();
    for (name, answer) in [
        ("plain", plain.answer("GET").await),
        ("TLS", secure.answer("GET").await),
        ("upload", upload.answer("POST").await),
    ] {
        let answer = answer.unwrap_or_else(|| panic!("{name}: the request was lost"));
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")), "{name}");
    }
    // This head went out before the drain; its body is still whole.
    assert_eq!(download.answer("GET").await.map(|answer| answer.body.len()), Some(DOWNLOAD_BYTES));
    assert!(plain.is_closed().await && secure.is_closed().await && download.is_closed().await);
    assert_eq!(within("the HTTP/2 answer", under_way).await.unwrap().unwrap().status, 200);
    assert_eq!(within("the end", stopping).await.unwrap(), Ending::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_at_once() {
    let backend = Backend::mirror().await;
    let world = plan().app("shop", backend.url()).start().await;
    let mut used = h1(world.http).await;
    used.send("GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    assert_eq!(used.answer("GET").await.unwrap().status, 200);
    let mut fresh = h1_tls(world.https, "shop.test").await;
    let mut http2 = h2(world.https, "shop.test").await;
    assert_eq!(http2.get("https://shop.test/").await.unwrap().status, 200);
    let began = Instant::now();
    let stopping = stop(&world, PATIENCE).await;
    assert!(used.is_closed().await && fresh.is_closed().await);
    assert_eq!(within("the end", stopping).await.unwrap(), Ending::Finished);
    assert!(began.elapsed() < Duration::from_secs(5), "nothing was under way: {:?}", began.elapsed());
    assert!(http2.get("https://shop.test/").await.is_err());
    for listener in ["http", "https"] {
        let series = format!("lockgate_client_connections{{listener=\"{listener}\"}}");
        until(&series, async || world.metric(&series).await == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_go_on_until_the_grace_period_is_over() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).start().await;
    let (mut stays, mut leaves) =
        (Socket::open(world.http, "shop.test").await, Socket::open(world.http, "shop.test").await);
    let grace = Duration::from_secs(2);
    let began = Instant::now();
    let stopping = stop(&world, grace).await;
    for text in ["still", "here"] {
        assert_eq!(stays.echo(text).await.as_deref(), Some(text));
        assert_eq!(leaves.echo(text).await.as_deref(), Some(text));
    }
    drop(leaves);
    assert_eq!(within("the end", stopping).await.unwrap(), Ending::Abandoned(1));
    assert!(began.elapsed() >= grace, "the grace period was cut short: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_ends_in_time_ends_the_drain() {
    let sample = Sample::start().unwrap();
    let world = plan().app("shop", sample.url()).start().await;
    let mut socket = Socket::open(world.http, "shop.test").await;
    let stopping = stop(&world, PATIENCE).await;
    assert_eq!(socket.echo("bye").await.as_deref(), Some("bye"));
    drop(socket);
    assert_eq!(within("the end", stopping).await.unwrap(), Ending::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_period_of_nothing_abandons_what_is_under_way() {
    let gate = Gate::closed().await;
    let world = plan().app("shop", gate.url()).start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = h1(world.http).await;
        client.send(HOLD).await;
        clients.push(client);
    }
    gate.has_seen(3).await;
    assert_eq!(world.edge.stop(Duration::ZERO).await, Ending::Abandoned(3));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.unwrap().status, 200, "until the process ends they may still finish");
    }
    assert_eq!(world.edge.stop(PATIENCE).await, Ending::Finished);
}
