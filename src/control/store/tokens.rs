//! Join tokens: made by an operator, redeemed once.
//!
//! ```text
//!  create_token ─► open ──redeem──► used (by which connector, for ever)
//!                   └──time passes─► expired
//! ```
//!
//! Refuses to record anything about a redemption that fails, and to say what state a token is in to whoever does not
//! have its secret.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sqlx::Row;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

use super::connectors::{ConnectorRecord, NewConnector};
use super::{Store, StoreError, UnixSeconds, random};
use crate::tunnel::token::secret_hash;

/// A join token as the store knows it; not enough to enrol with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// What names it; no secret.
    pub id: [u8; 8],
    /// The group whoever redeems it will serve.
    pub group: String,
    /// The name for a connector that brings none.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: UnixSeconds,
    /// From when on it is refused.
    pub expires_at: UnixSeconds,
    /// When it was redeemed, if it was.
    pub used_at: Option<UnixSeconds>,
    /// The connector it was redeemed by; `None` also for a used one whose connector was removed since.
    pub used_by: Option<String>,
}

impl Store {
    /// Makes a token for `group` that is good until `now + validity` (whole seconds): its id, and its secret, which is
    /// shown here once and kept nowhere.
    ///
    /// # Errors
    /// [`StoreError::Random`] or [`StoreError::Database`].
    pub async fn create_token(
        &self,
        group: &str,
        name: Option<&str>,
        validity: Duration,
        now: UnixSeconds,
    ) -> Result<([u8; 8], [u8; 16]), StoreError> {
        let (id, secret) = (random::<8>()?, random::<16>()?);
        let expires_at = now.saturating_add(i64::try_from(validity.as_secs()).unwrap_or(i64::MAX));
        sqlx::query(
            r#"INSERT INTO tokens (id, secret_hash, "group", name, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"#,
        )
        .bind(id.as_slice())
        .bind(secret_hash(&secret).to_vec())
        .bind(group)
        .bind(name)
        .bind(now)
        .bind(expires_at)
        .execute(&self.pool)
        .await?;
        Ok((id, secret))
    }

    /// All tokens, used and expired ones too, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::Damaged`].
    pub async fn list_tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_at, id").fetch_all(&self.pool).await?;
        rows.iter().map(record).collect()
    }

    /// Forgets a token, whatever its state; a connector that enrolled with it stays.
    ///
    /// # Errors
    /// [`StoreError::NoSuchToken`] or [`StoreError::Database`].
    pub async fn delete_token(&self, id: &[u8; 8]) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id.as_slice()).execute(&self.pool).await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NoSuchToken) }
    }

    /// Says whether [`Store::redeem`] would accept the token at `now`, and changes nothing. The answer may be old by
    /// the time it is used: only `redeem` decides.
    ///
    /// # Errors
    /// As [`Store::redeem`].
    pub async fn check_token(
        &self,
        id: &[u8; 8],
        secret: &[u8; 16],
        now: UnixSeconds,
    ) -> Result<TokenRecord, RedeemError> {
        judge(&self.pool, id, secret, now).await
    }

    /// Redeems a token for a new connector: both are recorded, or neither. Of many at once exactly one succeeds.
    ///
    /// # Errors
    /// [`RedeemError`], after which the store is as it was.
    pub async fn redeem(
        &self,
        id: &[u8; 8],
        secret: &[u8; 16],
        now: UnixSeconds,
        connector: NewConnector,
    ) -> Result<ConnectorRecord, RedeemError> {
        let mut transaction = self.write().await?;
        let token = judge(&mut *transaction, id, secret, now).await?;
        let connector = admitted(connector, token, now);
        insert(&mut *transaction, &connector).await?;
        sqlx::query("UPDATE tokens SET used_at = ?, used_by = ? WHERE id = ?")
            .bind(now)
            .bind(&connector.id)
            .bind(id.as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(connector)
    }
}

