//! A release, and its way into service.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::AppSpec;
use crate::names::{AppName, BuildId, DeployId, ReleaseNumber};
use crate::problem::Problem;
use crate::runner::LogSource;

/// An immutable release: a built tree, its process types, its environment's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// The app.
    pub app: AppName,
    /// Its number, per app from 1.
    pub number: ReleaseNumber,
    /// The build whose tree it runs.
    pub build: BuildId,
    /// The commit of that build.
    pub commit: String,
    /// The commit's first line.
    pub subject: String,
    /// What it runs.
    pub spec: AppSpec,
    /// The version of the configuration (`config set`) that it runs with.
    pub config_version: u64,
    /// When it was made.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Why it was made: "deploy", "rollback to v3", "config set SECRET_KEY".
    pub cause: String,
    /// Where it stands.
    pub state: ReleaseState,
}

/// Where a release stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReleaseState {
    /// It is made and was not in service yet.
    Created,
    /// It serves.
    Serving,
    /// It served once; a rollback can bring it back while its tree is kept.
    Superseded,
    /// It never came into service.
    Refused {
        /// Why.
        problem: Problem,
    },
}

/// The phases of a deploy, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeployPhase {
    /// It waits for the app's running deploy.
    Queued,
    /// The specification is checked: required variables, ports, the tree.
    Validate,
    /// The release command runs.
    Release,
    /// The command that runs once in the app's life.
    Once,
    /// Instances are started.
    Start,
    /// Their health checks are awaited.
    Ready,
    /// The new instances take a part of the requests, step by step.
    Canary,
    /// The route table is switched.
    Switch,
    /// A command and the proxy's counters say whether the release does well, while the one before still runs.
    Verify,
    /// The old instances end their requests and stop.
    Drain,
}

/// One attempt to put a release into service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deploy {
    /// Its number.
    pub id: DeployId,
    /// The app.
    pub app: AppName,
    /// The release.
    pub release: ReleaseNumber,
    /// When it was asked.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Where it stands.
    pub state: DeployState,
    /// The phases so far, with the time each took, in milliseconds; the running one last.
    pub phases: Vec<PhaseRecord>,
}

/// A line of a phase's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseLine {
    /// The phase.
    pub phase: DeployPhase,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who wrote it: a command of the phase, or Launchway.
    pub source: LogSource,
    /// The line.
    pub text: String,
}

/// A deploy with the log of its phases: `launchway deploys show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployReport {
    /// The deploy.
    #[serde(flatten)]
    pub deploy: Deploy,
    /// Its build, which has a record and a log of its own.
    pub build: Option<BuildId>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// What it did, in order.
    pub log: Vec<PhaseLine>,
}

/// The command that runs once in an app's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OnceRecord {
    /// Where it stands.
    pub state: OnceState,
    /// The command that was run.
    pub command: String,
    /// The deploy that ran it.
    pub deploy: Option<DeployId>,
    /// When it began.
    #[schema(value_type = String)]
    pub began: Timestamp,
    /// When it ended, where that is known.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// How it ended, in words.
    pub detail: String,
}

/// Where the command that runs once stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnceState {
    /// It was begun.
    Running,
    /// It ended well, and is never run again.
    Done,
    /// It said itself that it failed; the next deploy runs it again.
    Failed,
    /// Nobody knows how far it came: it was killed or ran out of time. A person must say what holds.
    Unknown,
}

/// One phase of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseRecord {
    /// Which.
    pub phase: DeployPhase,
    /// When it began.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// How long it took in milliseconds, once it ended.
    pub millis: Option<u64>,
    /// How long it may take in milliseconds, where it has a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_ms: Option<u64>,
}

/// Where a deploy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeployState {
    /// It is under way.
    Running {
        /// In which phase.
        phase: DeployPhase,
    },
    /// The release serves.
    Succeeded,
    /// What served before goes on serving.
    Failed {
        /// In which phase.
        phase: DeployPhase,
        /// Why.
        problem: Problem,
    },
    /// A newer one took its place before it began.
    Superseded,
    /// A person cancelled it.
    Cancelled,
}
