//! The logs of deploys' phases, and the command that runs once in an app's life.

use jiff::Timestamp;
use launchway_model::deploy::{OnceRecord, OnceState, PhaseLine};
use launchway_model::{AppName, DeployId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError, row};

/// The most lines that one deploy keeps.
const LINES: i64 = 5_000;
/// How many of an app's newest deploys keep their log.
const DEPLOYS: i64 = 100;

impl Store {
    /// Appends lines to a deploy's log. Beyond its bound, and for deploys long ago, the oldest go.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn append_deploy_log(
        &self,
        deploy: DeployId,
        lines: &[PhaseLine],
    ) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        for line in lines {
            sqlx::query(
                "INSERT INTO deploy_log (deploy, phase, at, source, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .bind(row::number(deploy.0))
            .bind(row::to_json(&line.phase, "phase")?)
            .bind(line.at.as_millisecond())
            .bind(row::to_json(&line.source, "source")?)
            .bind(line.text.as_str())
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query(
            "DELETE FROM deploy_log WHERE deploy = ?1 AND id <=
             (SELECT id FROM deploy_log WHERE deploy = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(row::number(deploy.0))
        .bind(LINES)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM deploy_log WHERE deploy IN (SELECT id FROM deploy WHERE app =
             (SELECT app FROM deploy WHERE id = ?1) ORDER BY id DESC LIMIT -1 OFFSET ?2)",
        )
        .bind(row::number(deploy.0))
        .bind(DEPLOYS)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The lines of a deploy's log behind `after`, each with its number, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn deploy_log(
        &self,
        deploy: DeployId,
        after: i64,
    ) -> Result<Vec<(i64, PhaseLine)>, StoreError> {
        sqlx::query("SELECT * FROM deploy_log WHERE deploy = ?1 AND id > ?2 ORDER BY id")
            .bind(row::number(deploy.0))
            .bind(after)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| {
                let line = PhaseLine {
                    phase: row::json(found, "phase")?,
                    at: row::time(found, "at")?,
                    source: row::json(found, "source")?,
                    text: found.try_get("text")?,
                };
                Ok((found.try_get("id")?, line))
            })
            .collect()
    }

    /// What is known of the command that runs once.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn once(&self, app: &AppName) -> Result<Option<OnceRecord>, StoreError> {
        sqlx::query("SELECT * FROM once_command WHERE app = ?1")
            .bind(app.as_str())
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(once_of_row)
            .transpose()
    }

    /// Notes that the command is begun now, where it never was or failed before. Gives the record in force; it was
    /// begun by this call where that is running and of this deploy.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn begin_once(
        &self,
        app: &AppName,
        command: &str,
        deploy: DeployId,
        now: Timestamp,
    ) -> Result<(bool, OnceRecord), StoreError> {
        let done = sqlx::query(
            "INSERT INTO once_command (app, state, command, deploy, began) VALUES (?1, 'running', ?2, ?3, ?4)
             ON CONFLICT (app) DO UPDATE SET state = 'running', command = excluded.command, deploy = excluded.deploy,
             began = excluded.began, ended = NULL, detail = '' WHERE state = 'failed'",
        )
        .bind(app.as_str())
        .bind(command)
        .bind(row::number(deploy.0))
        .bind(now.as_millisecond())
        .execute(&self.pool)
        .await?;
        let record = self.once(app).await?;
        let record = record.ok_or(sqlx::Error::RowNotFound)?;
        Ok((done.rows_affected() == 1, record))
    }

    /// Notes how the command ended, or what a person says of it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_once(
        &self,
        app: &AppName,
        state: OnceState,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO once_command (app, state, command, began, ended, detail) VALUES (?1, ?2, '', ?3, ?3, ?4)
             ON CONFLICT (app) DO UPDATE SET state = excluded.state, ended = excluded.ended, detail = excluded.detail",
        )
        .bind(app.as_str())
        .bind(word(state))
        .bind(now.as_millisecond())
        .bind(detail)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets the command, so that the next deploy runs it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn forget_once(&self, app: &AppName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM once_command WHERE app = ?1")
            .bind(app.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn word(state: OnceState) -> &'static str {
    match state {
        OnceState::Running => "running",
        OnceState::Done => "done",
        OnceState::Failed => "failed",
        OnceState::Unknown => "unknown",
    }
}

fn once_of_row(found: &SqliteRow) -> Result<OnceRecord, StoreError> {
    let state: String = found.try_get("state")?;
    let deploy: Option<i64> = found.try_get("deploy")?;
    let ended: Option<i64> = found.try_get("ended")?;
    Ok(OnceRecord {
        state: match state.as_str() {
            "done" => OnceState::Done,
            "failed" => OnceState::Failed,
            "unknown" => OnceState::Unknown,
            _ => OnceState::Running,
        },
        command: found.try_get("command")?,
        deploy: deploy.map(|deploy| DeployId(row::unsigned(deploy))),
        began: row::time(found, "began")?,
        ended: ended.and_then(|ended| Timestamp::from_millisecond(ended).ok()),
        detail: found.try_get("detail")?,
    })
}
