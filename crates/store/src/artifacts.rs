//! Files that builds kept, and where a fingerprint was met.

use launchway_model::BuildId;
use launchway_model::results::{Artifact, Fingerprint};
use sqlx::Row;

use crate::{Store, StoreError, row};

impl Store {
    /// Remembers files that a build kept; one of the same path takes the other's place.
    ///
    /// # Errors
    /// The database refuses, or the build does not exist.
    pub async fn keep_artifacts(
        &self,
        build: BuildId,
        files: &[Artifact],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for file in files {
            sqlx::query("INSERT OR REPLACE INTO artifact (build, path, size, sha256) VALUES (?1, ?2, ?3, ?4)")
                .bind(row::number(build.0))
                .bind(&file.path)
                .bind(row::number(file.size))
                .bind(&file.sha256)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The files that a build kept, by path.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn artifacts(&self, build: BuildId) -> Result<Vec<Artifact>, StoreError> {
        sqlx::query("SELECT * FROM artifact WHERE build = ?1 ORDER BY path")
            .bind(row::number(build.0))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| {
                Ok(Artifact {
                    path: found.try_get("path")?,
                    size: row::id(found, "size")?,
                    sha256: found.try_get("sha256")?,
                })
            })
            .collect()
    }

    /// The builds that kept a file of this fingerprint, newest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn fingerprints(&self, sha256: &str) -> Result<Vec<Fingerprint>, StoreError> {
        sqlx::query(
            "SELECT artifact.*, build.app AS app FROM artifact JOIN build ON build.id = artifact.build
             WHERE sha256 = ?1 ORDER BY build DESC LIMIT 1000",
        )
        .bind(sha256)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|found| {
            Ok(Fingerprint {
                app: row::parsed(found, "app")?,
                build: BuildId(row::id(found, "build")?),
                path: found.try_get("path")?,
                size: row::id(found, "size")?,
            })
        })
        .collect()
    }
}
