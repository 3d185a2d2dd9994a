//! Room 1: the public door. Listeners, TLS, and the two protocols clients speak.
//!
//! ```text
//!   accept ─▶ ClientHello ─┬ lockgate/1, lockgate-join/1 ─▶ office (a connector)
//!                          ├ h2 ──────────▶ serve HTTP/2 ───┐
//!                          └ http/1.1, – ─▶ serve HTTP/1.1 ─┴▶ corridor
//! ```
//!
//! It refuses what is over a limit before spending work on it, and decides nothing about apps.

pub mod certificates;
mod h1;
mod h2;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::net::{TcpListener, TcpStream};

use crate::drain::{Local, Watch};
use crate::exchange::Corridor;
use crate::http::{Peer, Scheme};
use crate::io::tcp::Tcp;
use crate::io::{memory, socket};
use crate::limits::Limits;
use crate::metrics::Shard;
use crate::tls::{self, Stream, alpn};
use crate::tunnel::arrival::{Arrival, Office};
use crate::tunnel::tls::EdgeTls;
use certificates::Certificates;

/// What a full table of descriptors gets: time for connections to end, not a spinning loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// TLS towards clients, as of one configuration.
pub struct PublicTls {
    /// The configuration of handshakes.
    pub config: Arc<ServerConfig>,
    /// Which certificate answers for which name.
    pub certificates: Arc<Certificates>,
}

/// What one worker serves clients with.
pub struct Door {
    /// The corridor of this worker.
    pub corridor: Corridor,
    /// The limits of the process.
    pub limits: Rc<Limits>,
    /// This worker's counters.
    pub shard: Rc<Shard>,
    /// TLS towards clients.
    pub tls: Arc<ArcSwap<PublicTls>>,
    /// TLS towards connectors.
    pub link_tls: EdgeTls,
    /// Where connectors are judged.
    pub office: Office,
    /// The drain of the process.
    pub drain: Watch,
    /// The same, as this worker's connections ask for it.
    pub local_drain: Rc<Local>,
    /// Open client connections of all workers: touched once when one opens and once when it ends.
    pub open: Arc<AtomicUsize>,
    /// Handshakes under way on this worker.
    pub handshakes: Cell<usize>,
}

/// Serves one listener on this worker until the drain begins.
pub async fn listen(door: Rc<Door>, listener: TcpListener, scheme: Scheme) {
    let mut drain = door.drain.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.draining() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, addr)) => admit(&door, tcp, addr, scheme),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                door.shard.metrics().refused.with_label_values(&["descriptors"]).inc();
                tracing::warn!(%error, "cannot accept; waiting for connections to end");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Errors that belong to the connection that was not accepted, not to the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// How many connections were accepted; all workers count here, so that a number is one connection's.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

fn admit(door: &Rc<Door>, tcp: TcpStream, addr: SocketAddr, scheme: Scheme) {
    let refuse = |limit: &str| door.shard.metrics().refused.with_label_values(&[limit]).inc();
    socket::tune(&tcp);
    let local = tcp.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    // An IPv4 client of a dual-stack listener is an IPv4 client.
    let client = addr.ip().to_canonical().to_string();
    let client = HeaderValue::from_str(&client).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let peer = Peer { addr, scheme, local, connection, tls_version: None, server_name: None, client };
    let door = door.clone();
    if scheme == Scheme::Http {
        let place = match door.place() {
            Ok(place) => place,
            Err(limit) => return refuse(limit),
        };
        tokio::task::spawn_local(async move {
            let counted = (door.shard.connection(false), place);
            let Ok(tcp) = Tcp::from(tcp).settle() else { return };
            socket::keep_alive(&tcp);
            h1::serve(&door, Stream::Plain(tcp), Rc::new(peer), counted).await;
        });
        return;
    }
    if door.handshakes.get() >= door.limits.handshakes_in_flight {
        return refuse("handshakes_in_flight");
    }
    tokio::task::spawn_local(serve_tls(door, tcp, peer));
}

