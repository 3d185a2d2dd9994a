//! The tables, as a list of steps that every store has taken up to its version.
//!
//! Refuses to change a step that was ever released: a new one goes to the end.

use sqlx::SqlitePool;

use super::StoreError;

/// Step `n` brings a store from version `n` to `n + 1`. Times are unix seconds.
const STEPS: &[&str] = &[
    // 1: join tokens and connectors.
    r#"
    CREATE TABLE connectors (
        id           TEXT    PRIMARY KEY,
        name         TEXT    NOT NULL,
        "group"      TEXT    NOT NULL,
        host         TEXT    NOT NULL,
        version      TEXT    NOT NULL,
        serial       TEXT    NOT NULL,
        not_after    INTEGER NOT NULL,
        enrolled_at  INTEGER NOT NULL,
        last_seen_at INTEGER NOT NULL,
        revoked_at   INTEGER
    ) STRICT;
    CREATE TABLE tokens (
        id          BLOB    PRIMARY KEY CHECK (length(id) = 8),
        secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
        "group"     TEXT    NOT NULL,
        name        TEXT,
        created_at  INTEGER NOT NULL,
        expires_at  INTEGER NOT NULL,
        used_at     INTEGER,
        -- Goes when its connector is removed; used_at alone says that a token is used.
        used_by     TEXT    REFERENCES connectors (id) ON DELETE SET NULL
    ) STRICT;
    "#,
];

/// Brings the store to the newest version, in one transaction: all steps or none.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    // The write lock first: of two processes that start at once, the second finds the work done.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
         INSERT OR IGNORE INTO schema_version (one, version) VALUES (1, 0);",
    )
    .execute(&mut *transaction)
    .await?;
    let found: i64 = sqlx::query_scalar("SELECT version FROM schema_version").fetch_one(&mut *transaction).await?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let taken = usize::try_from(found).ok().filter(|taken| *taken <= STEPS.len());
    let taken = taken.ok_or(StoreError::NewerSchema { found, known })?;
    if taken == STEPS.len() {
        return Ok(());
    }
    for step in &STEPS[taken..] {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE schema_version SET version = ?").bind(known).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
