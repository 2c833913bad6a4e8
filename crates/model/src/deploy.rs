//! A release, and its way into service.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::AppSpec;
use crate::names::{AppName, BuildId, DeployId, ReleaseNumber};
use crate::problem::Problem;

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
    /// Instances are started.
    Start,
    /// Their health checks are awaited.
    Ready,
    /// The route table is switched.
    Switch,
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