impl Door {
    /// A place for one more client; else the limit that is reached.
    fn place(&self) -> Result<Place, &'static str> {
        if memory::is_short() {
            return Err("memory");
        }
        Place::take(&self.open, self.limits.connections).ok_or("connections")
    }
}

/// A place among the open connections.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        if open.fetch_add(1, Ordering::Relaxed) >= most {
            open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(open.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is at the other end of a finished handshake.
enum Caller {
    Client(Stream, Option<Arc<str>>, Place),
    Connector { stream: Stream, link: bool },
}

impl Caller {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Client(..) => "public",
            Self::Connector { link: true, .. } => "link",
            Self::Connector { link: false, .. } => "join",
        }
    }
}

/// As Envoy writes it.
const fn tls_version(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        _ => None,
    }
}

async fn serve_tls(door: Rc<Door>, tcp: TcpStream, mut peer: Peer) {
    door.handshakes.set(door.handshakes.get() + 1);
    let shaken = tokio::time::timeout(door.limits.tls_handshake_timeout, shake_hands(&door, tcp)).await;
    door.handshakes.set(door.handshakes.get() - 1);
    let handshakes = &door.shard.metrics().handshakes;
    let caller = match shaken {
        Ok(Ok(caller)) => caller,
        Ok(Err(error)) => {
            handshakes.with_label_values(&["public", "failed"]).inc();
            return tracing::debug!(peer = %peer.addr, %error, "TLS handshake failed");
        }
        Err(_) => return handshakes.with_label_values(&["public", "timeout"]).inc(),
    };
    handshakes.with_label_values(&[caller.kind(), "ok"]).inc();
    match caller {
        Caller::Connector { stream, link } => {
            deliver(&door, stream, peer.addr, link);
        }
        Caller::Client(stream, server_name, place) => {
            let counted = (door.shard.connection(true), place);
            peer.server_name = server_name;
            peer.tls_version = stream.tls().and_then(|tls| tls.protocol_version()).and_then(tls_version);
            let Ok(stream) = stream.settle() else { return };
            socket::keep_alive(stream.tcp());
            let http2 = stream.tls().and_then(|tls| tls.alpn_protocol()).is_some_and(|name| name == alpn::H2);
            if http2 {
                h2::serve(&door, stream, Rc::new(peer)).await;
                drop(counted);
            } else {
                h1::serve(&door, stream, Rc::new(peer), counted).await;
            }
        }
    }
}

async fn shake_hands(door: &Door, tcp: TcpStream) -> io::Result<Caller> {
    let (tcp, accepted) = tls::read_hello(tcp).await?;
    let hello = accepted.client_hello();
    let offers = |name: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|offer| offer == name));
    if offers(alpn::LINK) || offers(alpn::JOIN) {
        let link = offers(alpn::LINK);
        let config = if link { &door.link_tls.link } else { &door.link_tls.join };
        let stream = tls::accept(tcp, accepted, config.clone()).await?;
        return Ok(Caller::Connector { stream, link });
    }
    // Only now is it known to be no connector: a crowd of clients must not keep those out.
    let place = door.place().map_err(|limit| {
        door.shard.metrics().refused.with_label_values(&[limit]).inc();
        io::Error::other(format!("limits.{limit} is reached"))
    })?;
    let server_name = hello.server_name().map(|name| Arc::from(name.trim_end_matches('.').to_ascii_lowercase()));
    let config = door.tls.load().config.clone();
    Ok(Caller::Client(tls::accept(tcp, accepted, config).await?, server_name, place))
}

/// Hands a connector to the office, off this worker.
fn deliver(door: &Door, stream: Stream, peer: SocketAddr, link: bool) {
    socket::keep_alive(stream.tcp());
    let certificate = stream.tls().and_then(|tls| tls.peer_certificates()?.first().map(|cert| cert.to_vec()));
    if link && certificate.is_none() {
        return; // rustls has refused it already
    }
    let Ok(stream) = stream.detach() else { return };
    let arrival = Arrival { stream, peer, certificate: certificate.filter(|_| link) };
    if door.office.arrivals.try_send(arrival).is_err() {
        door.shard.metrics().refused.with_label_values(&["arrivals"]).inc();
    }
}
