//! The lines exchanged before HTTP/2: hello and welcome, join and joined, or a refusal.
//!
//! One JSON object on one line of at most [`HELLO_BYTES`] bytes each way. Unknown members are
//! ignored, so that a newer side can say more. It refuses to guess: a line that is not of the
//! protocol ends the connection with a reason.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::limits::HELLO_BYTES;
use crate::tls::Stream;

/// A connector greets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::PROTOCOL_VERSION`] of the connector.
    pub protocol: u16,
    /// Its software version, for people.
    pub software: String,
    /// Random per process start: tells a restart from a twin.
    pub instance: String,
    /// Which of its links this is; the edge gives each slot to a worker.
    pub slot: u16,
    /// Host name, for people.
    pub host: String,
}

/// The edge accepts a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The edge's software version, for people.
    pub software: String,
    /// How many workers the edge has: how many links it wants.
    pub workers: u16,
    /// The group the connector serves.
    pub group: String,
    /// The connector's name, for people.
    pub name: String,
}

/// A connector wants to enrol.
#[derive(Clone, Serialize, Deserialize)]
pub struct Join {
    /// [`super::PROTOCOL_VERSION`] of the connector.
    pub protocol: u16,
    /// Id of the join token, hex.
    pub token: String,
    /// Secret of the join token, hex. Never logged.
    pub secret: String,
    /// The certificate request, base64 of DER.
    pub csr: String,
    /// The name the operator wishes for it.
    pub name: Option<String>,
    /// Host name, for people.
    pub host: String,
    /// Software version, for people.
    pub software: String,
}

/// The edge enrolled a connector.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    /// The connector's id.
    pub connector: String,
    /// The group it serves.
    pub group: String,
    /// Its certificate, base64 of DER.
    pub certificate: String,
    /// The CA's certificate, base64 of DER.
    pub authority: String,
}

/// The edge's answer: what was asked for, or why not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer<T> {
    /// Granted.
    Ok(T),
    /// Refused.
    Refused(Refusal),
}

/// Why an edge refuses a connector.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable code, for example `token-expired` or `revoked`.
    pub code: String,
    /// What happened and how to mend it.
    pub reason: String,
    /// Asking again later may help; without it the connector stops and says so.
    pub temporary: bool,
}

/// Writes one line.
///
/// # Errors
/// The connection's error.
pub async fn write<T: Serialize>(stream: &mut Stream, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

/// Reads one line, and not a byte behind it: those belong to HTTP/2.
///
/// # Errors
/// The connection's error; `InvalidData` for a line that is too long or not of the protocol.
pub async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut line = Vec::with_capacity(512);
    loop {
        // Byte by byte from memory: what lies behind the line must stay in the stream.
        let byte = read_byte(stream).await?;
        if byte == b'\n' {
            break;
        }
        line.push(byte);
        if line.len() > HELLO_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the hello is longer than 16 KiB"));
        }
    }
    serde_json::from_slice(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn read_byte(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    Ok(byte[0])
}
