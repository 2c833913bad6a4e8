//! Builds: the queue, the runners, and what they report.

use crate::Control;
use launchway_model::build::{Build, StageId, TestCase};
use launchway_model::{AppName, BuildId, Problem};
use std::path::PathBuf;

/// Builds, newest first.
pub async fn list(
    control: &Control,
    _app: Option<&AppName>,
    _limit: u32,
) -> Result<Vec<Build>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// One build.
pub async fn get(control: &Control, _id: BuildId) -> Result<Build, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Cancels a build that waits or runs.
pub async fn cancel(control: &Control, _id: BuildId) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The test cases that a build reported.
pub async fn tests(control: &Control, _id: BuildId) -> Result<Vec<TestCase>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The log file of a stage; it may not exist yet.
pub async fn stage_log(
    control: &Control,
    _id: BuildId,
    _stage: StageId,
) -> Result<PathBuf, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
