//! Releases: written once, only their state changes.

use jiff::Timestamp;
use launchway_model::app::AppSpec;
use launchway_model::deploy::{Release, ReleaseState};
use launchway_model::{AppName, BuildId, DeployId, ReleaseNumber};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::deploys::{self, DeployWork};
use crate::{Store, StoreError, row};

/// A release before it has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// The app.
    pub app: AppName,
    /// The build whose tree it runs.
    pub build: BuildId,
    /// The commit of that build.
    pub commit: String,
    /// The commit's first line.
    pub subject: String,
    /// What it runs.
    pub spec: AppSpec,
    /// The version of the configuration; the one in force where absent.
    pub config_version: Option<u64>,
    /// Why it is made.
    pub cause: String,
}

impl Store {
    /// Releases of an app, newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn releases(&self, app: &AppName, limit: u32) -> Result<Vec<Release>, StoreError> {
        sqlx::query("SELECT * FROM release WHERE app = ?1 ORDER BY number DESC LIMIT ?2")
            .bind(app.as_str())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(release_of_row)
            .collect()
    }

    /// One release.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn release(
        &self,
        app: &AppName,
        number: ReleaseNumber,
    ) -> Result<Option<Release>, StoreError> {
        sqlx::query("SELECT * FROM release WHERE app = ?1 AND number = ?2")
            .bind(app.as_str())
            .bind(row::number(number.0))
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(release_of_row)
            .transpose()
    }

    /// The release that each app serves, by app.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn serving_releases(&self) -> Result<Vec<Release>, StoreError> {
        sqlx::query(
            "SELECT release.* FROM app JOIN release ON release.app = app.name AND release.number = app.serving
             ORDER BY app.name",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(release_of_row)
        .collect()
    }

    /// The release that the newest waiting or running deploy takes into service, where there is one.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn coming_release(&self, app: &AppName) -> Result<Option<Release>, StoreError> {
        sqlx::query(
            "SELECT release.* FROM deploy JOIN release ON release.app = deploy.app AND release.number = deploy.release
             WHERE deploy.app = ?1 AND deploy.state IN ('queued', 'running')
             ORDER BY deploy.id DESC LIMIT 1",
        )
        .bind(app.as_str())
        .fetch_optional(&self.pool)
        .await?
        .as_ref()
        .map(release_of_row)
        .transpose()
    }

    /// The newest release of an app below `before` that has served.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn served_before(
        &self,
        app: &AppName,
        before: ReleaseNumber,
    ) -> Result<Option<Release>, StoreError> {
        sqlx::query(
            "SELECT * FROM release WHERE app = ?1 AND number < ?2 AND state IN ('superseded', 'serving')
             ORDER BY number DESC LIMIT 1",
        )
        .bind(app.as_str())
        .bind(row::number(before.0))
        .fetch_optional(&self.pool)
        .await?
        .as_ref()
        .map(release_of_row)
        .transpose()
    }

    /// Makes a release and queues its deploy in one transaction.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn create_release(
        &self,
        release: &NewRelease,
        now: Timestamp,
    ) -> Result<(ReleaseNumber, DeployId), StoreError> {
        let mut transaction = self.write().await?;
        let number = insert_release(&mut transaction, release, now).await?;
        let deploy = deploys::insert_deploy(
            &mut transaction,
            &release.app,
            number,
            None,
            &DeployWork::Release,
            now,
        )
        .await?;
        transaction.commit().await?;
        Ok((number, deploy))
    }
}

/// Writes a release with the next number of its app.
pub(crate) async fn insert_release(
    connection: &mut SqliteConnection,
    release: &NewRelease,
    now: Timestamp,
) -> Result<ReleaseNumber, StoreError> {
    let state = ReleaseState::Created;
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO release
            (app, number, build, hash, subject, spec, config_version, created, cause, state, detail)
         SELECT ?1, 1 + coalesce((SELECT max(number) FROM release WHERE app = ?1), 0), ?2, ?3, ?4, ?5,
            coalesce(?6, (SELECT config_version FROM app WHERE name = ?1)), ?7, ?8, ?9, ?10
         RETURNING number",
    )
    .bind(release.app.as_str())
    .bind(row::number(release.build.0))
    .bind(&release.commit)
    .bind(&release.subject)
    .bind(row::to_json(&release.spec, "specification")?)
    .bind(release.config_version.map(row::number))
    .bind(now.as_millisecond())
    .bind(&release.cause)
    .bind(row::state_word(&state, "release state")?)
    .bind(row::to_json(&state, "release state")?)
    .fetch_one(connection)
    .await?;
    Ok(ReleaseNumber(row::unsigned(number)))
}

/// Changes a release's state.
pub(crate) async fn write_state(
    connection: &mut SqliteConnection,
    app: &AppName,
    number: ReleaseNumber,
    state: &ReleaseState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE release SET state = ?3, detail = ?4 WHERE app = ?1 AND number = ?2")
        .bind(app.as_str())
        .bind(row::number(number.0))
        .bind(row::state_word(state, "release state")?)
        .bind(row::to_json(state, "release state")?)
        .execute(connection)
        .await?;
    Ok(())
}

fn release_of_row(found: &SqliteRow) -> Result<Release, StoreError> {
    Ok(Release {
        app: row::parsed(found, "app")?,
        number: ReleaseNumber(row::id(found, "number")?),
        build: BuildId(row::id(found, "build")?),
        commit: found.try_get("hash")?,
        subject: found.try_get("subject")?,
        spec: row::json(found, "spec")?,
        config_version: row::id(found, "config_version")?,
        created: row::time(found, "created")?,
        cause: found.try_get("cause")?,
        state: row::json(found, "detail")?,
    })
}
