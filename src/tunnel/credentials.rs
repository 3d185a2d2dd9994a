//! What a connector keeps on disk: the edge's address, its certificate and key, the CA it trusts.
//!
//! Nothing else is ever written; everything a connector needs beside it is pushed to it. The file
//! is private to its user and replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use super::durable::{self, Access};

/// Name of the file in the connector's data directory.
pub const FILE: &str = "connector.json";

/// An enrolled connector.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// `host:port` of the edge.
    pub edge: String,
    /// The id the edge gave.
    pub connector: String,
    /// The certificate, base64 of DER.
    pub certificate: String,
    /// The CA's certificate, base64 of DER.
    pub authority: String,
    /// The private key, PKCS #8 in PEM. Made here, never sent.
    pub key: String,
    /// Id of the join token it enrolled with, hex: a start with the same token is no new enrolment.
    #[serde(default)]
    pub token: String,
}

impl Credentials {
    /// Reads the file in `dir`; `None` when the connector has not enrolled.
    ///
    /// # Errors
    /// A file that cannot be read or is not what was written.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(dir);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let mend = "remove it and join again with a new token";
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}; {mend}", path.display()))
        })
    }

    /// Writes the file in `dir`, private to the user.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        durable::private_directory(dir)?;
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        durable::replace(&Self::path(dir), &text, Access::Private)
    }

    /// The certificate, the CA's certificate and the key, decoded.
    ///
    /// # Errors
    /// Which of them is damaged.
    pub fn decode(&self) -> io::Result<(CertificateDer<'static>, CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let damaged =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} in {FILE} is damaged; join again"));
        let certificate = STANDARD.decode(&self.certificate).map_err(|_| damaged("the certificate"))?;
        let authority = STANDARD.decode(&self.authority).map_err(|_| damaged("the CA"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| damaged("the key"))?;
        Ok((certificate.into(), authority.into(), key))
    }

    fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }
}
