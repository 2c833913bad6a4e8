//! Deploys: the work that waits and runs, and how it ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, PhaseRecord, ReleaseState};
use launchway_model::{AppName, BuildId, DeployId, Problem, ProcessType, ReleaseNumber};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::{Store, StoreError, apps, releases, row};

/// What a deploy is to bring about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum DeployWork {
    /// Another release in place of the one that serves.
    Release,
    /// Other numbers of instances of the serving release; types that are not named keep theirs.
    Scale {
        /// The numbers.
        formation: BTreeMap<ProcessType, u32>,
    },
    /// Fresh instances of the serving release.
    Restart {
        /// Of this process type alone.
        process: Option<ProcessType>,
    },
    /// No instances, and a route that says so.
    Stop,
    /// Instances of the serving release again.
    Start,
}

/// A deploy with its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeploy {
    /// What people see of it.
    pub deploy: Deploy,
    /// What it is to bring about.
    pub work: DeployWork,
    /// The build that caused it.
    pub build: Option<BuildId>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How a deploy ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployEnd {
    /// It did its work.
    Succeeded,
    /// It failed in a phase; what served before goes on serving.
    Failed {
        /// The phase.
        phase: DeployPhase,
        /// Why.
        problem: Problem,
    },
    /// A person cancelled it.
    Cancelled,
}

