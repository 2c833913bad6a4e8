//! The configuration of apps: variables, encrypted at rest, in versions.

use crate::Control;
use launchway_model::api::{ChangeAccepted, Config, ConfigChange};
use launchway_model::{AppName, Problem};

/// The variables that are in force.
pub async fn get(control: &Control, _app: &AppName) -> Result<Config, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Sets and unsets variables; where the app runs, a new release takes them into service.
pub async fn change(
    control: &Control,
    _app: &AppName,
    _change: ConfigChange,
) -> Result<(Config, ChangeAccepted), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
