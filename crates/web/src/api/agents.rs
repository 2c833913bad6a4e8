//! Agents, for people and clients; the agents themselves speak to [`crate::agents`].

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::agents;
use launchway_model::agent::{Agent, CreateAgent, NewAgent, SwitchAgent};

use crate::Web;
use crate::extract::{Body, Param};
use crate::problem::ApiProblem;

pub(super) async fn list(State(web): State<Web>) -> Result<Json<Vec<Agent>>, ApiProblem> {
    Ok(Json(agents::list(&web.control).await?))
}

pub(super) async fn create(
    State(web): State<Web>,
    Body(request): Body<CreateAgent>,
) -> Result<(StatusCode, Json<NewAgent>), ApiProblem> {
    let made = agents::create(&web.control, request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn revoke(
    State(web): State<Web>,
    Param(name): Param<String>,
) -> Result<StatusCode, ApiProblem> {
    agents::revoke(&web.control, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn switch(
    State(web): State<Web>,
    Param(name): Param<String>,
    Body(request): Body<SwitchAgent>,
) -> Result<StatusCode, ApiProblem> {
    agents::switch(&web.control, &name, request.online).await?;
    Ok(StatusCode::NO_CONTENT)
}
