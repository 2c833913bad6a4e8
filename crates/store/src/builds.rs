//! Builds: the queue, their states, stages and tests' counts.

use jiff::Timestamp;
use launchway_model::app::AppSpec;
use launchway_model::build::{Build, BuildRequest, BuildResult, BuildState, Stage, TestCounts};
use launchway_model::{AppName, BuildId, DeployId, Problem, ReleaseNumber};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::deploys::DeployWork;
use crate::releases::{NewRelease, insert_release};
use crate::{Store, StoreError, deploys, row};

/// A build with what only control needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBuild {
    /// What people see of it.
    pub build: Build,
    /// What its release would run, once the plan is known.
    pub spec: Option<AppSpec>,
    /// The process id of its runner, once it was started.
    pub runner: Option<u32>,
}

/// What a runner's events made known so far; it replaces what was known before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BuildUpdate {
    /// All stages.
    pub stages: Vec<Stage>,
    /// What the release would run.
    pub spec: Option<AppSpec>,
    /// The tests' counts.
    pub tests: Option<TestCounts>,
}

/// How a build ends.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildEnd {
    /// How.
    pub result: BuildResult,
    /// Why, unless it succeeded.
    pub problem: Option<Problem>,
    /// When.
    pub at: Timestamp,
    /// The release that it becomes, where it is to be deployed.
    pub release: Option<NewRelease>,
}

