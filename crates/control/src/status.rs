//! How control is, for people and for Prometheus.

use crate::Control;
use launchway_model::Problem;
use launchway_model::api::Status;

/// The state of the installation.
pub async fn get(control: &Control) -> Result<Status, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}

/// All metrics of control and of what it observes, as Prometheus text.
pub async fn metrics(control: &Control) -> Result<String, Problem> {
    let _ = control;
    Err(Problem::unavailable("control is not running"))
}
