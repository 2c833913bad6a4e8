//! What starts builds by itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::triggers;
use launchway_model::AppName;
use launchway_model::trigger::{
    Branch, Delivery, HookSecret, LookReport, TriggerSettings, Triggers,
};

use super::Limit;
use crate::Web;
use crate::extract::{Body, Param, Query};
use crate::problem::ApiProblem;

pub(super) async fn get(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Triggers>, ApiProblem> {
    Ok(Json(triggers::get(&web.control, &app).await?))
}

pub(super) async fn set(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(settings): Body<TriggerSettings>,
) -> Result<Json<Triggers>, ApiProblem> {
    Ok(Json(triggers::set(&web.control, &app, settings).await?))
}

pub(super) async fn secret(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<(StatusCode, Json<HookSecret>), ApiProblem> {
    let secret = triggers::new_secret(&web.control, &app).await?;
    Ok((StatusCode::CREATED, Json(secret)))
}

pub(super) async fn look(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<LookReport>, ApiProblem> {
    Ok(Json(triggers::look_now(&web.control, &app).await?))
}

pub(super) async fn branches(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Vec<Branch>>, ApiProblem> {
    Ok(Json(triggers::branches(&web.control, &app).await?))
}

pub(super) async fn deliveries(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(limit): Query<Limit>,
) -> Result<Json<Vec<Delivery>>, ApiProblem> {
    Ok(Json(
        triggers::deliveries(&web.control, &app, limit.get()).await?,
    ))
}
