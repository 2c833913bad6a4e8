//! Trigger settings, branches, webhooks' deliveries, and the statuses that forges are to be told.

use jiff::Timestamp;
use launchway_model::build::{BuildRequest, BuildResult, BuildState};
use launchway_model::trigger::{Branch, BranchKind, Delivery, TriggerSettings, TriggerSpec};
use launchway_model::{AppName, BuildId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::{Store, StoreError, row};

/// An app's trigger settings as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTriggers {
    /// The app.
    pub app: AppName,
    /// The settings.
    pub settings: TriggerSettings,
    /// The sealed secret of its webhooks.
    pub secret: Option<Vec<u8>>,
    /// When the remote was last looked at.
    pub looked: Option<Timestamp>,
    /// Why the last look failed.
    pub trouble: Option<String>,
}

/// A branch with what only control needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBranch {
    /// Its app.
    pub app: AppName,
    /// What people see of it.
    pub branch: Branch,
    /// The commit of its last build.
    pub built: Option<String>,
    /// The time up to which its schedule was looked at.
    pub checked: Option<Timestamp>,
}

/// A delivery that is still to be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingDelivery {
    /// Its number.
    pub serial: u64,
    /// Its app.
    pub app: AppName,
    /// What it says, JSON.
    pub payload: String,
}

/// A build whose status a forge is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingStatus {
    /// The build.
    pub build: BuildId,
    /// The app whose forge it is.
    pub app: AppName,
    /// What was told last.
    pub told: Option<String>,
    /// How often it failed in a row.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Timestamp,
    /// What is built.
    pub request: BuildRequest,
    /// How the build stands.
    pub state: BuildState,
}

