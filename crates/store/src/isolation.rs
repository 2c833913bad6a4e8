//! What keeps apps apart across restarts: the user of each, and where builds saw their trees.

use std::path::{Path, PathBuf};

use launchway_model::{AppName, BuildId};

use crate::{Store, StoreError, row};

impl Store {
    /// The number of an app's system user; chosen by `choose` from the numbers that are taken where it has none yet. None
    /// where there is none and nothing was chosen.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn app_user(
        &self,
        app: &AppName,
        choose: impl FnOnce(&[u32]) -> Option<u32>,
    ) -> Result<Option<u32>, StoreError> {
        let known: Option<u32> = sqlx::query_scalar("SELECT uid FROM app_user WHERE app = ?1")
            .bind(app.as_str())
            .fetch_optional(&self.pool)
            .await?;
        if known.is_some() {
            return Ok(known);
        }
        let mut transaction = self.write().await?;
        let taken: Vec<(String, u32)> = sqlx::query_as("SELECT app, uid FROM app_user")
            .fetch_all(&mut *transaction)
            .await?;
        // Somebody else may have been faster.
        if let Some((_, uid)) = taken.iter().find(|(name, _)| name == app.as_str()) {
            return Ok(Some(*uid));
        }
        let numbers: Vec<u32> = taken.into_iter().map(|(_, uid)| uid).collect();
        let Some(uid) = choose(&numbers) else {
            return Ok(None);
        };
        sqlx::query("INSERT INTO app_user (app, uid) VALUES (?1, ?2)")
            .bind(app.as_str())
            .bind(uid)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(uid))
    }

    /// Records at which path a build sees its tree; none means the tree's own folder.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_seen_at(&self, build: BuildId, path: Option<&Path>) -> Result<(), StoreError> {
        sqlx::query("UPDATE build SET seen_at = ?2 WHERE id = ?1")
            .bind(row::number(build.0))
            .bind(path.map(|path| path.to_string_lossy().into_owned()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// At which path a build saw its tree; none means the tree's own folder.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn seen_at(&self, build: BuildId) -> Result<Option<PathBuf>, StoreError> {
        let path: Option<Option<String>> =
            sqlx::query_scalar("SELECT seen_at FROM build WHERE id = ?1")
                .bind(row::number(build.0))
                .fetch_optional(&self.pool)
                .await?;
        Ok(path.flatten().map(PathBuf::from))
    }
}
