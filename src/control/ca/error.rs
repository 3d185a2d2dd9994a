//! Why the CA refused or failed, each case with its mend where a person has one.
//!
//! Refuses to tell a connector about the edge's files: of these only [`CsrRefusal`] is meant for the other side.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the CA could not be opened, or would not sign.
#[derive(Debug)]
pub enum CaError {
    /// A file or directory of the CA could not be read or written.
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a CA certificate but no key to it.
    KeyMissing {
        /// Where the key was looked for.
        path: PathBuf,
    },
    /// A file of the CA does not hold what it should.
    Damaged {
        /// Which one.
        path: PathBuf,
    },
    /// Certificate and key are each in order but do not belong together.
    Mismatch {
        /// Where the key lies.
        path: PathBuf,
    },
    /// The connector's request was refused.
    Csr(CsrRefusal),
    /// The connector id is empty, longer than 64 bytes, or has other characters than `a`–`z`, `0`–`9`, `-`.
    ConnectorId,
    /// The validity is under one second or over [`CONNECTOR_VALIDITY_MAX`](super::CONNECTOR_VALIDITY_MAX).
    Validity,
    /// The time is before 1970 or past the year 9000.
    Clock,
    /// The system gave no random bytes.
    Random,
    /// The certificate library failed.
    Signing(rcgen::Error),
}

/// What is wrong with a certificate signing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrRefusal {
    /// Longer than a request for one of the accepted keys can be.
    TooLong,
    /// Not one well-formed PKCS #10 request in DER.
    Malformed,
    /// The key is neither ECDSA P-256 nor Ed25519.
    Key,
    /// The request is not signed by the key it brings.
    Signature,
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot read or write {}", path.display()),
            Self::KeyMissing { path } => write!(
                f,
                "{} is missing beside its certificate: restore it from a backup, or move ca.pem away to begin with a \
                 new CA (every connector must then join again)",
                path.display()
            ),
            Self::Damaged { path } => {
                write!(f, "{} is damaged: restore it from a backup", path.display())
            }
            Self::Mismatch { path } => {
                write!(f, "{} is not the key of the ca.pem beside it: restore both from one backup", path.display())
            }
            Self::Csr(refusal) => refusal.fmt(f),
            Self::ConnectorId => f.write_str("a connector id has 1 to 64 characters of a-z, 0-9 and -"),
            Self::Validity => f.write_str("a connector's certificate lasts from one second to 366 days"),
            Self::Clock => f.write_str("this machine's clock is wrong: set it and try again"),
            Self::Random => f.write_str("the system gave no random bytes"),
            Self::Signing(_) => f.write_str("the certificate could not be made"),
        }
    }
}

impl fmt::Display for CsrRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the certificate request is too long",
            Self::Malformed => "the certificate request is not well-formed PKCS #10",
            Self::Key => "the certificate request brings a key that is neither ECDSA P-256 nor Ed25519",
            Self::Signature => "the certificate request is not signed by its own key",
        })
    }
}

impl std::error::Error for CaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Signing(source) => Some(source),
            _ => None,
        }
    }
}
