//! The connectors that enrolled: who they are, which certificate is theirs, and whether they are still welcome.
//!
//! Refuses to make one by itself: a connector's row is written with the token that paid for it, in `tokens`.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, UnixSeconds, random};

/// A connector as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorRecord {
    /// `c-` and 16 characters; stable for the connector's whole life.
    pub id: String,
    /// What people call it: its own wish, else the token's name, else its host name. Not unique.
    pub name: String,
    /// The group it serves.
    pub group: String,
    /// The host name it reported when it enrolled.
    pub host: String,
    /// The Lockgate version it reported when it enrolled.
    pub version: String,
    /// Serial number of its certificate, lower-case hexadecimal.
    pub serial: String,
    /// When that certificate ends.
    pub not_after: UnixSeconds,
    /// When it enrolled.
    pub enrolled_at: UnixSeconds,
    /// When it was last heard of; at first the same as `enrolled_at`.
    pub last_seen_at: UnixSeconds,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixSeconds>,
}

/// What enrolment knows about a connector before a token is redeemed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConnector {
    /// From [`new_connector_id`].
    pub id: String,
    /// The name it wishes for.
    pub name: Option<String>,
    /// Its host name.
    pub host: String,
    /// Its Lockgate version.
    pub version: String,
    /// Serial number of the certificate it will get.
    pub serial: String,
    /// When that certificate ends.
    pub not_after: UnixSeconds,
}

/// A new connector id: `c-` and 16 characters of base32 (`a`–`z`, `2`–`7`), 80 random bits.
///
/// # Errors
/// [`StoreError::Random`].
pub fn new_connector_id() -> Result<String, StoreError> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = u128::from_be_bytes(random()?);
    let characters = (0..16).map(|place| char::from(ALPHABET[(bits >> (5 * place) & 31) as usize]));
    Ok("c-".chars().chain(characters).collect())
}

impl Store {
    /// The connector with this id, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn connector(&self, id: &str) -> Result<Option<ConnectorRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM connectors WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(record).transpose()
    }

    /// All connectors, revoked ones too, in the order they enrolled.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn connectors(&self) -> Result<Vec<ConnectorRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM connectors ORDER BY enrolled_at, id").fetch_all(&self.pool).await?;
        rows.iter().map(record).collect()
    }

    /// Notes that a connector was heard of at `now`; a time before the last one changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSuchConnector`] or [`StoreError::Database`].
    pub async fn touch(&self, id: &str, now: UnixSeconds) -> Result<(), StoreError> {
        let statement = "UPDATE connectors SET last_seen_at = max(last_seen_at, ?) WHERE id = ?";
        let done = sqlx::query(statement).bind(now).bind(id).execute(&self.pool).await?;
        one_connector(done.rows_affected())
    }

    /// Notes that a connector carries another certificate now; the one before stays valid until it expires.
    ///
    /// # Errors
    /// [`StoreError::NoSuchConnector`] (also for a revoked one) or [`StoreError::Database`].
    pub async fn renewed(&self, id: &str, serial: &str, not_after: UnixSeconds) -> Result<(), StoreError> {
        let statement = "UPDATE connectors SET serial = ?, not_after = ? WHERE id = ? AND revoked_at IS NULL";
        let done = sqlx::query(statement).bind(serial).bind(not_after).bind(id).execute(&self.pool).await?;
        one_connector(done.rows_affected())
    }

    /// Revokes a connector as of `now`, for good; once revoked, the first time stays.
    ///
    /// Links that are up are not cut here: whoever keeps them asks [`Store::is_revoked`].
    ///
    /// # Errors
    /// [`StoreError::NoSuchConnector`] or [`StoreError::Database`].
    pub async fn revoke(&self, id: &str, now: UnixSeconds) -> Result<(), StoreError> {
        let statement = "UPDATE connectors SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?";
        let done = sqlx::query(statement).bind(now).bind(id).execute(&self.pool).await?;
        one_connector(done.rows_affected())
    }

    /// Whether a connector may no longer be served. One the store does not know counts as revoked: its certificate
    /// outlived its row.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn is_revoked(&self, id: &str) -> Result<bool, StoreError> {
        let statement = "SELECT count(*) FROM connectors WHERE id = ? AND revoked_at IS NULL";
        let welcome: i64 = sqlx::query_scalar(statement).bind(id).fetch_one(&self.pool).await?;
        Ok(welcome == 0)
    }
}

fn one_connector(rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::NoSuchConnector) }
}

fn record(row: &SqliteRow) -> Result<ConnectorRecord, StoreError> {
    Ok(ConnectorRecord {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        group: row.try_get("group")?,
        host: row.try_get("host")?,
        version: row.try_get("version")?,
        serial: row.try_get("serial")?,
        not_after: row.try_get("not_after")?,
        enrolled_at: row.try_get("enrolled_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tunnel::identity::is_connector_id;
    use crate::tunnel::scratch::Scratch;

    async fn enrolled(store: &Store, name: Option<&str>, now: UnixSeconds) -> String {
        let (id, secret) = store.create_token("default", None, Duration::from_secs(60), now).await.unwrap();
        let connector = NewConnector {
            id: new_connector_id().unwrap(),
            name: name.map(str::to_owned),
            host: "nas".into(),
            version: "0.1.0".into(),
            serial: "4a".into(),
            not_after: now + 1_000,
        };
        store.redeem(&id, &secret, now, connector).await.unwrap().id
    }

    #[tokio::test]
    async fn is_heard_of_revoked_and_listed() {
        let dir = Scratch::new();
        let store = Store::open(dir.path()).await.unwrap();
        let first = enrolled(&store, None, 100).await;
        let second = enrolled(&store, Some("attic"), 200).await;

        store.touch(&first, 150).await.unwrap();
        store.touch(&first, 120).await.unwrap();
        let known = store.connector(&first).await.unwrap().unwrap();
        assert_eq!((known.last_seen_at, known.enrolled_at, known.name.as_str()), (150, 100, "nas"));

        assert!(!store.is_revoked(&first).await.unwrap());
        store.revoke(&first, 300).await.unwrap();
        store.revoke(&first, 400).await.unwrap();
        assert!(store.is_revoked(&first).await.unwrap());
        assert!(!store.is_revoked(&second).await.unwrap());
        assert_eq!(store.connector(&first).await.unwrap().unwrap().revoked_at, Some(300));

        let names: Vec<_> = store.connectors().await.unwrap().into_iter().map(|connector| connector.name).collect();
        assert_eq!(names, ["nas", "attic"]);
    }

    #[tokio::test]
    async fn a_stranger_is_not_welcome() {
        let dir = Scratch::new();
        let store = Store::open(dir.path()).await.unwrap();
        assert!(store.is_revoked("c-nobody").await.unwrap());
        assert_eq!(store.connector("c-nobody").await.unwrap(), None);
        assert!(matches!(store.touch("c-nobody", 1).await, Err(StoreError::NoSuchConnector)));
        assert!(matches!(store.revoke("c-nobody", 1).await, Err(StoreError::NoSuchConnector)));
    }

    #[test]
    fn ids_are_eighteen_plain_characters() {
        let ids: std::collections::HashSet<_> = (0..100).map(|_| new_connector_id().unwrap()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 18 && id.starts_with("c-") && is_connector_id(id)));
    }
}