impl Store {
    /// Stores a push and its queued build in one transaction. Of the builds of an app and branch that wait, only the
    /// newest stays.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn queue_build(
        &self,
        request: &BuildRequest,
        reason: &str,
        now: Timestamp,
    ) -> Result<BuildId, StoreError> {
        let state = BuildState::Queued {
            reason: reason.to_owned(),
        };
        let mut transaction = self.write().await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO build (app, created, request, state, detail) VALUES (?1, ?2, ?3, 'queued', ?4) RETURNING id",
        )
        .bind(request.app.as_str())
        .bind(now.as_millisecond())
        .bind(row::to_json(request, "build request")?)
        .bind(row::to_json(&state, "build state")?)
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query("INSERT INTO push (app, branch, hash, at, cause, build) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .bind(request.app.as_str())
            .bind(request.branch.as_deref())
            .bind(&request.commit)
            .bind(now.as_millisecond())
            .bind(&request.cause)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        crate::triggers::note_queued(&mut transaction, request, id, now).await?;
        let waiting =
            sqlx::query("SELECT * FROM build WHERE app = ?1 AND state = 'queued' AND id < ?2")
                .bind(request.app.as_str())
                .bind(id)
                .fetch_all(&mut *transaction)
                .await?;
        for older in &waiting {
            let older = build_of_row(older)?.build;
            if older.request.branch == request.branch {
                let end = BuildEnd {
                    result: BuildResult::NotBuilt,
                    problem: Some(Problem::conflict(format!(
                        "build #{id} of a newer commit took its place"
                    ))),
                    at: now,
                    release: None,
                };
                write_end(&mut transaction, older.id, now, &end).await?;
            }
        }
        transaction.commit().await?;
        Ok(BuildId(row::unsigned(id)))
    }

    /// Builds, newest first, of one app or all.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn builds(
        &self,
        app: Option<&AppName>,
        limit: u32,
    ) -> Result<Vec<Build>, StoreError> {
        let query = match app {
            Some(app) => {
                sqlx::query("SELECT * FROM build WHERE app = ?2 ORDER BY id DESC LIMIT ?1")
                    .bind(limit)
                    .bind(app.as_str())
            }
            None => sqlx::query("SELECT * FROM build ORDER BY id DESC LIMIT ?1").bind(limit),
        };
        query
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| build_of_row(found).map(|stored| stored.build))
            .collect()
    }

    /// Builds that wait or run, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn active_builds(&self) -> Result<Vec<StoredBuild>, StoreError> {
        sqlx::query("SELECT * FROM build WHERE state <> 'finished' ORDER BY id")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(build_of_row)
            .collect()
    }

    /// One build.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn build(&self, id: BuildId) -> Result<Option<StoredBuild>, StoreError> {
        sqlx::query("SELECT * FROM build WHERE id = ?1")
            .bind(row::number(id.0))
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(build_of_row)
            .transpose()
    }

    /// Says why a build waits; nothing changes where it does not.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn explain_wait(&self, id: BuildId, reason: &str) -> Result<(), StoreError> {
        let state = BuildState::Queued {
            reason: reason.to_owned(),
        };
        sqlx::query("UPDATE build SET detail = ?2 WHERE id = ?1 AND state = 'queued'")
            .bind(row::number(id.0))
            .bind(row::to_json(&state, "build state")?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a build from the queue; says whether it was there.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn begin_build(&self, id: BuildId, now: Timestamp) -> Result<bool, StoreError> {
        let state = BuildState::Running { since: now };
        let done = sqlx::query(
            "UPDATE build SET state = 'running', detail = ?2 WHERE id = ?1 AND state = 'queued'",
        )
        .bind(row::number(id.0))
        .bind(row::to_json(&state, "build state")?)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Remembers the runner of a build.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_runner(&self, id: BuildId, pid: u32) -> Result<(), StoreError> {
        sqlx::query("UPDATE build SET pid = ?2 WHERE id = ?1")
            .bind(row::number(id.0))
            .bind(pid)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes what is known of a running build; nothing changes once it has ended.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn update_build(&self, id: BuildId, update: &BuildUpdate) -> Result<(), StoreError> {
        sqlx::query("UPDATE build SET stages = ?2, spec = ?3, tests = ?4 WHERE id = ?1 AND state = 'running'")
            .bind(row::number(id.0))
            .bind(row::to_json(&update.stages, "stages")?)
            .bind(update.spec.as_ref().map(|spec| row::to_json(spec, "specification")).transpose()?)
            .bind(update.tests.as_ref().map(|tests| row::to_json(tests, "test counts")).transpose()?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a build, and makes its release and queues its deploy where it has one, in one transaction. Doing it again
    /// changes nothing and gives nothing.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_build(
        &self,
        id: BuildId,
        end: &BuildEnd,
    ) -> Result<Option<(ReleaseNumber, DeployId)>, StoreError> {
        let mut transaction = self.write().await?;
        let found = sqlx::query("SELECT * FROM build WHERE id = ?1 AND state <> 'finished'")
            .bind(row::number(id.0))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let since = match build_of_row(&found)?.build.state {
            BuildState::Running { since } => since,
            BuildState::Queued { .. } | BuildState::Finished { .. } => end.at,
        };
        write_end(&mut transaction, id, since, end).await?;
        let made = match &end.release {
            None => None,
            Some(release) => {
                let number = insert_release(&mut transaction, release, end.at).await?;
                let deploy = deploys::insert_deploy(
                    &mut transaction,
                    &release.app,
                    number,
                    Some(id),
                    &DeployWork::Release,
                    end.at,
                )
                .await?;
                Some((number, deploy))
            }
        };
        transaction.commit().await?;
        Ok(made)
    }

    /// Finished builds of an app whose folders are still there, newest first, each with whether a release that serves,
    /// comes or may be rolled back to (one of the newest `releases` that served) runs its tree.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn sweepable_builds(
        &self,
        app: &AppName,
        releases: u32,
    ) -> Result<Vec<(BuildId, bool)>, StoreError> {
        let rows = sqlx::query(
            "WITH needed AS (
                SELECT build FROM release WHERE app = ?1 AND state IN ('created', 'serving')
                UNION
                SELECT build FROM (SELECT build FROM release WHERE app = ?1 AND state = 'superseded'
                                   ORDER BY number DESC LIMIT ?2))
             SELECT id, id IN (SELECT build FROM needed) AS needed FROM build
             WHERE app = ?1 AND state = 'finished' AND swept = 0 ORDER BY id DESC",
        )
        .bind(app.as_str())
        .bind(releases)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|found| Ok((BuildId(row::id(found, "id")?), found.try_get("needed")?)))
            .collect()
    }

    /// Remembers that a build's folder and tree are gone; its record stays.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn mark_swept(&self, id: BuildId) -> Result<(), StoreError> {
        sqlx::query("UPDATE build SET swept = 1 WHERE id = ?1")
            .bind(row::number(id.0))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

async fn write_end(
    connection: &mut SqliteConnection,
    id: BuildId,
    since: Timestamp,
    end: &BuildEnd,
) -> Result<(), StoreError> {
    let state = BuildState::Finished {
        result: end.result,
        since,
        at: end.at,
        problem: end.problem.clone(),
    };
    sqlx::query("UPDATE build SET state = 'finished', detail = ?2 WHERE id = ?1")
        .bind(row::number(id.0))
        .bind(row::to_json(&state, "build state")?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) fn build_of_row(found: &SqliteRow) -> Result<StoredBuild, StoreError> {
    let pid: Option<i64> = found.try_get("pid")?;
    Ok(StoredBuild {
        build: Build {
            id: BuildId(row::id(found, "id")?),
            request: row::json(found, "request")?,
            created: row::time(found, "created")?,
            state: row::json(found, "detail")?,
            stages: row::json(found, "stages")?,
            tests: row::optional_json(found, "tests")?,
            agent: found.try_get("agent")?,
        },
        spec: row::optional_json(found, "spec")?,
        runner: pid.and_then(|pid| u32::try_from(pid).ok()),
    })
}
