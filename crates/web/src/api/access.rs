//! The installation itself, and who may use it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::{auth, status as installation};
use launchway_model::api::{CreateToken, LoginLink, NewToken, Status, Token};

use crate::Web;
use crate::extract::{Body, Param};
use crate::problem::ApiProblem;

pub(super) async fn status(State(web): State<Web>) -> Result<Json<Status>, ApiProblem> {
    Ok(Json(installation::get(&web.control).await?))
}

pub(super) async fn tokens(State(web): State<Web>) -> Result<Json<Vec<Token>>, ApiProblem> {
    Ok(Json(auth::tokens(&web.control).await?))
}

pub(super) async fn create_token(
    State(web): State<Web>,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Json<NewToken>), ApiProblem> {
    let token = auth::create_token(&web.control, &request.name).await?;
    Ok((StatusCode::CREATED, Json(token)))
}

pub(super) async fn revoke_token(
    State(web): State<Web>,
    Param(id): Param<u64>,
) -> Result<StatusCode, ApiProblem> {
    auth::revoke_token(&web.control, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn create_login_link(
    State(web): State<Web>,
) -> Result<(StatusCode, Json<LoginLink>), ApiProblem> {
    let link = auth::create_login_link(&web.control).await?;
    Ok((StatusCode::CREATED, Json(link)))
}
