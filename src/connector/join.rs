//! Enrolment: a join token, a key made here, a certificate request, and credentials at the end.
//!
//! The key never leaves this machine. Nothing is written before the edge has said yes.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::host_name;
use crate::tunnel::PROTOCOL_VERSION;
use crate::tunnel::credentials::Credentials;
use crate::tunnel::csr::generate_csr;
use crate::tunnel::dial::{DialError, dial};
use crate::tunnel::hello::{Join, Joined};
use crate::tunnel::tls::join_client;
use crate::tunnel::token::{JoinToken, hex};

/// Why a connector did not enrol.
#[derive(Debug)]
pub enum JoinError {
    /// The edge said no, or could not be reached.
    Edge(DialError),
    /// Something failed on this machine.
    Here(String),
}

impl std::fmt::Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Edge(error) => error.fmt(f),
            Self::Here(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<DialError> for JoinError {
    fn from(error: DialError) -> Self {
        Self::Edge(error)
    }
}

fn failed(reason: impl std::fmt::Display) -> JoinError {
    JoinError::Here(reason.to_string())
}

/// Enrols with `token` and writes the credentials to `data_dir`.
///
/// # Errors
/// What failed and how to mend it.
pub async fn join(token: &JoinToken, name: Option<String>, data_dir: &Path) -> Result<Credentials, JoinError> {
    let (key, csr) = generate_csr().map_err(failed)?;
    let config = join_client(token.ca_fingerprint).map_err(failed)?;
    let request = Join {
        protocol: PROTOCOL_VERSION,
        token: hex(&token.id),
        secret: hex(&token.secret),
        csr: STANDARD.encode(csr),
        name,
        host: host_name(),
        software: env!("CARGO_PKG_VERSION").into(),
    };
    let (_, joined) = dial::<_, Joined>(&token.edge, config, &request).await?;
    let credentials = Credentials {
        edge: token.edge.clone(),
        connector: joined.connector,
        certificate: joined.certificate,
        authority: joined.authority,
        key,
        token: hex(&token.id),
    };
    credentials.decode().map_err(failed)?;
    credentials
        .save(data_dir)
        .map_err(|error| failed(format!("{}: {error}; the token is used up, create a new one", data_dir.display())))?;
    Ok(credentials)
}
