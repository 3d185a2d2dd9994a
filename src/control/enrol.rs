//! Enrolment: a join token and a certificate request go in, a certificate comes out, once.
//!
//! ```text
//!  token fits? ─► CSR proves its key? ─► CA signs (in memory) ─► one transaction: token used + connector recorded
//!      │                  │                                             │
//!      └── token-… ───────┴── csr-invalid (the token stays good) ───────┴── token-used, if somebody was faster
//! ```
//!
//! Refuses to sign for whoever has no token, and to use up a token for a request that cannot be signed. A certificate
//! whose recording failed is dropped unseen; its connector id is in no table, and
//! `Store::is_revoked` counts such a one as revoked.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ca::{Authority, CONNECTOR_VALIDITY, CaError, CsrRefusal};
use super::store::{NewConnector, RedeemError, Store, StoreError, UnixSeconds, new_connector_id};
use crate::tunnel::token::hex;

/// Longest name, host and version that are kept, in characters: a DNS label has 63, a Linux host name 64; twice that.
pub const LABEL_CHARACTERS_MAX: usize = 128;

/// What a connector sends to enrol.
#[derive(Clone)]
pub struct EnrolRequest {
    /// The join token's id.
    pub token_id: [u8; 8],
    /// The join token's secret.
    pub secret: [u8; 16],
    /// PKCS #10 request in DER, signed by the connector's new key (ECDSA P-256 or Ed25519).
    pub csr_der: Vec<u8>,
    /// What the connector would like to be called. Shown to people, so cut and freed of control characters.
    pub name: Option<String>,
    /// Its host name; treated like `name`.
    pub host: String,
    /// Its Lockgate version; treated like `name`.
    pub version: String,
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("token_id", &hex(&self.token_id))
            .field("csr_bytes", &self.csr_der.len())
            .field("name", &self.name)
            .field("host", &self.host)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a connector gets for it; nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its id from now on.
    pub connector_id: String,
    /// The group it serves.
    pub group: String,
    /// Its certificate, in DER.
    pub certificate_der: Vec<u8>,
    /// The CA's certificate, in DER; its SHA-256 is the fingerprint in the join token.
    pub ca_der: Vec<u8>,
}

/// Enrols a connector as of `now`; its certificate lasts for [`CONNECTOR_VALIDITY`].
///
/// # Errors
/// [`EnrolError`]; nothing was recorded then, and a token that was good before is good still.
pub async fn enrol(
    store: &Store,
    ca: &Authority,
    request: EnrolRequest,
    now: SystemTime,
) -> Result<Enrolled, EnrolError> {
    let seconds = unix_seconds(now)?;
    let refused = |refusal| EnrolError::from_redeem(refusal, &request.token_id);
    store.check_token(&request.token_id, &request.secret, seconds).await.map_err(refused)?;

    let connector_id = new_connector_id().map_err(EnrolError::Store)?;
    let issued = ca.sign_connector_at(&request.csr_der, &connector_id, CONNECTOR_VALIDITY, now)?;

    let connector = NewConnector {
        id: connector_id,
        name: request.name.as_deref().map(label).filter(|name| !name.is_empty()),
        host: label(&request.host),
        version: label(&request.version),
        serial: issued.serial_hex,
        not_after: unix_seconds(issued.not_after)?,
    };
    let recorded = store.redeem(&request.token_id, &request.secret, seconds, connector).await.map_err(refused)?;
    tracing::info!(
        connector = %recorded.id, group = %recorded.group, name = %recorded.name, host = %recorded.host,
        token = %hex(&request.token_id), serial = %recorded.serial, "connector enrolled"
    );
    Ok(Enrolled {
        connector_id: recorded.id,
        group: recorded.group,
        certificate_der: issued.certificate_der.to_vec(),
        ca_der: ca.certificate_der().to_vec(),
    })
}

/// Text from the network as it may stand in a table or a terminal: no control characters, no blanks around it, no more
/// than [`LABEL_CHARACTERS_MAX`].
fn label(text: &str) -> String {
    let visible: String =
        text.trim().chars().filter(|character| !character.is_control()).take(LABEL_CHARACTERS_MAX).collect();
    visible.trim_end().to_owned()
}

