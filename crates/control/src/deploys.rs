//! Deploys: a release on its way into service.

use crate::Control;
use launchway_model::api::{ChangeAccepted, RollbackRequest};
use launchway_model::deploy::Deploy;
use launchway_model::{AppName, DeployId, Problem};

/// Deploys of an app, newest first.
pub async fn list(control: &Control, _app: &AppName, _limit: u32) -> Result<Vec<Deploy>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// One deploy.
pub async fn get(control: &Control, _id: DeployId) -> Result<Deploy, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Cancels a deploy that has not switched yet.
pub async fn cancel(control: &Control, _id: DeployId) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Brings an earlier release back into service, as a new release with its tree.
pub async fn rollback(
    control: &Control,
    _app: &AppName,
    _request: RollbackRequest,
) -> Result<ChangeAccepted, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
