//! What takes the disk.

use axum::Json;
use axum::extract::State;
use launchway_control::disk;
use launchway_model::disk::DiskUsage;

use crate::Web;
use crate::problem::ApiProblem;

pub(super) async fn usage(State(web): State<Web>) -> Result<Json<DiskUsage>, ApiProblem> {
    Ok(Json(disk::usage(&web.control).await?))
}
