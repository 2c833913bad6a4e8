//! Which tests failed in which build, and the builds of a branch that had tests.

use launchway_model::build::Build;
use launchway_model::{AppName, BuildId};
use sqlx::Row;

use crate::builds::build_of_row;
use crate::{Store, StoreError, row};

impl Store {
    /// Keeps the failed tests of a build: each a suite and a name. Doing it again changes nothing.
    ///
    /// # Errors
    /// The database refuses, or the build does not exist.
    pub async fn keep_failed_tests(
        &self,
        build: BuildId,
        failed: &[(String, String)],
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for (suite, name) in failed {
            sqlx::query(
                "INSERT OR IGNORE INTO failed_test (build, suite, name) VALUES (?1, ?2, ?3)",
            )
            .bind(row::number(build.0))
            .bind(suite)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The newest finished builds of an app and branch that had tests, up to `until` where it is given, newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn tested_builds(
        &self,
        app: &AppName,
        branch: Option<&str>,
        until: Option<BuildId>,
        limit: u32,
    ) -> Result<Vec<Build>, StoreError> {
        sqlx::query(
            "SELECT * FROM build WHERE app = ?1 AND tests IS NOT NULL
                AND (state = 'finished' OR id = ?3)
                AND (?2 IS NULL OR json_extract(request, '$.branch') = ?2)
                AND (?3 IS NULL OR id <= ?3)
             ORDER BY id DESC LIMIT ?4",
        )
        .bind(app.as_str())
        .bind(branch)
        .bind(until.map(|id| row::number(id.0)))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|found| build_of_row(found).map(|stored| stored.build))
        .collect()
    }

    /// The failed tests of builds: the build, the suite and the name.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn failed_tests(
        &self,
        builds: &[BuildId],
    ) -> Result<Vec<(BuildId, String, String)>, StoreError> {
        let ids = serde_json::to_string(&builds.iter().map(|id| id.0).collect::<Vec<_>>())
            .unwrap_or_else(|_| "[]".to_owned());
        sqlx::query("SELECT build, suite, name FROM failed_test WHERE build IN (SELECT value FROM json_each(?1))")
            .bind(ids)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| {
                Ok((
                    BuildId(row::id(found, "build")?),
                    found.try_get("suite")?,
                    found.try_get("name")?,
                ))
            })
            .collect()
    }
}
