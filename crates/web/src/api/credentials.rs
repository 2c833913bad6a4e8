//! Credentials: what there is, never what is in it.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use launchway_control::credentials;
use launchway_model::credential::{Credential, KeyRotated, RemoveCredential, SetCredential};
use launchway_model::{AppName, Problem};

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
    request: Request,
) -> Result<Json<Credential>, ApiProblem> {
    // The usual error quotes what is wrong, and that may be the secret.
    let Ok(Body(request)) = Body::<SetCredential>::from_request(request, &web).await else {
        return Err(Problem::invalid("the request is not a credential")
            .hint("It has `id` and `secret` (`kind` and what belongs to it), and may have `app`, `branches`, `description` and `short`; it is not repeated here, since it may hold a secret.")
            .into());
    };
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
