//! Credentials: what there is, never what is in it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::credentials;
use launchway_model::AppName;
use launchway_model::credential::{Credential, KeyRotated, RemoveCredential, SetCredential};

use crate::Web;
use crate::extract::{Body, Query};
use crate::problem::ApiProblem;

/// `?app=NAME`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfApp {
    app: Option<AppName>,
}

pub(super) async fn list(
    State(web): State<Web>,
    Query(of): Query<OfApp>,
) -> Result<Json<Vec<Credential>>, ApiProblem> {
    Ok(Json(
        credentials::list(&web.control, of.app.as_ref()).await?,
    ))
}

pub(super) async fn set(
    State(web): State<Web>,
    Body(request): Body<SetCredential>,
) -> Result<Json<Credential>, ApiProblem> {
    Ok(Json(credentials::set(&web.control, request).await?))
}

pub(super) async fn remove(
    State(web): State<Web>,
    Body(request): Body<RemoveCredential>,
) -> Result<StatusCode, ApiProblem> {
    credentials::remove(&web.control, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rotate_key(State(web): State<Web>) -> Result<Json<KeyRotated>, ApiProblem> {
    Ok(Json(credentials::rotate_key(&web.control).await?))
}
