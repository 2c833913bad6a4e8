//! What apps do by the clock.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use launchway_control::cron;
use launchway_model::cron::{CronJob, CronRun};
use launchway_model::{AppName, ProcessType};

use crate::Web;
use crate::extract::{Param, Params, Query};
use crate::problem::ApiProblem;

pub(super) async fn list(
    State(web): State<Web>,
    Param(app): Param<AppName>,
) -> Result<Json<Vec<CronJob>>, ApiProblem> {
    Ok(Json(cron::list(&web.control, &app).await?))
}

pub(super) async fn run(
    State(web): State<Web>,
    Params(app, job): Params<AppName, ProcessType>,
) -> Result<(StatusCode, Json<CronRun>), ApiProblem> {
    let run = cron::run_now(&web.control, &app, &job).await?;
    Ok((StatusCode::ACCEPTED, Json(run)))
}

/// `?job=NAME&limit=N`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    job: Option<ProcessType>,
    #[serde(default = "fifty")]
    limit: u32,
}

fn fifty() -> u32 {
    50
}

pub(super) async fn history(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<CronRun>>, ApiProblem> {
    let limit = which.limit.clamp(1, 1000);
    Ok(Json(
        cron::history(&web.control, &app, which.job.as_ref(), limit).await?,
    ))
}
