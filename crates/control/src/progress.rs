//! What people watch: one stream of events from the request to the served release.

use crate::Control;
use launchway_model::api::Progress;
use launchway_model::{BuildId, DeployId, Problem};
use tokio::sync::mpsc;

/// All that happened and happens to a build and the deploy that follows; ends with [`Progress::Finished`].
pub async fn of_build(
    control: &Control,
    _id: BuildId,
) -> Result<mpsc::Receiver<Progress>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// All that happened and happens to a deploy; ends with [`Progress::Finished`].
pub async fn of_deploy(
    control: &Control,
    _id: DeployId,
) -> Result<mpsc::Receiver<Progress>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
