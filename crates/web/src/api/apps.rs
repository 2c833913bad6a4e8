//! Apps, their descriptions, host names and variables.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::{apps, config as variables};
use launchway_model::AppName;
use launchway_model::api::{
    App, Config, ConfigChange, CreateApp, Description, Domain, MaintenanceState,
};

use crate::Web;
use crate::extract::{Body, Param, Params};
use crate::problem::ApiProblem;

pub(super) async fn list(State(web): State<Web>) -> Result<Json<Vec<App>>, ApiProblem> {
    Ok(Json(apps::list(&web.control).await?))
}

pub(super) async fn create(
    State(web): State<Web>,
    Body(request): Body<CreateApp>,
) -> Result<(StatusCode, Json<App>), ApiProblem> {
    let app = apps::create(&web.control, request.name).await?;
    Ok((StatusCode::CREATED, Json(app)))
}

pub(super) async fn get(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<App>, ApiProblem> {
    Ok(Json(apps::get(&web.control, &app).await?))
}

pub(super) async fn delete(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<StatusCode, ApiProblem> {
    apps::delete(&web.control, &app).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn description(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Description>, ApiProblem> {
    Ok(Json(apps::description(&web.control, &app).await?))
}

pub(super) async fn describe(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(description): Body<Description>,
) -> Result<Json<Description>, ApiProblem> {
    apps::describe(&web.control, &app, &description.toml).await?;
    Ok(Json(apps::description(&web.control, &app).await?))
}

pub(super) async fn maintenance(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<MaintenanceState>, ApiProblem> {
    let maintenance = apps::maintenance(&web.control, &app).await?;
    Ok(Json(MaintenanceState { maintenance }))
}

pub(super) async fn set_maintenance(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(state): Body<MaintenanceState>,
) -> Result<Json<MaintenanceState>, ApiProblem> {
    apps::set_maintenance(&web.control, &app, state.maintenance.clone()).await?;
    Ok(Json(state))
}

pub(super) async fn domains(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Vec<Domain>>, ApiProblem> {
    Ok(Json(apps::domains(&web.control, &app).await?))
}

pub(super) async fn add_domain(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(domain): Body<Domain>,
) -> Result<(StatusCode, Json<Domain>), ApiProblem> {
    apps::add_domain(&web.control, &app, &domain.domain).await?;
    Ok((StatusCode::CREATED, Json(domain)))
}

pub(super) async fn remove_domain(
    State(web): State<Web>,
    Params(app, domain): Params<AppName, String>,
) -> Result<StatusCode, ApiProblem> {
    apps::remove_domain(&web.control, &app, &domain).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn config(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Config>, ApiProblem> {
    Ok(Json(variables::get(&web.control, &app).await?))
}

pub(super) async fn change_config(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(change): Body<ConfigChange>,
) -> Result<([(&'static str, String); 1], Json<Config>), ApiProblem> {
    let (config, accepted) = variables::change(&web.control, &app, change).await?;
    // The body is the whole configuration; which deploy takes it into service stands beside it.
    let deploy = accepted
        .deploy
        .map_or(String::new(), |deploy| deploy.0.to_string());
    Ok(([("launchway-deploy", deploy)], Json(config)))
}
