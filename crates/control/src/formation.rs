//! How many instances run, and starting, stopping and restarting them.

use crate::Control;
use launchway_model::api::{ChangeAccepted, ScaleRequest};
use launchway_model::instance::Instance;
use launchway_model::{AppName, Problem, ProcessType};

/// Changes how many instances of some process types run.
pub async fn scale(
    control: &Control,
    _app: &AppName,
    _request: ScaleRequest,
) -> Result<ChangeAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Replaces the instances of one process type or all by fresh ones, with no request lost.
pub async fn restart(
    control: &Control,
    _app: &AppName,
    _process: Option<&ProcessType>,
) -> Result<ChangeAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Stops an app; its routes answer 503 until it is started.
pub async fn stop(control: &Control, _app: &AppName) -> Result<ChangeAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Starts a stopped app.
pub async fn start(control: &Control, _app: &AppName) -> Result<ChangeAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The instances of an app, as `launchway ps` shows them.
pub async fn instances(control: &Control, _app: &AppName) -> Result<Vec<Instance>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
