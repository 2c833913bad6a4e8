//! Apps: their names, domains and descriptions.

use crate::Control;
use launchway_model::{AppName, Problem, api};

/// All apps, by name.
pub async fn list(control: &Control) -> Result<Vec<api::App>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// One app.
pub async fn get(control: &Control, _app: &AppName) -> Result<api::App, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Makes an app; a conflict where it exists.
pub async fn create(control: &Control, _app: AppName) -> Result<api::App, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Stops an app and removes all that it has.
pub async fn delete(control: &Control, _app: &AppName) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Describes an app outside its repository by the text of a launchway.toml; an empty text removes the description.
pub async fn describe(control: &Control, _app: &AppName, _toml: &str) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The description kept outside the repository, empty where there is none.
pub async fn description(control: &Control, _app: &AppName) -> Result<api::Description, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// The host names added to an app.
pub async fn domains(control: &Control, _app: &AppName) -> Result<Vec<api::Domain>, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Routes a host name (exact or `*.example.org`) to an app.
pub async fn add_domain(control: &Control, _app: &AppName, _domain: &str) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// Takes a host name away.
pub async fn remove_domain(
    control: &Control,
    _app: &AppName,
    _domain: &str,
) -> Result<(), Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