impl Store {
    /// The trigger settings of one app, or of all that have any.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn triggers(&self, app: Option<&AppName>) -> Result<Vec<StoredTriggers>, StoreError> {
        sqlx::query("SELECT * FROM trigger_settings WHERE ?1 IS NULL OR app = ?1 ORDER BY app")
            .bind(app.map(AppName::as_str))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| {
                Ok(StoredTriggers {
                    app: row::parsed(found, "app")?,
                    settings: row::json(found, "settings")?,
                    secret: found.try_get("secret")?,
                    looked: optional_time(found, "looked")?,
                    trouble: found.try_get("trouble")?,
                })
            })
            .collect()
    }

    /// Stores an app's trigger settings; its webhooks' secret stays. Where the remote is another one, it counts as never
    /// looked at.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn set_triggers(
        &self,
        app: &AppName,
        settings: &TriggerSettings,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO trigger_settings (app, settings) VALUES (?1, ?2)
             ON CONFLICT (app) DO UPDATE SET settings = excluded.settings, trouble = NULL,
             looked = CASE WHEN json_extract(settings, '$.remote') IS json_extract(excluded.settings, '$.remote')
                      THEN looked ELSE NULL END",
        )
        .bind(app.as_str())
        .bind(row::to_json(settings, "trigger settings")?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stores the sealed secret of an app's webhooks.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn set_hook_secret(&self, app: &AppName, secret: &[u8]) -> Result<(), StoreError> {
        let default = row::to_json(&TriggerSettings::default(), "trigger settings")?;
        sqlx::query(
            "INSERT INTO trigger_settings (app, settings, secret) VALUES (?1, ?2, ?3)
             ON CONFLICT (app) DO UPDATE SET secret = excluded.secret",
        )
        .bind(app.as_str())
        .bind(default)
        .bind(secret)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Remembers that a remote was looked at, and what went wrong.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_looked(
        &self,
        app: &AppName,
        at: Timestamp,
        trouble: Option<&str>,
    ) -> Result<(), StoreError> {
        // A look that failed is none: what was new then is still new at the next.
        sqlx::query(
            "UPDATE trigger_settings SET looked = CASE WHEN ?3 IS NULL THEN ?2 ELSE looked END, trouble = ?3 WHERE app = ?1",
        )
        .bind(app.as_str())
        .bind(at.as_millisecond())
        .bind(trouble)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The branches, tags and pull requests of an app, the last changed first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn branches(&self, app: &AppName) -> Result<Vec<StoredBranch>, StoreError> {
        sqlx::query(
            "SELECT branch.*, build.detail AS detail FROM branch LEFT JOIN build ON build.id = branch.build
             WHERE branch.app = ?1 ORDER BY branch.changed DESC, branch.name",
        )
        .bind(app.as_str())
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(branch_of_row)
        .collect()
    }

    /// The branches of all apps whose pipelines name triggers.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn triggered_branches(&self) -> Result<Vec<StoredBranch>, StoreError> {
        sqlx::query(
            "SELECT branch.*, NULL AS detail FROM branch WHERE triggers <> '[]' ORDER BY app, kind, name",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(branch_of_row)
        .collect()
    }

    /// Writes what a look found of a branch; its last build and its triggers stay.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn see_branch(&self, app: &AppName, branch: &Branch) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO branch (app, name, kind, head, change, skipped, preview, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (app, kind, name) DO UPDATE SET head = excluded.head, change = excluded.change,
             skipped = excluded.skipped, preview = coalesce(excluded.preview, preview), changed = excluded.changed",
        )
        .bind(app.as_str())
        .bind(&branch.name)
        .bind(kind_word(branch.kind))
        .bind(&branch.head)
        .bind(branch.change.as_ref().map(|change| row::to_json(change, "pull request")).transpose()?)
        .bind(branch.skipped.as_deref())
        .bind(branch.preview.as_ref().map(AppName::as_str))
        .bind(branch.changed.as_millisecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets a branch; its builds stay.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn forget_branch(
        &self,
        app: &AppName,
        kind: BranchKind,
        name: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM branch WHERE app = ?1 AND kind = ?2 AND name = ?3")
            .bind(app.as_str())
            .bind(kind_word(kind))
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a branch's preview from it.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn forget_preview(&self, app: &AppName, preview: &AppName) -> Result<(), StoreError> {
        sqlx::query("UPDATE branch SET preview = NULL WHERE app = ?1 AND preview = ?2")
            .bind(app.as_str())
            .bind(preview.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes what a branch's pipeline says that starts builds. Its schedule counts from now on, unless it was the same before.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_branch_triggers(
        &self,
        request: &BuildRequest,
        triggers: &[TriggerSpec],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some((app, kind, name)) = branch_of(request) else {
            return Ok(());
        };
        sqlx::query(
            "UPDATE branch SET triggers = ?4, checked = CASE WHEN triggers = ?4 THEN coalesce(checked, ?5) ELSE ?5 END
             WHERE app = ?1 AND kind = ?2 AND name = ?3",
        )
        .bind(app.as_str())
        .bind(kind_word(kind))
        .bind(name)
        .bind(row::to_json(&triggers, "triggers")?)
        .bind(now.as_millisecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Remembers up to when a branch's schedule was looked at.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn set_branch_checked(
        &self,
        stored: &StoredBranch,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE branch SET checked = ?4 WHERE app = ?1 AND kind = ?2 AND name = ?3")
            .bind(stored.app.as_str())
            .bind(kind_word(stored.branch.kind))
            .bind(&stored.branch.name)
            .bind(at.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a delivery in; says whether its id (and its digest, where it has one) is new. `payload` is what is to be done,
    /// if anything is.
    ///
    /// # Errors
    /// The database refuses, or the app does not exist.
    pub async fn take_delivery(
        &self,
        app: &AppName,
        delivery: &Delivery,
        payload: Option<&str>,
        digest: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO delivery (app, id, event, at, payload, outcome, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO NOTHING",
        )
        .bind(app.as_str())
        .bind(&delivery.id)
        .bind(&delivery.event)
        .bind(delivery.at.as_millisecond())
        .bind(payload)
        .bind(&delivery.outcome)
        .bind(digest)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// How many deliveries of an app wait.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn count_waiting_deliveries(&self, app: &AppName) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM delivery WHERE app = ?1 AND payload IS NOT NULL",
        )
        .bind(app.as_str())
        .fetch_one(&self.pool)
        .await?;
        Ok(row::unsigned(count))
    }

    /// Deliveries that are still to be acted on, oldest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn waiting_deliveries(&self) -> Result<Vec<WaitingDelivery>, StoreError> {
        sqlx::query(
            "SELECT serial, app, payload FROM delivery WHERE payload IS NOT NULL ORDER BY serial LIMIT 500",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|found| {
            Ok(WaitingDelivery {
                serial: row::id(found, "serial")?,
                app: row::parsed(found, "app")?,
                payload: found.try_get("payload")?,
            })
        })
        .collect()
    }

    /// A delivery was acted on.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_delivery(&self, serial: u64, outcome: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE delivery SET payload = NULL, outcome = ?2 WHERE serial = ?1")
            .bind(row::number(serial))
            .bind(outcome)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Deliveries of an app, newest first.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn deliveries(&self, app: &AppName, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        sqlx::query("SELECT id, event, at, outcome FROM delivery WHERE app = ?1 ORDER BY serial DESC LIMIT ?2")
            .bind(app.as_str())
            .bind(limit)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|found| {
                Ok(Delivery {
                    id: found.try_get("id")?,
                    event: found.try_get("event")?,
                    at: row::time(found, "at")?,
                    outcome: found.try_get("outcome")?,
                })
            })
            .collect()
    }

    /// Forgets deliveries that came before a time and are done.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn sweep_deliveries(&self, before: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM delivery WHERE at < ?1 AND payload IS NULL")
            .bind(before.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Builds whose last state a forge does not know yet.
    ///
    /// # Errors
    /// The database refuses or holds something unreadable.
    pub async fn waiting_statuses(&self) -> Result<Vec<WaitingStatus>, StoreError> {
        sqlx::query(
            "SELECT commit_status.build, commit_status.app, told, attempts, due, build.request, build.detail
             FROM commit_status JOIN build ON build.id = commit_status.build ORDER BY commit_status.build",
        )
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|found| {
            Ok(WaitingStatus {
                build: BuildId(row::id(found, "build")?),
                app: row::parsed(found, "app")?,
                told: found.try_get("told")?,
                attempts: found.try_get::<i64, _>("attempts")?.try_into().unwrap_or(u32::MAX),
                due: row::time(found, "due")?,
                request: row::json(found, "request")?,
                state: row::json(found, "detail")?,
            })
        })
        .collect()
    }

    /// The forge took a status; the last one of a build ends its row.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn status_told(
        &self,
        build: BuildId,
        told: &str,
        last: bool,
    ) -> Result<(), StoreError> {
        let query = if last {
            sqlx::query("DELETE FROM commit_status WHERE build = ?1").bind(row::number(build.0))
        } else {
            sqlx::query(
                "UPDATE commit_status SET told = ?2, attempts = 0, trouble = NULL WHERE build = ?1",
            )
            .bind(row::number(build.0))
            .bind(told)
        };
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// The forge did not take a status.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn status_failed(
        &self,
        build: BuildId,
        due: Timestamp,
        trouble: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE commit_status SET attempts = attempts + 1, due = ?2, trouble = ?3 WHERE build = ?1",
        )
        .bind(row::number(build.0))
        .bind(due.as_millisecond())
        .bind(trouble)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many statuses of an app wait after a failure, and why the last one failed.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn status_trouble(&self, app: &AppName) -> Result<(u64, Option<String>), StoreError> {
        let found = sqlx::query(
            "SELECT count(*) AS waiting, max(trouble) AS trouble FROM commit_status WHERE app = ?1 AND trouble IS NOT NULL",
        )
        .bind(app.as_str())
        .fetch_one(&self.pool)
        .await?;
        Ok((row::id(&found, "waiting")?, found.try_get("trouble")?))
    }
}

/// Writes a queued build to its branch, and notes that its status is to be told where the app's settings say so; part of the
/// transaction that queues it.
pub(crate) async fn note_queued(
    connection: &mut SqliteConnection,
    request: &BuildRequest,
    build: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let owner = request.origin.preview_of.as_ref().unwrap_or(&request.app);
    if let Some((app, kind, name)) = branch_of(request) {
        sqlx::query(
            "INSERT INTO branch (app, name, kind, head, built, build, changed) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)
             ON CONFLICT (app, kind, name) DO UPDATE SET head = excluded.head, built = excluded.built, build = excluded.build,
             changed = excluded.changed, skipped = NULL",
        )
        .bind(app.as_str())
        .bind(name)
        .bind(kind_word(kind))
        .bind(&request.commit)
        .bind(build)
        .bind(now.as_millisecond())
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "INSERT INTO commit_status (build, app, due) SELECT ?1, app, ?3 FROM trigger_settings
         WHERE app = ?2 AND json_extract(settings, '$.status_credential') IS NOT NULL",
    )
    .bind(build)
    .bind(owner.as_str())
    .bind(now.as_millisecond())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Which branch a build is of: its app, kind and name.
fn branch_of(request: &BuildRequest) -> Option<(&AppName, BranchKind, &str)> {
    let owner = request.origin.preview_of.as_ref().unwrap_or(&request.app);
    let name = request.branch.as_deref()?;
    let kind = if request.origin.tag.is_some() {
        BranchKind::Tag
    } else if request.origin.change.is_some() {
        BranchKind::Change
    } else {
        BranchKind::Branch
    };
    Some((owner, kind, name))
}

fn kind_word(kind: BranchKind) -> &'static str {
    match kind {
        BranchKind::Branch => "branch",
        BranchKind::Change => "change",
        BranchKind::Tag => "tag",
    }
}

fn branch_of_row(found: &SqliteRow) -> Result<StoredBranch, StoreError> {
    let kind: &str = found.try_get("kind")?;
    let build: Option<i64> = found.try_get("build")?;
    let preview: Option<&str> = found.try_get("preview")?;
    let state: Option<BuildState> = row::optional_json(found, "detail")?;
    Ok(StoredBranch {
        app: row::parsed(found, "app")?,
        built: found.try_get("built")?,
        checked: optional_time(found, "checked")?,
        branch: Branch {
            name: found.try_get("name")?,
            kind: match kind {
                "tag" => BranchKind::Tag,
                "change" => BranchKind::Change,
                _ => BranchKind::Branch,
            },
            head: found.try_get("head")?,
            change: row::optional_json(found, "change")?,
            build: build.map(|build| BuildId(row::unsigned(build))),
            result: state.as_ref().map(state_word).map(str::to_owned),
            skipped: found.try_get("skipped")?,
            preview: match preview {
                Some(_) => Some(row::parsed(found, "preview")?),
                None => None,
            },
            triggers: row::json(found, "triggers")?,
            next: None,
            changed: row::time(found, "changed")?,
        },
    })
}

/// A state in one word.
fn state_word(state: &BuildState) -> &'static str {
    match state {
        BuildState::Queued { .. } => "queued",
        BuildState::Running { .. } => "running",
        BuildState::Finished { result, .. } => match result {
            BuildResult::Success => "success",
            BuildResult::Unstable => "unstable",
            BuildResult::Failure => "failure",
            BuildResult::NotBuilt => "not_built",
            BuildResult::Aborted => "aborted",
        },
    }
}

fn optional_time(found: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let value: Option<i64> = found.try_get(column)?;
    value.map(|_| row::time(found, column)).transpose()
}
