//! Builds: the queue, the runners, and what they report.
//!
//! [`queue`] decides which build runs when; [`drive`] takes one from its job file to its end, across restarts of
//! control; [`sweep`] keeps what they leave within its budget. Only this module writes a build's state.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::build::{Build, BuildResult, BuildState, StageId, TestCase};
use launchway_model::runner::{CANCEL_FILE, TESTS_FILE};
use launchway_model::{AppName, BuildId, Problem};
use launchway_pipeline::spool;
use launchway_store::{BuildEnd, StoredBuild};

pub use self::requests::{answer, requests};
use crate::{Control, problem};

mod drive;
pub(crate) mod needs;
mod notices;
pub(crate) mod parked;
mod placing;
pub(crate) mod queue;
mod remote;
pub(crate) mod requests;
pub(crate) mod sweep;

/// Builds, newest first, of one app or all.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(
    control: &Control,
    app: Option<&AppName>,
    limit: u32,
) -> Result<Vec<Build>, Problem> {
    if let Some(app) = app {
        control.app(app).await?;
    }
    control
        .store
        .builds(app, limit)
        .await
        .map_err(problem::store)
}

/// One build.
///
/// # Errors
/// It does not exist, or the store fails.
pub async fn get(control: &Control, id: BuildId) -> Result<Build, Problem> {
    Ok(stored(control, id).await?.build)
}

/// Cancels a build that waits or runs. A running one ends a moment later, when its runner has ended its processes.
///
/// # Errors
/// It does not exist or has ended already, or the store or its folder cannot be written.
pub async fn cancel(control: &Control, id: BuildId) -> Result<(), Problem> {
    match get(control, id).await?.state {
        BuildState::Finished { .. } => {
            Err(Problem::conflict(format!("build {id} has ended already")))
        }
        BuildState::Queued { .. } => {
            let end = BuildEnd {
                result: BuildResult::Aborted,
                problem: Some(Problem::failed("the build was cancelled while it waited")),
                at: Timestamp::now(),
                release: None,
            };
            control
                .store
                .end_build(id, &end)
                .await
                .map_err(problem::store)?;
            control.wake.changed();
            Ok(())
        }
        BuildState::Running { .. } => end_running(control, id, "the build was cancelled"),
    }
}

/// Tells a running build's runner to end, here or on its agent. The file tells the next control, too.
fn end_running(control: &Control, id: BuildId, reason: &str) -> Result<(), Problem> {
    let folder = control.settings().home.build(id);
    ask_to_end(&folder, reason)
        .map_err(|error| problem::file("write", &folder.join(CANCEL_FILE), &error))?;
    control.agents.cancel(id, reason);
    Ok(())
}

/// Tells a runner to end, and why. The file appears with its text: the runner reads it as soon as it is there.
pub(crate) fn ask_to_end(folder: &Path, reason: &str) -> std::io::Result<()> {
    let draft = folder.join("cancel.draft");
    std::fs::write(&draft, reason)?;
    std::fs::rename(&draft, folder.join(CANCEL_FILE))
}

/// The test cases that a build reported so far.
///
/// # Errors
/// The build does not exist, or its report cannot be read.
pub async fn tests(control: &Control, id: BuildId) -> Result<Vec<TestCase>, Problem> {
    get(control, id).await?;
    let path = control.settings().home.build(id).join(TESTS_FILE);
    match tokio::fs::read(&path).await {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| Problem::internal("the test report cannot be read").cause(error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(problem::file("read", &path, &error)),
    }
}

/// The log file of a stage; it may not exist yet, or not any more.
///
/// # Errors
/// The build does not exist, or has no such stage.
pub async fn stage_log(control: &Control, id: BuildId, stage: StageId) -> Result<PathBuf, Problem> {
    let build = get(control, id).await?;
    if !build.stages.iter().any(|known| known.info.id == stage) {
        return Err(Problem::not_found(format!(
            "build {id} has no stage {}",
            stage.0
        )));
    }
    Ok(spool::log_path(&control.settings().home.build(id), stage))
}

/// One build with what only control needs.
pub(crate) async fn stored(control: &Control, id: BuildId) -> Result<StoredBuild, Problem> {
    let stored = control.store.build(id).await.map_err(problem::store)?;
    stored.ok_or_else(|| Problem::not_found(format!("there is no build {id}")))
}

/// Sweeps old builds, trees and logs now, as happens by itself every few minutes.
///
/// # Errors
/// Something cannot be removed, or the store fails.
pub async fn sweep(control: &Control) -> Result<(), Problem> {
    sweep::once(control).await
}
