//! What builds leave for people: the history of tests, artifacts, reports, findings.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::build::{BuildResult, TestCounts};
use crate::names::{AppName, BuildId};

/// A file that a build kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its path below the artifacts.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hex: its fingerprint.
    pub sha256: String,
}

/// A build that kept a file of a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fingerprint {
    /// The app.
    pub app: AppName,
    /// The build.
    pub build: BuildId,
    /// The file's path there.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a test's failure is, seen over the builds of its branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It passed in the builds before.
    New,
    /// It failed in the build before, too.
    Still,
    /// It fails now and then: it went from passing to failing more than once in the last builds.
    Flaky,
}

/// A failed test, seen over the builds of its branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedTest {
    /// The suite or class.
    pub suite: String,
    /// The name.
    pub name: String,
    /// What its failure is.
    pub kind: FailureKind,
    /// The build since which it fails without a pass in between.
    pub since: BuildId,
    /// In how many of the last builds it failed.
    pub failed: u32,
}

/// The tests of one build, held against the builds of its branch before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestReport {
    /// The build.
    pub build: BuildId,
    /// Its counts.
    pub counts: TestCounts,
    /// The build before it on its branch that had tests.
    pub before: Option<BuildId>,
    /// Over how many builds it was looked, this one included.
    pub looked_at: u32,
    /// What failed.
    pub failed: Vec<FailedTest>,
    /// What failed in the build before and does not now: suite and name.
    pub fixed: Vec<(String, String)>,
    /// What passes now but failed and passed by turns in the last builds: suite and name.
    pub flaky: Vec<(String, String)>,
}

/// One build in the history of an app's tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestPoint {
    /// The build.
    pub build: BuildId,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// How it ended, once it has.
    pub result: Option<BuildResult>,
    /// Its counts.
    pub counts: TestCounts,
}

/// The history of an app's tests on a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestHistory {
    /// The branch; all where absent.
    pub branch: Option<String>,
    /// Builds with tests, oldest first.
    pub points: Vec<TestPoint>,
    /// The newest of them, held against the others.
    pub newest: Option<TestReport>,
}
