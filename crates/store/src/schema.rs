//! The schema and its migrations, forward only.
//!
//! A migration is a file `migrations/NNNN_name.sql`; the table `migration` holds the numbers of those that were applied.
//! A migration may add tables, columns (with a default) and indexes, but not take away, rename or narrow what the version
//! before reads and writes, so that a platform that was upgraded can go back by one version.
//!
//! SQLite's `user_version` is the schema's generation: it grows by one with each version of Launchway that adds migrations,
//! however many. A file of the next generation is opened and left as it is, a later one is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;

use crate::StoreError;

/// The generation of this version. 1 had the migration 0001 alone, and no table of migrations.
const GENERATION: i64 = 2;

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
struct Migration {
    number: i64,
    sql: &'static str,
}

/// All migrations, by their numbers; made by `build.rs`.
const MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Brings the database to the schema of this version.
pub(crate) async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    apply(pool, path, MIGRATIONS, GENERATION).await
}

/// Where the copy is that was taken before a database of this generation was migrated.
pub fn copy_before(path: &Path, generation: i64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{generation}"));
    PathBuf::from(name)
}

/// The generation of a database; 0 for an empty one.
pub(crate) async fn generation(pool: &SqlitePool) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(pool)
        .await?)
}

async fn apply(
    pool: &SqlitePool,
    path: &Path,
    migrations: &[Migration],
    known: i64,
) -> Result<(), StoreError> {
    let found = generation(pool).await?;
    if found > known + 1 {
        return Err(StoreError::TooNew { found, known });
    }
    let applied = applied(pool, found).await?;
    let missing: Vec<&Migration> = migrations
        .iter()
        .filter(|migration| !applied.contains(&migration.number))
        .collect();
    if missing.is_empty() && found >= known {
        return Ok(());
    }
    if found > 0 {
        save_copy(pool, path, found).await?;
    }
    // All or nothing: a version finds the schema that it was made for, or the one before.
    let to = migrations.last().map_or(0, |migration| migration.number);
    let failed = |source| StoreError::Migrate { to, source };
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS migration (
             number  INTEGER PRIMARY KEY,
             applied INTEGER NOT NULL
         ) STRICT",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    let now = jiff::Timestamp::now().as_millisecond();
    for number in &applied {
        sqlx::query("INSERT OR IGNORE INTO migration (number, applied) VALUES (?1, ?2)")
            .bind(number)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    for migration in &missing {
        let failed = |source| StoreError::Migrate {
            to: migration.number,
            source,
        };
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query("INSERT INTO migration (number, applied) VALUES (?1, ?2)")
            .bind(migration.number)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    // A pragma takes no bound values; the number is ours.
    let generation = found.max(known);
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {generation}")))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    tracing::info!(
        from = found,
        to = generation,
        migrations = missing.len(),
        "database migrated"
    );
    Ok(())
}

/// The numbers of the migrations that a database of a generation has.
async fn applied(pool: &SqlitePool, generation: i64) -> Result<BTreeSet<i64>, StoreError> {
    if generation <= 1 {
        return Ok((1..=generation).collect());
    }
    let numbers: Vec<i64> = sqlx::query_scalar("SELECT number FROM migration")
        .fetch_all(pool)
        .await?;
    Ok(numbers.into_iter().collect())
}

/// Writes the whole database, as it is, to a file beside it.
async fn save_copy(pool: &SqlitePool, path: &Path, generation: i64) -> Result<(), StoreError> {
    let copy = copy_before(path, generation);
    if copy.exists() {
        // VACUUM INTO refuses an existing file. A copy that is there comes from an earlier try of the same migration,
        // and the database has not changed its schema since.
        if let Err(error) = std::fs::remove_file(&copy) {
            tracing::warn!(%error, copy = %copy.display(), "an old copy of the database could not be removed");
        }
    }
    sqlx::query("VACUUM INTO ?1")
        .bind(copy.to_string_lossy().into_owned())
        .execute(pool)
        .await
        .map_err(|source| StoreError::Migrate {
            to: generation + 1,
            source,
        })?;
    Ok(())
}

#[cfg(test)]
mod tests;
