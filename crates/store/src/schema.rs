//! The schema and its migrations, forward only.
//!
//! The schema's number is SQLite's `user_version`. A migration may add tables, columns and indexes but not take away or
//! rename what the version before reads, so that a platform that was upgraded can go back by one version.

use std::path::Path;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;

use crate::StoreError;

/// The migrations; the index of one plus one is the schema that it leads to.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_foundation.sql")];

/// Brings the database to the schema of this version.
pub(crate) async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    apply(pool, path, MIGRATIONS).await
}

async fn apply(
    pool: &SqlitePool,
    path: &Path,
    migrations: &[&'static str],
) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(pool)
        .await?;
    if found > known + 1 {
        return Err(StoreError::TooNew { found, known });
    }
    if found >= known {
        return Ok(());
    }
    if found > 0 {
        save_copy(pool, path, found).await?;
    }
    for (to, migration) in (1..)
        .zip(migrations)
        .skip(usize::try_from(found).unwrap_or(0))
    {
        let failed = |source| StoreError::Migrate { to, source };
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::raw_sql(*migration)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        // A pragma takes no bound values; the number is ours.
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {to}")))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        tracing::info!(schema = to, "database migrated");
    }
    Ok(())
}

/// Writes the whole database, as it is, to a file beside it.
async fn save_copy(pool: &SqlitePool, path: &Path, schema: i64) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{schema}"));
    let copy = Path::new(&name);
    if copy.exists() {
        // VACUUM INTO refuses an existing file. A copy that is there comes from an earlier try of the same migration,
        // and the database has not changed its schema since.
        if let Err(error) = std::fs::remove_file(copy) {
            tracing::warn!(%error, copy = %copy.display(), "an old copy of the database could not be removed");
        }
    }
    sqlx::query("VACUUM INTO ?1")
        .bind(copy.to_string_lossy().into_owned())
        .execute(pool)
        .await
        .map_err(|source| StoreError::Migrate {
            to: schema + 1,
            source,
        })?;
    Ok(())
}

#[cfg(test)]
mod tests;
