//! Releases: immutable, numbered per app.

use crate::Control;
use launchway_model::deploy::Release;
use launchway_model::{AppName, Problem, ReleaseNumber};

/// Releases of an app, newest first.
pub async fn list(control: &Control, _app: &AppName, _limit: u32) -> Result<Vec<Release>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// One release.
pub async fn get(
    control: &Control,
    _app: &AppName,
    _number: ReleaseNumber,
) -> Result<Release, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
