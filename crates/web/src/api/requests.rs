//! What builds ask, the answers of people, and builds that are asked for by hand.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::{builds, source};
use launchway_model::api::DeployAccepted;
use launchway_model::build::BuildNow;
use launchway_model::request::{BuildRequestRecord, InputAnswer};
use launchway_model::{AppName, BuildId};

use crate::Web;
use crate::extract::{Body, Param, Params};
use crate::problem::ApiProblem;

pub(super) async fn list(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<Vec<BuildRequestRecord>>, ApiProblem> {
    Ok(Json(builds::requests(&web.control, id).await?))
}

pub(super) async fn answer(
    State(web): State<Web>,
    Params(id, number): Params<BuildId, u32>,
    Body(given): Body<InputAnswer>,
) -> Result<StatusCode, ApiProblem> {
    builds::answer(&web.control, id, Some(number), given, "the API").await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn build_now(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<BuildNow>,
) -> Result<(StatusCode, Json<DeployAccepted>), ApiProblem> {
    let accepted = source::build(&web.control, &app, request, "api").await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
