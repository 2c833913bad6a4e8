//! Clocks and the runs that they caused.

use jiff::Timestamp;
use launchway_model::cron::{CronRun, CronState};
use launchway_model::{AppName, InstanceId, ProcessType, ReleaseNumber};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError, row};

/// How many runs of one job are kept.
const KEPT: i64 = 200;

/// A run before it has its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The app.
    pub app: AppName,
    /// The job.
    pub job: ProcessType,
    /// When it was due.
    pub due: Timestamp,
    /// How it stands.
    pub state: CronState,
    /// The same in words.
    pub detail: String,
    /// The release that serves.
    pub release: ReleaseNumber,
}

impl Store {
    /// Until when a clock was looked at; from now on where it never was, which is then noted.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn clock(
        &self,
        app: &AppName,
        name: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let at: i64 = sqlx::query_scalar(
            "INSERT INTO clock (app, name, at) VALUES (?1, ?2, ?3)
             ON CONFLICT (app, name) DO UPDATE SET at = at RETURNING at",
        )
        .bind(app.as_str())
        .bind(name)
        .bind(now.as_millisecond())
        .fetch_one(&self.pool)
        .await?;
        Ok(Timestamp::from_millisecond(at).unwrap_or(now))
    }

    /// Notes until when a clock was looked at, together with the runs that came of it, in one step: whoever dies
    /// afterwards neither runs them twice nor forgets them. Gives the runs' numbers.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn move_clock(
        &self,
        app: &AppName,
        name: &str,
        at: Timestamp,
        runs: &[NewRun],
    ) -> Result<Vec<u64>, StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO clock (app, name, at) VALUES (?1, ?2, ?3)
             ON CONFLICT (app, name) DO UPDATE SET at = excluded.at",
        )
        .bind(app.as_str())
        .bind(name)
        .bind(at.as_millisecond())
        .execute(&mut *transaction)
        .await?;
        let mut ids = Vec::new();
        for run in runs {
            let ended = (run.state != CronState::Running).then_some(at.as_millisecond());
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO cron_run (app, job, due, ended, state, detail, release)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
            )
            .bind(app.as_str())
            .bind(run.job.as_str())
            .bind(run.due.as_millisecond())
            .bind(ended)
            .bind(row::state_word(&StateColumn { state: run.state }, "run")?)
            .bind(run.detail.as_str())
            .bind(row::number(run.release.0))
            .fetch_one(&mut *transaction)
            .await?;
            ids.push(row::unsigned(id));
            sqlx::query(
                "DELETE FROM cron_run WHERE app = ?1 AND job = ?2 AND id <=
                 (SELECT id FROM cron_run WHERE app = ?1 AND job = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
            )
            .bind(app.as_str())
            .bind(run.job.as_str())
            .bind(KEPT)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(ids)
    }

    /// Notes which instance a run is.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn run_started(&self, run: u64, instance: &InstanceId) -> Result<(), StoreError> {
        sqlx::query("UPDATE cron_run SET instance = ?2 WHERE id = ?1")
            .bind(row::number(run))
            .bind(instance.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes how a run ended, unless that is noted already.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn run_ended(
        &self,
        run: u64,
        state: CronState,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE cron_run SET state = ?2, detail = ?3, ended = ?4 WHERE id = ?1 AND state = 'running'",
        )
        .bind(row::number(run))
        .bind(row::state_word(&StateColumn { state }, "run")?)
        .bind(detail)
        .bind(now.as_millisecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Runs that have not ended, of all apps.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError> {
        sqlx::query("SELECT * FROM cron_run WHERE state = 'running' ORDER BY id")
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(run_of_row)
            .collect()
    }

    /// Runs of an app or of one of its jobs, newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn runs(
        &self,
        app: &AppName,
        job: Option<&ProcessType>,
        limit: u32,
    ) -> Result<Vec<CronRun>, StoreError> {
        sqlx::query(
            "SELECT * FROM cron_run WHERE app = ?1 AND (?2 IS NULL OR job = ?2) ORDER BY id DESC LIMIT ?3",
        )
        .bind(app.as_str())
        .bind(job.map(ProcessType::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(run_of_row)
        .collect()
    }
}

/// The column `state` as [`row::state_word`] reads it.
#[derive(serde::Serialize)]
struct StateColumn {
    state: CronState,
}

fn run_of_row(found: &SqliteRow) -> Result<CronRun, StoreError> {
    let state: String = found.try_get("state")?;
    let ended: Option<i64> = found.try_get("ended")?;
    let instance: Option<String> = found.try_get("instance")?;
    Ok(CronRun {
        id: row::id(found, "id")?,
        app: row::parsed(found, "app")?,
        job: row::parsed(found, "job")?,
        due: row::time(found, "due")?,
        ended: ended.and_then(|ended| Timestamp::from_millisecond(ended).ok()),
        state: serde_json::from_value(serde_json::Value::String(state)).unwrap_or(CronState::Lost),
        detail: found.try_get("detail")?,
        release: ReleaseNumber(row::id(found, "release")?),
        instance: instance.and_then(|instance| instance.parse().ok()),
    })
}
