//! Where commits come from: a path, a URL, or what was pushed.

use crate::Control;
use launchway_model::api::{DeployAccepted, DeployRequest};
use launchway_model::{AppName, Problem};
use std::path::PathBuf;

/// Mirrors a commit and queues its build; the app is made where it does not exist.
pub async fn deploy(
    control: &Control,
    _app: Option<AppName>,
    _request: DeployRequest,
    _cause: &str,
) -> Result<DeployAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The bare repository that pushes to an app go to; it and the app are made where absent.
pub async fn repository(control: &Control, _app: &AppName) -> Result<PathBuf, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// A push brought a commit into the repository: queues its build, to be deployed where the branch is the app's.
pub async fn pushed(
    control: &Control,
    _app: &AppName,
    _branch: &str,
    _commit: &str,
) -> Result<DeployAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
