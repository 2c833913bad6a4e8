//! Everything that outlives a process of control: the only SQL of the platform.
//!
//! A [`Store`] is one SQLite file in WAL mode. Its functions are typed: what goes in and comes out are the model's types
//! (states and specifications as JSON beside a searched word), never rows. This crate decides nothing: it neither
//! encrypts (configuration values and token hashes come ready) nor starts anything.
//!
//! **Invariants:** every change of a state and the job that it causes (a green build and its deploy, a changed
//! configuration and its release) are one transaction; a function that changes a state checks the state that it
//! starts from, so that calling it twice does no harm.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agents;
pub mod alerts;
pub mod apps;
pub mod artifacts;
pub mod auth;
pub mod builds;
pub mod copy;
pub mod credentials;
pub mod cron;
pub mod deploys;
pub mod isolation;
pub mod notices;
pub mod phases;
pub mod releases;
pub mod requests;
pub mod scans;
pub mod tests;
pub mod triggers;

mod row;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

pub use crate::agents::{StoredAgent, StoredLease};
pub use crate::alerts::{Raised, Which};
pub use crate::apps::StoredApp;
pub use crate::builds::{BuildEnd, BuildUpdate, StoredBuild};
pub use crate::deploys::{DeployEnd, DeployWork, StoredDeploy};
pub use crate::releases::NewRelease;
pub use crate::requests::StoredRequest;
pub use crate::scans::{ScanOrigin, StoredScan};
pub use crate::schema::copy_before as copy_before_migration;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("the database {path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The database was written by a later version that this one cannot read.
    #[error(
        "the database has schema {found}, and this version of launchway knows schema {known} and one later"
    )]
    TooNew {
        /// The schema of the file.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
    /// A migration failed; the file is as it was before.
    #[error("the database could not be migrated to schema {to}")]
    Migrate {
        /// The schema that was tried.
        to: i64,
        /// Why.
        source: sqlx::Error,
    },
    /// A database could not be copied.
    #[error("the database {path} could not be copied: SQLite's error {code}")]
    Copy {
        /// The file.
        path: PathBuf,
        /// SQLite's result code.
        code: i32,
    },
    /// A statement failed: a full disk, a damaged file.
    #[error("the database refused a statement")]
    Query(#[from] sqlx::Error),
    /// A stored value is not what it should be.
    #[error("the database holds an unreadable {what}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The open database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the file, makes it where it does not exist, and migrates it forward. Before a migration a copy of an older
    /// file is written beside it (`launchway.db.schema-N`).
    ///
    /// # Errors
    /// The file cannot be opened or migrated, or is too new.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a commit survives the death of any process. Only the machine's own death can take the last
            // commits back, and then the file is still whole; a flush for each commit would cost more than a deploy.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            // Memory is the scarce thing on the machines that this runs on: half a MiB of pages a connection.
            .pragma("cache_size", "-512")
            .statement_cache_capacity(48);
        let pool = SqlitePoolOptions::new()
            // One writes while one reads; each is a thread.
            .max_connections(2)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(20))
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open {
                path: path.to_owned(),
                source,
            })?;
        let store = Self { pool };
        schema::migrate(&store.pool, path).await?;
        Ok(store)
    }

    /// Closes the file after what is under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Adds one to a counter and gives its new value; the first is 1. The value is at least `at_least`.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn count_up(&self, counter: Counter, at_least: u64) -> Result<u64, StoreError> {
        self.count_up_by(counter, at_least, 1).await
    }

    /// Adds `by` to a counter and gives its new value: the last of a block of `by` numbers.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn count_up_by(
        &self,
        counter: Counter,
        at_least: u64,
        by: u64,
    ) -> Result<u64, StoreError> {
        let value: i64 = sqlx::query_scalar(
            "INSERT INTO counter (name, value) VALUES (?1, max(?2, ?3))
             ON CONFLICT (name) DO UPDATE SET value = max(value + ?3, ?2) RETURNING value",
        )
        .bind(counter.name())
        .bind(row::number(at_least))
        .bind(row::number(by))
        .fetch_one(&self.pool)
        .await?;
        Ok(row::unsigned(value))
    }

    /// A transaction that writes; it takes the write lock at once, so that it cannot fail half-way for another's.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Counters that no restart may turn back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// The changes of alerts.
    Alert,
    /// The serial number of instances.
    Instance,
    /// The number of route tables.
    RouteTable,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Instance => "instance",
            Self::RouteTable => "route_table",
        }
    }
}
