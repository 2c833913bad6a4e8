//! What runs: instances, their number, their logs, one-off commands.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use launchway_control::logs::LogQuery;
use launchway_control::{formation, logs as written, oneoff};
use launchway_model::api::{ChangeAccepted, RunRequest, ScaleRequest};
use launchway_model::instance::Instance;
use launchway_model::{AppName, InstanceId, ProcessType};

use super::OnlyProcess;
use crate::Web;
use crate::extract::{Body, Param, Query};
use crate::problem::ApiProblem;
use crate::stream;

type Accepted = Result<(StatusCode, Json<ChangeAccepted>), ApiProblem>;

pub(super) async fn instances(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Vec<Instance>>, ApiProblem> {
    Ok(Json(formation::instances(&web.control, &app).await?))
}

pub(super) async fn scale(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<ScaleRequest>,
) -> Accepted {
    let accepted = formation::scale(&web.control, &app, request).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn restart(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(only): Query<OnlyProcess>,
) -> Accepted {
    let accepted = formation::restart(&web.control, &app, only.process.as_ref()).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn stop(State(web): State<Web>, Param(app): Param<AppName>) -> Accepted {
    let accepted = formation::stop(&web.control, &app).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn start(State(web): State<Web>, Param(app): Param<AppName>) -> Accepted {
    let accepted = formation::start(&web.control, &app).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// `?process=TYPE&instance=ID&lines=N&follow=true`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParameters {
    process: Option<ProcessType>,
    instance: Option<InstanceId>,
    #[serde(default = "hundred")]
    lines: usize,
    #[serde(default)]
    follow: bool,
}

fn hundred() -> usize {
    100
}

pub(super) async fn logs(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(wanted): Query<LogParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    let query = LogQuery {
        process: wanted.process,
        instance: wanted.instance,
        lines: wanted.lines,
        follow: wanted.follow,
    };
    let lines = written::read(&web.control, &app, query).await?;
    Ok(if stream::wants_events(&headers) {
        stream::events(lines, &headers, &web.cancel)
    } else {
        stream::lines(lines, &web.cancel)
    })
}

pub(super) async fn run(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Body(request): Body<RunRequest>,
) -> Result<Response, ApiProblem> {
    let output = oneoff::run(&web.control, &app, request).await?;
    Ok(stream::lines(output, &web.cancel))
}
