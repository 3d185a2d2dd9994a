//! T12: readers that stall fill windows, and windows are shared; the others of their link must not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use h2::RecvStream;
use tokio::io::AsyncWriteExt;

use crate::backend::Backend;
use crate::client::{get, h1, h2};
use crate::frames::{END_STREAM, End, Frames, INITIAL_WINDOW_SIZE};
use crate::world::{World, plan, until, within};

/// Nothing moves for this long: every window and buffer on the way is full.
const QUIET: Duration = Duration::from_millis(400);
/// A body of 20 MB, to be had while others stall.
const BODY_BYTES: usize = 20_000_000;

/// A backend that sends without end to `/flood`, and byte by byte to `/flood-of-crumbs`, and counts what was taken; it
/// sends a whole body to anything else.
struct Flood {
    backend: Backend,
    taken: Arc<AtomicU64>,
}

impl Flood {
    async fn start() -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        let backend = Backend::serve(move |mut conn, _| {
            let count = count.clone();
            async move {
                while let Some(request) = conn.request().await {
                    if !request.head.starts_with("GET /flood") {
                        conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n").as_bytes()).await;
                        conn.send(&vec![b'b'; BODY_BYTES]).await;
                        continue;
                    }
                    let crumbs = request.head.starts_with("GET /flood-of-crumbs");
                    let framing = if crumbs { "transfer-encoding: chunked" } else { "content-length: 1000000000000" };
                    conn.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await;
                    let piece = if crumbs { b"1\r\nc\r\n".repeat(10_000) } else { vec![b'f'; 64 * 1024] };
                    while conn.stream.write_all(&piece).await.is_ok() {
                        count.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    }
                }
            }
        })
        .await;
        Self { backend, taken }
    }

    /// Waits until nothing is taken any more.
    async fn is_quiet(&self) {
        let mut since = Instant::now();
        let mut seen = 0;
        until("the windows are full", async || {
            let now = self.taken.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            seen > 0 && since.elapsed() > QUIET
        })
        .await;
    }
}

/// Asks for the flood on `connections` × `streams` streams and reads nothing.
async fn stall(world: &World, connections: usize, streams: usize) -> Vec<RecvStream> {
    let mut stalled = Vec::new();
    for _ in 0..connections {
        let client = h2(world.https, "shop.test").await;
        for _ in 0..streams {
            let request = http::Request::get("https://shop.test/flood").body(()).unwrap();
            let mut send = client.send.clone().ready().await.unwrap();
            let (response, _) = send.send_request(request, true).unwrap();
            stalled.push(within("a head", response).await.unwrap().into_body());
        }
    }
    stalled
}

async fn others_are_served_beside(connections: usize, streams: usize) {
    let flood = Flood::start().await;
    let world = plan().app("shop", flood.backend.url()).start().await;
    let stalled = stall(&world, connections, streams).await;
    flood.is_quiet().await;
    assert_eq!(world.edge.links().await[0].streams, connections * streams);
    for _ in 0..3 {
        let answer = within("a body beside stalled ones", get(world.http, "shop.test", "/")).await;
        assert_eq!(answer.body.len(), BODY_BYTES);
    }
    assert_eq!(world.edge.links().await[0].state, "up");
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_twenty_readers_that_stall_do_not_hold_up_the_others_of_their_link() {
    others_are_served_beside(2, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_one_client_on_three_connections_cannot_stall_a_link() {
    others_are_served_beside(3, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_readers_that_stall_before_crumbs_do_not_end_their_link() {
    // A window full of single bytes is 262,144 frames, and h2 ends a connection that holds too many small ones.
    let flood = Flood::start().await;
    let world = plan().app("shop", flood.backend.url()).start().await;
    let (mut frames, _) = Frames::handshake(world.https, "shop.test", &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let (host, path) = ((":authority", "shop.test"), (":path", "/flood-of-crumbs"));
    for stream in [1, 3, 5, 7] {
        frames.headers(stream, &[(":method", "GET"), (":scheme", "https"), host, path], END_STREAM).await;
        assert_eq!(frames.end_of(stream).await, End::Status(200));
    }
    flood.is_quiet().await;
    assert_eq!(world.edge.links().await[0].streams, 4, "the link that was there");
    assert_eq!(get(world.http, "shop.test", "/").await.body.len(), BODY_BYTES);
}

/// Bytes that wait in the kernel to be sent to `peer`, as `/proc/net/tcp` tells.
#[cfg(target_os = "linux")]
fn waiting_in_the_kernel(peer: std::net::SocketAddr) -> u64 {
    let remote = format!("0100007F:{:04X}", peer.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().find(|line| line.split_whitespace().nth(2) == Some(&remote)).unwrap();
    u64::from_str_radix(row.split_whitespace().nth(4).unwrap().split(':').next().unwrap(), 16).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn o03_a_client_that_reads_nothing_pins_little_of_the_kernel() {
    let flood = Flood::start().await;
    let world = plan().app("shop", flood.backend.url()).start().await;
    let mut client = h1(world.http).await;
    client.send("GET /flood HTTP/1.1\r\nhost: shop.test\r\n\r\n").await;
    flood.is_quiet().await;
    let held = waiting_in_the_kernel(client.stream.local_addr().unwrap());
    // The kernel counts whole segments, and looks at the bound before it takes one more write.
    assert!(held > 0 && held < 1 << 20, "{held} bytes wait for a client that reads nothing");
}
