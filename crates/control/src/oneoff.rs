//! One-off commands in the serving release.

use crate::Control;
use launchway_model::api::{RunOutput, RunRequest};
use launchway_model::{AppName, Problem};
use tokio::sync::mpsc;

/// Runs a command in the tree and with the environment of the serving release; dropping the receiver stops it.
pub async fn run(
    control: &Control,
    _app: &AppName,
    _request: RunRequest,
) -> Result<mpsc::Receiver<RunOutput>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
