//! O04: when memory is short, nothing new is taken on, who reads nothing is cut, and what moves goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;

use crate::backend::Backend;
use crate::cli::{Process, free_address};
use crate::client::{get, h1};
use crate::world::{Scratch, read_metric, until};

/// The smallest there may be.
const BUDGET: &str = "128MiB";
/// Readers that read nothing: each has its process hold 256 KiB for it, all together four times the budget.
const STALLED: usize = 2048;

const FLOOD: &str = "GET /flood HTTP/1.1\r\nhost: shop.test\r\n\r\n";

/// Answers `/flood` without end, and anything else with an `ok`.
async fn flood() -> Backend {
    Backend::serve(|mut conn, _| async move {
        while let Some(request) = conn.request().await {
            if !request.head.starts_with("GET /flood") {
                conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                continue;
            }
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await;
            while conn.stream.write_all(&[b'f'; 64 * 1024]).await.is_ok() {}
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn o04_while_memory_is_short_what_is_new_is_refused_and_what_stalls_is_cut() {
    let (backend, dir) = (flood().await, Scratch::new());
    let [https, http, admin] = std::array::from_fn(|_| free_address());
    let file = dir.path().join("lockgate.toml");
    let internal = backend.url();
    let text = format!(
        "data_dir = \"edge\"\nworkers = 1\n[listen]\nhttps = \"{https}\"\nhttp = \"{http}\"\nadmin = \"{admin}\"\n\
         [limits]\nmemory = \"{BUDGET}\"\n[[app]]\nname = \"shop\"\nexternal_url = \"http://shop.test/\"\n\
         internal_url = \"{internal}\"\ngroup = \"local\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let process = Process::start(&["edge", "--config", file.to_str().unwrap()]);
    process.line("ready");
    let metric = async |name: &str| read_metric(&get(admin, "localhost", "/metrics").await.text(), name);
    until("memory is looked at", async || metric("lockgate_memory_used_bytes").await > 0.0).await;
    assert_eq!(metric("lockgate_memory_budget_bytes").await, f64::from(128 << 20));

    let request = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    let mut inside = h1(http).await;
    inside.send(request).await;
    assert_eq!(inside.answer("GET").await.unwrap().status, 200);
    let mut reader = h1(http).await;
    reader.send(FLOOD).await;
    let taken = Arc::new(AtomicU64::new(0));
    let reading = tokio::spawn({
        let taken = taken.clone();
        async move {
            while let Some(bytes) = reader.bytes(64 * 1024).await {
                taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
    });
    // They come one after the other and stay: memory is short again and again until the last has come.
    let attack = tokio::spawn(async move {
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let mut client = h1(http).await;
            // It may find the door closed.
            let _ = client.stream.write_all(FLOOD.as_bytes()).await;
            stalled.push(client);
        }
        stalled
    });
    let mut refusal = None;
    until("a request on a connection that was there is refused", async || {
        inside.send(request).await;
        refusal = inside.answer("GET").await.filter(|answer| answer.status == 503);
        refusal.is_some()
    })
    .await;
    let refusal = refusal.unwrap();
    assert!(refusal.field("retry-after").is_some() && refusal.text().contains("overloaded"), "{}", refusal.text());
    let refused = "lockgate_refused_connections_total{limit=\"memory\"}";
    until("a new connection is refused", async || metric(refused).await >= 1.0).await;

    let stalled = attack.await.unwrap();
    until("who reads nothing is cut, and memory is enough for others", async || {
        inside.send(request).await;
        inside.answer("GET").await.unwrap().status == 200
    })
    .await;
    let before = taken.load(Ordering::Relaxed);
    until("who reads goes on", async || taken.load(Ordering::Relaxed) > before + (1 << 20)).await;
    reading.abort();
    drop(stalled);
}
