//! A backend whose answers wait for the test's word, so that "in flight" is a fact and not a guess.
//!
//! ```text
//!   /hold      nothing until the gate opens, then 200
//!   /download  head and half of the body, the rest when the gate opens
//!   other      200 at once
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::backend::{Backend, Conn};
use crate::world::until;

/// Length of `/download`.
pub const DOWNLOAD_BYTES: usize = 1 << 20;

/// The backend and its gate.
pub struct Gate {
    pub backend: Backend,
    open: watch::Sender<bool>,
    seen: Arc<AtomicUsize>,
}

impl Gate {
    /// A closed gate.
    pub async fn closed() -> Self {
        let (open, gate) = watch::channel(false);
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        let backend = Backend::serve(move |conn, _| serve(conn, gate.clone(), count.clone())).await;
        Self { backend, open, seen }
    }

    pub fn url(&self) -> String {
        self.backend.url()
    }

    /// Lets every waiting answer go.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Requests that have arrived.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub async fn has_seen(&self, count: usize) {
        until(&format!("{count} requests at the backend"), async || self.seen() >= count).await;
    }
}

async fn serve(mut conn: Conn, mut gate: watch::Receiver<bool>, seen: Arc<AtomicUsize>) {
    while let Some(request) = conn.request().await {
        seen.fetch_add(1, Ordering::SeqCst);
        let target = request.head.split(' ').nth(1).unwrap_or_default();
        if target.starts_with("/download") {
            conn.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {DOWNLOAD_BYTES}\r\n\r\n").as_bytes()).await;
            conn.send(&vec![b'd'; DOWNLOAD_BYTES / 2]).await;
            let _ = gate.wait_for(|open| *open).await;
            conn.send(&vec![b'd'; DOWNLOAD_BYTES / 2]).await;
            continue;
        }
        if target.starts_with("/hold") {
            let _ = gate.wait_for(|open| *open).await;
        }
        conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
    }
}
