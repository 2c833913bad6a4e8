//! Backups by the clock: the plan that a person left in `backup.json`, and the task of control that follows it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use launchway_model::Problem;
use launchway_model::alert::{AlertSeverity, NewAlert};
use launchway_model::home::Home;
use launchway_model::schedule::Schedule;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Passphrase, Stored, Target, What};
use crate::{Control, alerts, problem, secrets};

/// How often it is looked whether a backup is due.
const EVERY: Duration = Duration::from_secs(20);
/// The kind of our alerts.
const KIND: &str = "backup";

/// When, where and how backups are made by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// A cron expression, `H` included.
    pub when: String,
    /// Where they go.
    pub to: Target,
    /// How many are kept there.
    pub keep: usize,
    /// What seals them. It lies in the plan's file, which only its owner may read: it protects the copies elsewhere.
    pub passphrase: Option<Passphrase>,
    /// Whether releases' trees are left out.
    #[serde(default)]
    pub without_releases: bool,
}

/// What became of the last backup by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When it was begun.
    pub at: Timestamp,
    /// What was stored, or why nothing was.
    pub stored: Result<Stored, String>,
}

fn path(home: &Home) -> PathBuf {
    home.root().join("backup.json")
}

fn last_path(home: &Home) -> PathBuf {
    home.root().join("backups").join("last.json")
}

/// The plan, if there is one.
///
/// # Errors
/// The file is damaged.
pub fn read(home: &Home) -> Result<Option<Plan>, Problem> {
    let path = path(home);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem::file("read", &path, &error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Problem::invalid(format!("{} is damaged", path.display())).cause(error))
}

/// Writes the plan, or removes it.
///
/// # Errors
/// The cron expression is none, or the file cannot be written.
pub fn write(home: &Home, plan: Option<&Plan>) -> Result<(), Problem> {
    let path = path(home);
    let failed = |error: std::io::Error| problem::file("write", &path, &error);
    let Some(plan) = plan else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
    };
    expression(plan, home)?;
    let text = serde_json::to_vec_pretty(plan)
        .map_err(|error| Problem::internal("the plan cannot be written").cause(error))?;
    secrets::write_private(&path, &text).map_err(failed)
}

/// What became of the last backup by the clock, if there was one.
pub fn last(home: &Home) -> Option<Last> {
    let text = std::fs::read(last_path(home)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// When the next backup is due after a moment.
///
/// # Errors
/// The cron expression is none.
pub fn next_after(
    plan: &Plan,
    home: &Home,
    after: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    Ok(expression(plan, home)?.next_after(after, &TimeZone::system()))
}

fn expression(plan: &Plan, home: &Home) -> Result<Schedule, Problem> {
    // Each home draws its own minute for `H`.
    Schedule::parse(&plan.when, &format!("backup {}", home.root().display()))
        .map_err(|error| error.problem())
}

/// Makes the backup that a plan asks for, and removes those beyond its number.
///
/// # Errors
/// As [`super::create`] and [`super::prune`].
pub fn carry_out(home: &Home, plan: &Plan) -> Result<Stored, Problem> {
    let what = What {
        without_releases: plan.without_releases,
    };
    let stored = super::create(home, &plan.to, plan.passphrase.as_ref(), what)?;
    super::prune(&plan.to, plan.keep)?;
    Ok(stored)
}

/// Follows the plan until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    // A backup that was due while control was away is made soon after its start.
    let home = control.settings().home.clone();
    let mut from = last(&home).map_or_else(Timestamp::now, |last| last.at);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let due = match read(&home) {
            Ok(Some(plan)) => match next_after(&plan, &home, from) {
                Ok(Some(at)) if at <= Timestamp::now() => plan,
                Ok(_) => continue,
                Err(problem) => {
                    tell(&control, Err(&problem)).await;
                    continue;
                }
            },
            Ok(None) => {
                from = Timestamp::now();
                continue;
            }
            Err(problem) => {
                tell(&control, Err(&problem)).await;
                continue;
            }
        };
        from = Timestamp::now();
        let made = {
            let home = home.clone();
            tokio::task::spawn_blocking(move || carry_out(&home, &due)).await
        };
        let made = made
            .unwrap_or_else(|error| Err(Problem::internal("the backup ended badly").cause(error)));
        let record = Last {
            at: from,
            stored: made.clone().map_err(|problem| problem.to_string()),
        };
        if let Ok(text) = serde_json::to_vec_pretty(&record) {
            let _ = secrets::write_private(&last_path(&home), &text);
        }
        tell(&control, made.as_ref().map(|_| ())).await;
        if let Ok(stored) = made {
            tracing::info!(
                name = stored.name,
                bytes = stored.bytes,
                "a backup was made"
            );
        }
    }
}

/// Raises the alert of a failed backup, and ends it after a good one.
async fn tell(control: &Control, made: Result<(), &Problem>) {
    let told = match made {
        Ok(()) => alerts::clear(control, KIND, "schedule").await.map(|_| ()),
        Err(problem) => {
            tracing::error!(%problem, "the backup failed");
            let mut alert = NewAlert::new(
                KIND,
                "schedule",
                AlertSeverity::Critical,
                format!("the backup failed: {}", problem.message),
            );
            if let Some(cause) = problem.causes.first() {
                alert
                    .details
                    .insert("cause".to_owned(), cause.clone().into());
            }
            alert.details.insert(
                "hint".to_owned(),
                "Try it by hand with `launchway backup create`, or change it with `launchway backup schedule`.".into(),
            );
            alerts::raise(control, alert).await.map(|_| ())
        }
    };
    if let Err(problem) = told {
        tracing::warn!(%problem, "the alert about the backup cannot be written");
    }
}
