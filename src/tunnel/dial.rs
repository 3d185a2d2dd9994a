//! The connector dials: TCP, TLS, hello. The only way a connector is ever connected.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{AlertDescription, ClientConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::lookup_host;

use super::HELLO_TIMEOUT;
use super::hello::{self, Answer, Refusal};
use super::tls::edge_name;
use crate::io::socket;
use crate::tls::{self, Stream};

/// Why no link could be made, told apart by what mends it.
#[derive(Debug)]
pub enum DialError {
    /// The edge's name does not resolve.
    Name(String),
    /// No TCP connection: a firewall, a wrong port, an edge that is down.
    Connect(String),
    /// TLS failed: something else answers, an inspecting proxy stands between, or the CA differs.
    Tls(String),
    /// The edge does not accept our certificate: it is over, or of another edge.
    Certificate,
    /// The connection broke during the hello.
    Hello(String),
    /// The edge said no.
    Refused(Refusal),
    /// No answer in time.
    Timeout,
}

impl DialError {
    /// The word in metrics and status.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Certificate => "certificate",
            Self::Hello(_) => "hello",
            Self::Refused(_) => "refused",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => {
                write!(f, "the edge's name does not resolve ({why}); check the edge address and DNS here")
            }
            Self::Connect(why) => {
                write!(f, "no connection to the edge ({why}); check that it runs and that its port is open outbound")
            }
            Self::Tls(why) => write!(
                f,
                "TLS with the edge failed ({why}); check that the address is the edge's own port and that no proxy inspects TLS on the way"
            ),
            Self::Certificate => write!(
                f,
                "the edge does not accept this connector's certificate: it has expired, or belongs to another edge; join again with a new token"
            ),
            Self::Hello(why) => write!(f, "the edge broke off the greeting ({why}); its log may say why"),
            Self::Refused(refusal) => write!(f, "the edge refused: {} [{}]", refusal.reason, refusal.code),
            Self::Timeout => write!(f, "the edge did not answer within {HELLO_TIMEOUT:?}; check firewalls on the way"),
        }
    }
}

impl std::error::Error for DialError {}

/// Dials `edge`, says `greeting`, and reads the answer.
///
/// # Errors
/// [`DialError`], each with its own mend.
pub async fn dial<G: Serialize, W: DeserializeOwned>(
    edge: &str,
    config: Arc<ClientConfig>,
    greeting: &G,
) -> Result<(Stream, W), DialError> {
    match tokio::time::timeout(HELLO_TIMEOUT, greet(edge, config, greeting)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::Timeout),
    }
}

async fn greet<G: Serialize, W: DeserializeOwned>(
    edge: &str,
    config: Arc<ClientConfig>,
    greeting: &G,
) -> Result<(Stream, W), DialError> {
    let addresses: Vec<SocketAddr> =
        lookup_host(edge).await.map_err(|error| DialError::Name(error.to_string()))?.collect();
    let tcp = connect_any(&addresses).await?;
    let mut stream = tls::connect(tcp, config, edge_name()).await.map_err(|error| DialError::Tls(error.to_string()))?;
    // With TLS 1.3 a refused client certificate shows only in the first read.
    let broken = |error: io::Error| match error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(
            AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError,
        )) => DialError::Certificate,
        Some(reason) => DialError::Tls(reason.to_string()),
        None => DialError::Hello(error.to_string()),
    };
    socket::keep_alive(stream.tcp());
    hello::write(&mut stream, greeting).await.map_err(broken)?;
    match hello::read(&mut stream).await.map_err(broken)? {
        Answer::Ok(welcome) => Ok((stream, welcome)),
        Answer::Refused(refusal) => Err(DialError::Refused(refusal)),
    }
}

async fn connect_any(addresses: &[SocketAddr]) -> Result<tokio::net::TcpStream, DialError> {
    let mut last = "no address".to_owned();
    for &address in addresses {
        match socket::connect(address, HELLO_TIMEOUT / 3).await {
            Ok(tcp) => {
                return Ok(tcp);
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(DialError::Connect(last))
}
