//! What the edge remembers: join tokens and connectors, in one SQLite file beside the CA.
//!
//! ```text
//!  running edge ─┐
//!                ├─► lockgate.db (WAL; writers wait up to 5 s for each other, readers never wait)
//!  command line ─┘
//! ```
//!
//! Refuses to keep a secret (of a token only the hash), to have a clock of its own (every time is passed in), and to
//! touch a file that a newer Lockgate wrote.

mod connectors;
mod schema;
mod tokens;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

pub use self::connectors::{ConnectorRecord, NewConnector, new_connector_id};
pub use self::tokens::{RedeemError, TokenRecord};
use crate::tunnel::durable;

/// Seconds since 1970-01-01 UTC.
pub type UnixSeconds = i64;

/// The file inside the data directory; SQLite puts `-wal` and `-shm` beside it.
pub const STORE_FILE: &str = "lockgate.db";
/// Held while a process opens the store, and only then.
const LOCK_FILE: &str = "lockgate.lock";
/// How long one writer waits for another before it gives up: 5 s. Every transaction here takes a few milliseconds.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to the file: one that writes, and readers beside it. Enrolment is rare, so four are plenty.
const CONNECTIONS_MAX: u32 = 4;
/// Waiting for a free connection: twice the wait of the writer in front.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The store. A clone is another handle to the same file.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the store in `dir`, makes it if there is none (owner only), and brings an older one up to date.
    ///
    /// Needs a tokio runtime, now and for as long as the store is used.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Database`], or [`StoreError::NewerSchema`] for a file of a newer Lockgate.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(STORE_FILE);
        let at_path = |source| StoreError::Io { path: path.clone(), source };
        durable::private_directory(dir).map_err(at_path)?;
        // SQLite gives its side files the mode of the main one, so that one must be right from the start.
        durable::private_file_if_missing(&path).map_err(at_path)?;
        let _lock = opening(dir.join(LOCK_FILE)).await.map_err(at_path)?;
        // WAL is a property of the file. Turning it on is the one step for which SQLite does not wait its turn.
        connection(&path).journal_mode(SqliteJournalMode::Wal).connect().await?.close().await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(connection(&path))
            .await?;
        schema::migrate(&pool).await?;
        Ok(Self { pool })
    }

    /// Waits for running statements and closes the file; later calls on any clone fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that takes the write lock at once: one that read first and wanted to write then could be told
    /// "busy" without the wait, because what it read is no longer true.
    async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// One process opens at a time; the lock is waited for beside the runtime, not on it.
async fn opening(lock_path: PathBuf) -> io::Result<File> {
    let locked = tokio::task::spawn_blocking(move || durable::lock(&lock_path)).await;
    locked.map_err(io::Error::other).flatten()
}

fn connection(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // A token that was used must stay used through a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(bytes)
}

/// Why the store could not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The data directory or the file could not be made.
    Io {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite failed: disk full, file damaged, or another process held the lock for longer than [`BUSY_TIMEOUT`].
    Database(sqlx::Error),
    /// The file was written by a newer Lockgate.
    NewerSchema {
        /// The file's version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A column holds what this program never writes.
    Damaged {
        /// `table.column`.
        column: &'static str,
    },
    /// No token has this id.
    NoSuchToken,
    /// No connector has this id.
    NoSuchConnector,
    /// The system gave no random bytes.
    Random,
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, .. } => write!(f, "cannot make {}", path.display()),
            Self::Database(_) => write!(f, "the store ({STORE_FILE}) failed"),
            Self::NewerSchema { found, known } => write!(
                f,
                "{STORE_FILE} has schema {found}, this lockgate knows up to {known}: start the newer lockgate again, or \
                 restore the backup made before the upgrade"
            ),
            Self::Damaged { column } => write!(f, "{STORE_FILE} is damaged at {column}: restore it from a backup"),
            Self::NoSuchToken => f.write_str("no join token has this id; `lockgate token list` shows them"),
            Self::NoSuchConnector => f.write_str("no connector has this id; `lockgate status` shows them"),
            Self::Random => f.write_str("the system gave no random bytes"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Database(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::tunnel::scratch::Scratch;

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart() {
        let dir = Scratch::new();
        let data = dir.path().join("data");
        let store = Store::open(&data).await.unwrap();
        let (id, _) = store.create_token("default", None, Duration::from_secs(60), 1_000).await.unwrap();
        store.close().await;
        let again = Store::open(&data).await.unwrap();
        assert_eq!(again.list_tokens().await.unwrap()[0].id, id);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn every_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Scratch::new();
        let store = Store::open(dir.path()).await.unwrap();
        store.create_token("default", None, Duration::from_secs(60), 1_000).await.unwrap();
        let mut seen = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
            seen += 1;
        }
        assert_eq!(seen, 4, "the file, its -wal, its -shm and the lock");
    }

    #[tokio::test]
    async fn the_file_is_set_up_as_promised() {
        let dir = Scratch::new();
        let store = Store::open(dir.path()).await.unwrap();
        for (question, answer) in
            [("PRAGMA foreign_keys", 1), ("PRAGMA busy_timeout", 5_000), ("PRAGMA synchronous", 2)]
        {
            let (value,): (i64,) = sqlx::query_as(question).fetch_one(&store.pool).await.unwrap();
            assert_eq!(value, answer, "{question}");
        }
        let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(&store.pool).await.unwrap();
        assert_eq!(mode, "wal");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_first_starts_at_once_all_succeed() {
        let dir = Scratch::new();
        let opens: Vec<_> = (0..8)
            .map(|_| {
                let path = dir.path().to_owned();
                tokio::spawn(async move {
                    let store = Store::open(&path).await?;
                    store.create_token("default", None, Duration::from_secs(60), 1).await
                })
            })
            .collect();
        for open in opens {
            open.await.unwrap().unwrap();
        }
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(store.list_tokens().await.unwrap().len(), 8);
    }

    #[tokio::test]
    async fn a_newer_file_is_left_alone() {
        let dir = Scratch::new();
        let store = Store::open(dir.path()).await.unwrap();
        sqlx::query("UPDATE schema_version SET version = 99").execute(&store.pool).await.unwrap();
        store.close().await;
        let refusal = Store::open(dir.path()).await.unwrap_err();
        assert!(matches!(refusal, StoreError::NewerSchema { found: 99, known: 1 }), "{refusal:?}");
    }
}
