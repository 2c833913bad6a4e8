//! Runs of an app's commands by the clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::CronSpec;
use crate::names::{AppName, InstanceId, ProcessType, ReleaseNumber};

/// A job with when it runs next: `launchway cron list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CronJob {
    /// What is to be run, and when.
    #[serde(flatten)]
    pub spec: CronSpec,
    /// When it is due next; never while the app is stopped.
    #[schema(value_type = Option<String>)]
    pub next: Option<Timestamp>,
    /// Its last run.
    pub last: Option<CronRun>,
}

/// One run of a job, or why there was none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CronRun {
    /// Its number.
    pub id: u64,
    /// The app.
    pub app: AppName,
    /// The job.
    pub job: ProcessType,
    /// When it was due.
    #[schema(value_type = String)]
    pub due: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// How it went.
    pub state: CronState,
    /// The same in words: "exit code 1".
    pub detail: String,
    /// The release that it ran in.
    pub release: ReleaseNumber,
    /// The instance whose log has its output.
    pub instance: Option<InstanceId>,
}

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CronState {
    /// It runs.
    Running,
    /// It exited with 0.
    Succeeded,
    /// It exited otherwise, or could not be started.
    Failed,
    /// It was stopped, since its time was over.
    TimedOut,
    /// It was stopped for the next run.
    Replaced,
    /// It was left out, since the one before still ran.
    Skipped,
    /// It was due while nobody was there.
    Missed,
    /// Nobody knows how it ended: the machine went down amid it.
    Lost,
}

impl CronState {
    /// The state as one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Replaced => "replaced",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Lost => "lost",
        }
    }
}
