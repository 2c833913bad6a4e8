//! What scans of dependencies found.

use axum::Json;
use axum::extract::State;
use launchway_control::scans;
use launchway_model::scan::{ScanBrief, ScanReport};
use launchway_model::{AppName, BuildId, Problem, ReleaseNumber};

use super::Limit;
use crate::Web;
use crate::extract::{Param, Params, Query};
use crate::problem::ApiProblem;

pub(super) async fn list(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<ScanBrief>>, ApiProblem> {
    Ok(Json(scans::list(&web.control, &app, limit.get()).await?))
}

pub(super) async fn of_build(
    State(web): State<Web>,
    Param(build): Param<BuildId>,
) -> Result<Json<ScanReport>, ApiProblem> {
    let report = scans::of_build(&web.control, build).await?;
    report
        .map(Json)
        .ok_or_else(|| Problem::not_found("the build's dependencies were not scanned").into())
}

pub(super) async fn of_release(
    State(web): State<Web>,
    Params(app, number): Params<AppName, ReleaseNumber>,
) -> Result<Json<ScanReport>, ApiProblem> {
    let report = scans::of_release(&web.control, &app, number).await?;
    report
        .map(Json)
        .ok_or_else(|| Problem::not_found("the release's dependencies were not scanned").into())
}