/// The token, if it may be redeemed at `now`. The secret is compared first, in constant time: without it nobody learns
/// more than that a token of this id exists.
async fn judge(
    executor: impl SqliteExecutor<'_>,
    id: &[u8; 8],
    secret: &[u8; 16],
    now: UnixSeconds,
) -> Result<TokenRecord, RedeemError> {
    let found = sqlx::query("SELECT * FROM tokens WHERE id = ?").bind(id.as_slice()).fetch_optional(executor).await;
    let row = found.map_err(StoreError::from)?.ok_or(RedeemError::Unknown)?;
    let hash: Vec<u8> = row.try_get("secret_hash").map_err(StoreError::from)?;
    verify_slices_are_equal(&hash, &secret_hash(secret)).map_err(|_| RedeemError::WrongSecret)?;
    let token = record(&row)?;
    if token.used_at.is_some() {
        return Err(RedeemError::AlreadyUsed { by: token.used_by, group: token.group });
    }
    if now >= token.expires_at {
        return Err(RedeemError::Expired { at: token.expires_at, group: token.group });
    }
    Ok(token)
}

fn admitted(new: NewConnector, token: TokenRecord, now: UnixSeconds) -> ConnectorRecord {
    ConnectorRecord {
        id: new.id,
        name: new.name.or(token.name).unwrap_or_else(|| new.host.clone()),
        group: token.group,
        host: new.host,
        version: new.version,
        serial: new.serial,
        not_after: new.not_after,
        enrolled_at: now,
        last_seen_at: now,
        revoked_at: None,
    }
}

async fn insert(executor: impl SqliteExecutor<'_>, connector: &ConnectorRecord) -> Result<(), StoreError> {
    sqlx::query(
        r#"INSERT INTO connectors (id, name, "group", host, version, serial, not_after, enrolled_at, last_seen_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"#,
    )
    .bind(&connector.id)
    .bind(&connector.name)
    .bind(&connector.group)
    .bind(&connector.host)
    .bind(&connector.version)
    .bind(&connector.serial)
    .bind(connector.not_after)
    .bind(connector.enrolled_at)
    .bind(connector.last_seen_at)
    .execute(executor)
    .await?;
    Ok(())
}

fn record(row: &SqliteRow) -> Result<TokenRecord, StoreError> {
    let id: Vec<u8> = row.try_get("id")?;
    Ok(TokenRecord {
        id: id.try_into().map_err(|_| StoreError::Damaged { column: "tokens.id" })?,
        group: row.try_get("group")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        used_at: row.try_get("used_at")?,
        used_by: row.try_get("used_by")?,
    })
}

/// Why a token was not redeemed. Nothing was recorded.
#[derive(Debug)]
pub enum RedeemError {
    /// No token has this id: deleted, or made on another edge.
    Unknown,
    /// The id is known, the secret is another.
    WrongSecret,
    /// Too late.
    Expired {
        /// Since when.
        at: UnixSeconds,
        /// The group it was for.
        group: String,
    },
    /// Somebody enrolled with it before.
    AlreadyUsed {
        /// Which connector, if it was not removed since.
        by: Option<String>,
        /// The group it was for.
        group: String,
    },
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for RedeemError {
    fn from(source: StoreError) -> Self {
        Self::Store(source)
    }
}

impl fmt::Display for RedeemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such join token"),
            Self::WrongSecret => f.write_str("the join token's secret is wrong"),
            Self::Expired { at, .. } => write!(f, "the join token expired at unix time {at}"),
            Self::AlreadyUsed { by: Some(by), .. } => {
                write!(f, "the join token was used by connector {by}")
            }
            Self::AlreadyUsed { by: None, .. } => f.write_str("the join token was used by a connector removed since"),
            Self::Store(_) => f.write_str("the store failed"),
        }
    }
}

impl std::error::Error for RedeemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Store(source) = self { Some(source) } else { None }
    }
}

#[cfg(test)]
mod tests;
