//! What builds leave: tests told apart, artifacts, fingerprints, reports.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use launchway_control::results;
use launchway_model::request::InputParameter;
use launchway_model::results::{Artifact, Fingerprint, TestHistory, TestReport};
use launchway_model::runner::Report;
use launchway_model::{AppName, BuildId, Problem};

use crate::Web;
use crate::extract::{Param, Query};
use crate::problem::ApiProblem;

/// `?branch=`: the app's own where it is absent.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Branch {
    branch: Option<String>,
}

/// `?path=`: which file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    path: String,
}

pub(super) async fn report(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<TestReport>, ApiProblem> {
    let report = results::test_report(&web.control, id).await?;
    let report = report.ok_or_else(|| Problem::not_found(format!("build {id} had no tests")))?;
    Ok(Json(report))
}

pub(super) async fn history(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(chosen): Query<Branch>,
) -> Result<Json<TestHistory>, ApiProblem> {
    let branch = chosen.branch.as_deref();
    Ok(Json(
        results::history(&web.control, &app, branch, 100).await?,
    ))
}

pub(super) async fn parameters(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(chosen): Query<Branch>,
) -> Result<Json<Vec<InputParameter>>, ApiProblem> {
    let branch = chosen.branch.as_deref();
    Ok(Json(results::parameters(&web.control, &app, branch).await?))
}

pub(super) async fn artifacts(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<Vec<Artifact>>, ApiProblem> {
    Ok(Json(results::artifacts(&web.control, id).await?))
}

pub(super) async fn reports(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
) -> Result<Json<Vec<Report>>, ApiProblem> {
    Ok(Json(results::reports(&web.control, id).await?))
}

pub(super) async fn artifact(
    State(web): State<Web>,
    Param(id): Param<BuildId>,
    Query(which): Query<Which>,
) -> Result<Response, ApiProblem> {
    let file = results::artifact_file(&web.control, id, &which.path).await?;
    let mut response = super::builds::file(&file, None).await?;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

pub(super) async fn fingerprint(
    State(web): State<Web>,
    Param(sha256): Param<String>,
) -> Result<Json<Vec<Fingerprint>>, ApiProblem> {
    Ok(Json(results::fingerprints(&web.control, &sha256).await?))
}
