//! A build: from a commit to a tree, in stages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{AppName, BuildId};
use crate::problem::Problem;

/// How a build or a stage ended. The order is from best to worst, as Jenkins has it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BuildResult {
    /// All went well.
    Success,
    /// It ran to its end, but tests failed or a step called it unstable.
    Unstable,
    /// A step failed.
    Failure,
    /// It was left out by a condition or an earlier stage's end.
    NotBuilt,
    /// It was cancelled or met its time limit.
    Aborted,
}

/// Where a build stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BuildState {
    /// It waits for a runner.
    Queued {
        /// Why it waits, in words.
        reason: String,
    },
    /// A runner executes it.
    Running {
        /// When the runner started.
        #[schema(value_type = String)]
        since: Timestamp,
    },
    /// It ended.
    Finished {
        /// How.
        result: BuildResult,
        /// When the runner started, or the end where none did.
        #[schema(value_type = String)]
        since: Timestamp,
        /// When it ended.
        #[schema(value_type = String)]
        at: Timestamp,
        /// Why, unless it succeeded.
        problem: Option<Problem>,
    },
}

/// A stage of a build, numbered from 0 in the order of the plan; its log is `log/STAGE.log` in the build's folder.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct StageId(pub u32);

/// What is known of a stage before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageInfo {
    /// Its number.
    pub id: StageId,
    /// The stage that it is nested in.
    pub parent: Option<StageId>,
    /// Its name for people.
    pub name: String,
    /// Whether its children run side by side.
    #[serde(default)]
    pub parallel: bool,
}

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StageState {
    /// It has not started.
    Waiting,
    /// It runs.
    Running {
        /// When it started.
        #[schema(value_type = String)]
        since: Timestamp,
    },
    /// It ended.
    Finished {
        /// How.
        result: BuildResult,
        /// When it started.
        #[schema(value_type = String)]
        since: Timestamp,
        /// When it ended.
        #[schema(value_type = String)]
        at: Timestamp,
    },
}

/// Counts of a build's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TestCounts {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed an assertion or ended in an error.
    pub failed: u32,
    /// Tests that were left out.
    pub skipped: u32,
}

impl TestCounts {
    /// All tests that were named.
    pub fn total(self) -> u32 {
        self.passed + self.failed + self.skipped
    }
}

/// One test case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestCase {
    /// The suite or class that it belongs to.
    pub suite: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// How long it took, in seconds; 0 where the report does not say.
    pub seconds: f64,
    /// The failure's message and trace, cut to 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// It passed.
    Passed,
    /// It failed or ended in an error.
    Failed,
    /// It was left out.
    Skipped,
}

/// What a build was asked to do; stored before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildRequest {
    /// The app.
    pub app: AppName,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The branch that it came by, where known.
    pub branch: Option<String>,
    /// The commit's first line.
    pub subject: String,
    /// Who made the commit.
    pub author: String,
    /// Who or what asked for the build: "deploy", "push", "webhook", "poll", "timer", "upstream", "api".
    pub cause: String,
    /// Whether a green build is deployed.
    pub deploy: bool,
    /// Where the commit came from: a tag, a pull request, a remote.
    #[serde(default)]
    pub origin: crate::trigger::Origin,
    /// Parameters that were given for this build alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// A build that a person or another build asks for now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct BuildNow {
    /// The branch; the app's own where absent.
    #[serde(default)]
    pub branch: Option<String>,
    /// The commit; the branch's newest where absent.
    #[serde(default)]
    pub commit: Option<String>,
    /// Whether a green build is deployed; where absent it is on the app's branch alone.
    #[serde(default)]
    pub deploy: Option<bool>,
    /// The parameters of the pipeline; those that are missing take their defaults.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// A build as people and clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Build {
    /// Its number.
    pub id: BuildId,
    /// What was asked.
    pub request: BuildRequest,
    /// When it was asked.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// Where it stands.
    pub state: BuildState,
    /// Its stages, in order, once the plan is known.
    pub stages: Vec<Stage>,
    /// Its tests' counts, where there were reports.
    pub tests: Option<TestCounts>,
    /// The agent that runs it or ran it; none where it is the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// A stage with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// What it is.
    #[serde(flatten)]
    pub info: StageInfo,
    /// Where it stands.
    pub status: StageState,
}
