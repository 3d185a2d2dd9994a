//! A way between connector and edge that a test can cut or block.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards TCP connections until it is dropped.
pub struct Forwarder {
    pub addr: SocketAddr,
    state: watch::Sender<Way>,
    accepted: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// What becomes of bytes; a connection ends when the generation is no longer its own.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    blocked: bool,
    generation: u64,
}

impl Forwarder {
    /// A forwarder to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (state, way) = watch::channel(Way { blocked: false, generation: 0 });
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_read, far_write, way.clone()));
                tokio::spawn(carry(far_read, near_write, way.clone()));
            }
        });
        Self { addr, state, accepted, task }
    }

    /// Closes every connection; new ones pass.
    pub fn cut(&self) {
        self.state.send_modify(|way| way.generation += 1);
    }

    /// Nothing passes any more, and nobody is told.
    pub fn block(&self) {
        self.state.send_modify(|way| way.blocked = true);
    }

    /// Everything passes again, what was held back first.
    pub fn unblock(&self) {
        self.state.send_modify(|way| way.blocked = false);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let generation = way.borrow().generation;
    let mut closing = way.clone();
    let carrying = async {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).await.unwrap_or(0);
            if way.wait_for(|way| !way.blocked).await.is_err() || length == 0 {
                return;
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = carrying => {}
        _ = closing.wait_for(|way| way.generation != generation) => {}
    }
    let _ = to.shutdown().await;
}
