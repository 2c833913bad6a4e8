//! From a commit to a release in service, and back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use launchway_control::{deploys, progress as watch, releases as made, source};
use launchway_model::api::{
    ChangeAccepted, DeployAccepted, DeployRequest, RollbackRequest, SettleOnce,
};
use launchway_model::deploy::{Deploy, DeployReport, OnceRecord, Release};
use launchway_model::{AppName, DeployId, ReleaseNumber};

use super::Limit;
use crate::Web;
use crate::extract::{Body, Param, Params, Query};
use crate::problem::ApiProblem;
use crate::stream;

/// The cause of what comes by the API, as a build's request names it.
const CAUSE: &str = "deploy";

pub(super) async fn deploy_unnamed(
    State(web): State<Web>,
    Body(request): Body<DeployRequest>,
) -> Result<(StatusCode, Json<DeployAccepted>), ApiProblem> {
    let accepted = source::deploy(&web.control, None, request, CAUSE).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn deploy(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<DeployRequest>,
) -> Result<(StatusCode, Json<DeployAccepted>), ApiProblem> {
    let accepted = source::deploy(&web.control, Some(app), request, CAUSE).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn list(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Deploy>>, ApiProblem> {
    Ok(Json(deploys::list(&web.control, &app, limit.get()).await?))
}

pub(super) async fn get(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
) -> Result<Json<Deploy>, ApiProblem> {
    Ok(Json(deploys::get(&web.control, id).await?))
}

pub(super) async fn report(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
) -> Result<Json<DeployReport>, ApiProblem> {
    Ok(Json(deploys::report(&web.control, id).await?))
}

pub(super) async fn promote(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
) -> Result<StatusCode, ApiProblem> {
    deploys::promote(&web.control, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn once(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Option<OnceRecord>>, ApiProblem> {
    Ok(Json(deploys::once(&web.control, &app).await?))
}

pub(super) async fn settle_once(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<SettleOnce>,
) -> Result<StatusCode, ApiProblem> {
    deploys::settle_once(&web.control, &app, request.done).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn cancel(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
) -> Result<StatusCode, ApiProblem> {
    deploys::cancel(&web.control, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn progress(
    State(web): State<Web>,
    Param(id): Param<DeployId>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let events = watch::of_deploy(&web.control, id).await?;
    Ok(stream::events(events, &headers, &web.cancel))
}

pub(super) async fn releases(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Release>>, ApiProblem> {
    Ok(Json(made::list(&web.control, &app, limit.get()).await?))
}

pub(super) async fn release(
    State(web): State<Web>,
    Params(app, number): Params<AppName, ReleaseNumber>,
) -> Result<Json<Release>, ApiProblem> {
    Ok(Json(made::get(&web.control, &app, number).await?))
}

pub(super) async fn rollback(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<RollbackRequest>,
) -> Result<(StatusCode, Json<ChangeAccepted>), ApiProblem> {
    let accepted = deploys::rollback(&web.control, &app, request).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
