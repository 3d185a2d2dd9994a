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
/// Readers that read nothing: each has its process hold 256 KiB for it, all together twice the budget.
const STALLED: usize = 1024;

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
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut client = h1(http).await;
        // The last of them may find the door closed already.
        let _ = client.stream.write_all(FLOOD.as_bytes()).await;
        stalled.push(client);
    }
    until("memory is short", async || metric("lockgate_memory_short").await == 1.0).await;

    inside.send(request).await;
    let answer = inside.answer("GET").await.expect("an answer on a connection that was there");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.field("retry-after").is_some() && answer.text().contains("overloaded"), "{}", answer.text());
    assert!(h1(http).await.is_closed().await, "no new connection");
    assert!(metric("lockgate_refused_connections_total{limit=\"memory\"}").await >= 1.0);

    until("who reads nothing is cut, and memory is enough", async || metric("lockgate_memory_short").await == 0.0)
        .await;
    inside.send(request).await;
    assert_eq!(inside.answer("GET").await.unwrap().status, 200);
    let before = taken.load(Ordering::Relaxed);
    until("who reads goes on", async || taken.load(Ordering::Relaxed) > before + (1 << 20)).await;
    reading.abort();
    drop(stalled);
}
