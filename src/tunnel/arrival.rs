//! A connector at the door: accepted by a worker, judged by the office, given to a worker.
//!
//! ```text
//!   edge worker ──Arrival──▶ office: hello, store, welcome ──Admitted──▶ the worker of its slot
//! ```

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};

use super::hello::Hello;
use crate::tls::Detached;

/// Connectors waiting to be judged; each waiting one holds a socket. A fleet of hundreds that
/// comes back at once is spread over a second by its jitter.
const WAITING: usize = 1024;

/// A connection that finished its TLS handshake with one of our protocols.
pub struct Arrival {
    /// The connection.
    pub stream: Detached,
    /// Where it came from.
    pub peer: SocketAddr,
    /// The verified certificate of a link; `None` for one that wants to enrol.
    pub certificate: Option<Vec<u8>>,
}

/// A link that may go up.
pub struct Admitted {
    /// The connection; HTTP/2 begins with the next byte.
    pub stream: Detached,
    /// Whose it is.
    pub member: Member,
}

/// A connector, as the office knows it, and what it said.
pub struct Member {
    /// The connector's id.
    pub connector: String,
    /// Its name, for people.
    pub name: String,
    /// The group it serves.
    pub group: String,
    /// Serial number of its certificate.
    pub serial: String,
    /// Where it came from.
    pub peer: SocketAddr,
    /// What it said.
    pub hello: Hello,
}

/// A connector asks for a new certificate over its link.
pub struct Renewal {
    /// The connector, as its current certificate names it.
    pub connector: String,
    /// The certificate request, base64 of DER.
    pub csr: String,
    /// Where the new certificate (base64 of DER) goes.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// The way from workers to the office.
#[derive(Clone)]
pub struct Office {
    /// New connections.
    pub arrivals: mpsc::Sender<Arrival>,
    /// Renewals.
    pub renewals: mpsc::Sender<Renewal>,
}

/// The office's ends.
pub struct Desk {
    /// New connections.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Renewals.
    pub renewals: mpsc::Receiver<Renewal>,
}

/// Both ends.
#[must_use]
pub fn office() -> (Office, Desk) {
    let (arrivals, arrived) = mpsc::channel(WAITING);
    let (renewals, renewed) = mpsc::channel(WAITING);
    (Office { arrivals, renewals }, Desk { arrivals: arrived, renewals: renewed })
}