fn unix_seconds(time: SystemTime) -> Result<UnixSeconds, EnrolError> {
    let since_1970 = time.duration_since(UNIX_EPOCH).map_err(|_| EnrolError::Authority(CaError::Clock))?;
    i64::try_from(since_1970.as_secs()).map_err(|_| EnrolError::Authority(CaError::Clock))
}

/// Why a connector was not enrolled. `Display` is for the person at the connector; what only the edge's operator may
/// read is in `source()`.
#[derive(Debug)]
pub enum EnrolError {
    /// The edge knows no token of this id.
    TokenUnknown {
        /// The id the connector sent.
        token_id: [u8; 8],
    },
    /// The edge knows the id, and the secret is another.
    TokenWrong {
        /// The id the connector sent.
        token_id: [u8; 8],
    },
    /// The token's time is over.
    TokenExpired {
        /// The group it was for.
        group: String,
    },
    /// The token was used before.
    TokenUsed {
        /// By which connector, if it was not removed since.
        by: Option<String>,
        /// The group it was for.
        group: String,
    },
    /// The certificate request was refused; the token is still good.
    CsrInvalid(CsrRefusal),
    /// The store failed before it confirmed the record; the token is still good unless the disk itself failed.
    Store(StoreError),
    /// The edge could not make the certificate; the token is still good.
    Authority(CaError),
}

impl EnrolError {
    /// The reason as a word that stays the same from version to version. `store-unavailable` covers all that is wrong
    /// on the edge's own side, its CA and its clock included: the mend is the same, and the edge's log says which.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenUnknown { .. } => "token-unknown",
            Self::TokenWrong { .. } => "token-wrong",
            Self::TokenExpired { .. } => "token-expired",
            Self::TokenUsed { .. } => "token-used",
            Self::CsrInvalid(_) => "csr-invalid",
            Self::Store(_) | Self::Authority(_) => "store-unavailable",
        }
    }

    fn from_redeem(refusal: RedeemError, token_id: &[u8; 8]) -> Self {
        match refusal {
            RedeemError::Unknown => Self::TokenUnknown { token_id: *token_id },
            RedeemError::WrongSecret => Self::TokenWrong { token_id: *token_id },
            RedeemError::Expired { group, .. } => Self::TokenExpired { group },
            RedeemError::AlreadyUsed { by, group } => Self::TokenUsed { by, group },
            RedeemError::Store(source) => Self::Store(source),
        }
    }
}

impl From<CaError> for EnrolError {
    fn from(error: CaError) -> Self {
        match error {
            CaError::Csr(refusal) => Self::CsrInvalid(refusal),
            other => Self::Authority(other),
        }
    }
}

impl fmt::Display for EnrolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenUnknown { token_id } => write!(
                f,
                "this edge does not know join token {}: it was deleted, or made on another edge; create a new one on \
                 this edge: lockgate token create --group GROUP",
                hex(token_id)
            ),
            Self::TokenWrong { token_id } => write!(
                f,
                "the secret of join token {} is wrong; create a new one on the edge: lockgate token create --group GROUP",
                hex(token_id)
            ),
            Self::TokenExpired { group } => {
                write!(
                    f,
                    "the join token has expired; create a new one on the edge: lockgate token create --group {group}"
                )
            }
            Self::TokenUsed { by, group } => {
                f.write_str("the join token was used already")?;
                if let Some(by) = by {
                    write!(f, " by connector {by}")?;
                }
                write!(
                    f,
                    "; each enrols one connector: create a new one on the edge: lockgate token create --group {group}"
                )
            }
            Self::CsrInvalid(refusal) => write!(
                f,
                "{refusal}; the join token is still good: install the edge's version of lockgate here and join again"
            ),
            Self::Store(_) | Self::Authority(_) => f.write_str(
                "the edge could not record the connector, its log says why; try again with the same join token",
            ),
        }
    }
}

impl std::error::Error for EnrolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => Some(source),
            Self::Authority(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