impl Store {
    /// Queues work on the release that serves.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn queue_deploy(
        &self,
        app: &AppName,
        release: ReleaseNumber,
        work: &DeployWork,
        now: Timestamp,
    ) -> Result<DeployId, StoreError> {
        let mut transaction = self.write().await?;
        let id = insert_deploy(&mut transaction, app, release, None, work, now).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Deploys of an app, newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn deploys(
        &self,
        app: &AppName,
        limit: u32,
    ) -> Result<Vec<StoredDeploy>, StoreError> {
        sqlx::query("SELECT * FROM deploy WHERE app = ?1 ORDER BY id DESC LIMIT ?2")
            .bind(app.as_str())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(deploy_of_row)
            .collect()
    }

    /// Deploys that wait or run, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn active_deploys(&self) -> Result<Vec<StoredDeploy>, StoreError> {
        sqlx::query("SELECT * FROM deploy WHERE state IN ('queued', 'running') ORDER BY id")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(deploy_of_row)
            .collect()
    }

    /// One deploy.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn deploy(&self, id: DeployId) -> Result<Option<StoredDeploy>, StoreError> {
        sqlx::query("SELECT * FROM deploy WHERE id = ?1")
            .bind(row::number(id.0))
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(deploy_of_row)
            .transpose()
    }

    /// The newest deploy that a build caused: its pipeline may have asked for one before it ended.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn deploy_of_build(
        &self,
        build: BuildId,
    ) -> Result<Option<StoredDeploy>, StoreError> {
        sqlx::query("SELECT * FROM deploy WHERE build = ?1 ORDER BY id DESC LIMIT 1")
            .bind(row::number(build.0))
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(deploy_of_row)
            .transpose()
    }

    /// Enters a phase: ends the record of the one before and begins its own. Says whether the deploy still waits or
    /// runs; where it has ended nothing changes.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn enter_phase(
        &self,
        id: DeployId,
        phase: DeployPhase,
        limit_ms: Option<u64>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let Some(mut phases) = active_phases(&mut transaction, id).await? else {
            return Ok(false);
        };
        close_last(&mut phases, now);
        phases.push(PhaseRecord {
            phase,
            since: now,
            millis: None,
            limit_ms,
        });
        write(
            &mut transaction,
            id,
            &DeployState::Running { phase },
            &phases,
            None,
        )
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Commits the switch: what the work changes of the app (its release, formation, whether it is stopped) is in force
    /// from here on. Doing it twice does no harm.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn commit_switch(&self, deploy: &StoredDeploy) -> Result<(), StoreError> {
        let (app, release) = (&deploy.deploy.app, deploy.deploy.release);
        let mut transaction = self.write().await?;
        match &deploy.work {
            DeployWork::Release => {
                let before: Option<i64> =
                    sqlx::query_scalar("SELECT serving FROM app WHERE name = ?1")
                        .bind(app.as_str())
                        .fetch_one(&mut *transaction)
                        .await?;
                if let Some(before) = before
                    .map(row::unsigned)
                    .filter(|before| *before != release.0)
                {
                    let state = ReleaseState::Superseded;
                    releases::write_state(&mut transaction, app, ReleaseNumber(before), &state)
                        .await?;
                }
                releases::write_state(&mut transaction, app, release, &ReleaseState::Serving)
                    .await?;
                sqlx::query("UPDATE app SET serving = ?2 WHERE name = ?1")
                    .bind(app.as_str())
                    .bind(row::number(release.0))
                    .execute(&mut *transaction)
                    .await?;
            }
            DeployWork::Scale { formation } => {
                apps::write_formation(&mut transaction, app, formation).await?
            }
            DeployWork::Restart { .. } => {}
            DeployWork::Stop | DeployWork::Start => {
                sqlx::query("UPDATE app SET stopped = ?2 WHERE name = ?1")
                    .bind(app.as_str())
                    .bind(matches!(deploy.work, DeployWork::Stop))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes a switch back: the release before serves again, and the deploy's own is refused.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn revert_switch(
        &self,
        deploy: &StoredDeploy,
        before: ReleaseNumber,
        problem: &Problem,
    ) -> Result<(), StoreError> {
        let (app, release) = (&deploy.deploy.app, deploy.deploy.release);
        let mut transaction = self.write().await?;
        let refused = ReleaseState::Refused {
            problem: problem.clone(),
        };
        releases::write_state(&mut transaction, app, release, &refused).await?;
        releases::write_state(&mut transaction, app, before, &ReleaseState::Serving).await?;
        sqlx::query("UPDATE app SET serving = ?2 WHERE name = ?1")
            .bind(app.as_str())
            .bind(row::number(before.0))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends a deploy, and refuses its release where it failed or was cancelled before the switch. Says whether it was
    /// still active; where it was not nothing changes.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_deploy(
        &self,
        id: DeployId,
        end: &DeployEnd,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let Some(mut phases) = active_phases(&mut transaction, id).await? else {
            return Ok(false);
        };
        close_last(&mut phases, now);
        let (state, problem) = match end {
            DeployEnd::Succeeded => (DeployState::Succeeded, None),
            DeployEnd::Failed { phase, problem } => (
                DeployState::Failed {
                    phase: *phase,
                    problem: problem.clone(),
                },
                Some(problem.clone()),
            ),
            DeployEnd::Cancelled => (
                DeployState::Cancelled,
                Some(Problem::conflict("the deploy was cancelled")),
            ),
        };
        write(&mut transaction, id, &state, &phases, Some(now)).await?;
        if let Some(problem) = problem {
            refuse_release(&mut transaction, id, problem).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

/// Writes a queued deploy. Of the deploys of an app that wait to bring a release into service, only the newest stays.
pub(crate) async fn insert_deploy(
    connection: &mut SqliteConnection,
    app: &AppName,
    release: ReleaseNumber,
    build: Option<BuildId>,
    work: &DeployWork,
    now: Timestamp,
) -> Result<DeployId, StoreError> {
    let state = DeployState::Running {
        phase: DeployPhase::Queued,
    };
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO deploy (app, release, build, work, created, state, detail, phases)
         VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7) RETURNING id",
    )
    .bind(app.as_str())
    .bind(row::number(release.0))
    .bind(build.map(|build| row::number(build.0)))
    .bind(row::to_json(work, "deploy work")?)
    .bind(now.as_millisecond())
    .bind(row::to_json(&state, "deploy state")?)
    .bind(row::to_json(
        &[PhaseRecord {
            phase: DeployPhase::Queued,
            since: now,
            millis: None,
            limit_ms: None,
        }],
        "phases",
    )?)
    .fetch_one(&mut *connection)
    .await?;
    if *work == DeployWork::Release {
        supersede_waiting(connection, app, id, now).await?;
    }
    Ok(DeployId(row::unsigned(id)))
}

async fn supersede_waiting(
    connection: &mut SqliteConnection,
    app: &AppName,
    newest: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows =
        sqlx::query("SELECT id, work FROM deploy WHERE app = ?1 AND state = 'queued' AND id < ?2")
            .bind(app.as_str())
            .bind(newest)
            .fetch_all(&mut *connection)
            .await?;
    for waiting in &rows {
        if row::json::<DeployWork>(waiting, "work")? != DeployWork::Release {
            continue;
        }
        let id = DeployId(row::id(waiting, "id")?);
        if let Some(mut phases) = active_phases(connection, id).await? {
            close_last(&mut phases, now);
            write(connection, id, &DeployState::Superseded, &phases, Some(now)).await?;
            refuse_release(
                connection,
                id,
                Problem::conflict("a newer release took its place"),
            )
            .await?;
        }
    }
    Ok(())
}

/// Refuses the release of a deploy, unless it serves or served.
async fn refuse_release(
    connection: &mut SqliteConnection,
    id: DeployId,
    problem: Problem,
) -> Result<(), StoreError> {
    let state = ReleaseState::Refused { problem };
    sqlx::query(
        "UPDATE release SET state = ?2, detail = ?3
         WHERE state = 'created' AND (app, number) IN (SELECT app, release FROM deploy WHERE id = ?1)",
    )
    .bind(row::number(id.0))
    .bind(row::state_word(&state, "release state")?)
    .bind(row::to_json(&state, "release state")?)
    .execute(connection)
    .await?;
    Ok(())
}

/// The phases of a deploy that waits or runs.
async fn active_phases(
    connection: &mut SqliteConnection,
    id: DeployId,
) -> Result<Option<Vec<PhaseRecord>>, StoreError> {
    sqlx::query("SELECT phases FROM deploy WHERE id = ?1 AND state IN ('queued', 'running')")
        .bind(row::number(id.0))
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(|found| row::json(found, "phases"))
        .transpose()
}

fn close_last(phases: &mut [PhaseRecord], now: Timestamp) {
    if let Some(last) = phases.last_mut().filter(|last| last.millis.is_none()) {
        let millis = now.duration_since(last.since).as_millis();
        last.millis = Some(u64::try_from(millis).unwrap_or(0));
    }
}

async fn write(
    connection: &mut SqliteConnection,
    id: DeployId,
    state: &DeployState,
    phases: &[PhaseRecord],
    ended: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE deploy SET state = ?2, detail = ?3, phases = ?4, ended = ?5 WHERE id = ?1")
        .bind(row::number(id.0))
        .bind(row::state_word(state, "deploy state")?)
        .bind(row::to_json(state, "deploy state")?)
        .bind(row::to_json(&phases, "phases")?)
        .bind(ended.map(Timestamp::as_millisecond))
        .execute(connection)
        .await?;
    Ok(())
}

fn deploy_of_row(found: &SqliteRow) -> Result<StoredDeploy, StoreError> {
    let build: Option<i64> = found.try_get("build")?;
    let ended: Option<i64> = found.try_get("ended")?;
    Ok(StoredDeploy {
        deploy: Deploy {
            id: DeployId(row::id(found, "id")?),
            app: row::parsed(found, "app")?,
            release: ReleaseNumber(row::id(found, "release")?),
            created: row::time(found, "created")?,
            state: row::json(found, "detail")?,
            phases: row::json(found, "phases")?,
        },
        work: row::json(found, "work")?,
        build: build.map(|build| BuildId(row::unsigned(build))),
        ended: ended.and_then(|ended| Timestamp::from_millisecond(ended).ok()),
    })
}
