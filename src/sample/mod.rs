//! The sample intranet: a private web app to look at when there is none to publish yet.
//!
//! `lockgate up` without a URL starts it and publishes it like any other backend. Each page shows one thing a
//! proxy can get wrong: redirects, cookies, uploads, WebSockets, live streams, trailers, slow answers, errors.
//!
//! It listens on 127.0.0.1 only, on a port the system picks, on a thread of its own. It refuses to keep anything:
//! no files, no state between requests, no request body held in memory; all it knows of a visitor is in the
//! visitor's own request. It trusts no forwarding header and shows them as text.
//!
//! ```text
//!  mod ── accept ──▶ routes ── which page, which methods ──▶ pages      text made at start or per request
//!                                                       ├──▶ mirror     the visitor's own request, shown
//!                                                       ├──▶ streams    bodies that take time or space
//!                                                       └──▶ websocket  the echo endpoint
//! ```

mod mirror;
mod pages;
mod routes;
mod streams;
mod websocket;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it should be")]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::pages::Pages;

/// Enough for a load test against the sample; beyond it new connections wait in the listen backlog.
const CONNECTIONS_MAX: usize = 4096;

/// Also ends idle keep-alive connections, so it is longer than a proxy's usual pool idle time (60–90 s):
/// the proxy should be the side that closes first.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// After a failed accept (out of file descriptors) a short rest, instead of a loop that eats a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The running sample intranet. Dropping it stops it: open connections are cut, the thread is joined.
#[derive(Debug)]
pub struct Sample {
    addr: SocketAddr,
    /// `Some` until drop. Dropping the sender is the signal; nothing is ever sent.
    stop: Option<oneshot::Sender<()>>,
    /// `Some` until drop.
    thread: Option<JoinHandle<()>>,
}

impl Sample {
    /// Binds 127.0.0.1 on a free port and serves from a thread of its own. It answers as soon as this returns.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound, or the runtime or thread cannot be made.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pages = Arc::new(Pages::render(&format!("http://{addr}")));
        let (stop, stopped) = oneshot::channel();
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let thread = std::thread::Builder::new()
            .name("lockgate-sample".into())
            // The runtime is dropped at the end of this closure, and with it every open connection.
            .spawn(move || runtime.block_on(accept_until(stopped, listener, pages)))?;
        Ok(Self { addr, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens: 127.0.0.1 and the port the system picked.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its internal URL, `http://127.0.0.1:PORT/`, as an app's `internal_url` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by the panic hook; drop must not raise a second one.
            let _ = thread.join();
        }
    }
}

async fn accept_until(mut stopped: oneshot::Receiver<()>, listener: tokio::net::TcpListener, pages: Arc<Pages>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                tokio::spawn(serve(stream, slot, Arc::clone(&pages)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The slot comes first, so that the limit holds before the connection exists.
async fn accept(
    listener: &tokio::net::TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    // Server-sent events and echoes are small writes that must not wait for each other.
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn serve(stream: TcpStream, slot: OwnedSemaphorePermit, pages: Arc<Pages>) {
    let service = service_fn(move |request| routes::respond(Arc::clone(&pages), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // The peer going away mid-exchange is everyday life for a sample; there is nobody to tell.
    let _ = connection.await;
    drop(slot);
}
