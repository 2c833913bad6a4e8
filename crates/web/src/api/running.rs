//! What runs: instances, their number, their logs, one-off commands.

use axum::Json;
use axum::body::Body as Empty;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use launchway_control::logs::LogQuery;
use launchway_control::{formation, logs as written, oneoff};
use launchway_model::api::{ChangeAccepted, RunRequest, ScaleRequest};
use launchway_model::instance::Instance;
use launchway_model::{AppName, InstanceId, Problem, ProcessType};

use super::OnlyProcess;
use crate::Web;
use crate::extract::{Body, Param, Query};
use crate::problem::ApiProblem;
use crate::stream;

/// What a connection for a terminal is upgraded to.
const PROTOCOL: &str = "launchway-terminal";

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

/// `?request=JSON`: an upgrade has no body.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TerminalParameters {
    request: String,
}

pub(super) async fn terminal(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    Query(wanted): Query<TerminalParameters>,
    mut asked: Request,
) -> Result<Response, ApiProblem> {
    let request: RunRequest = serde_json::from_str(&wanted.request)
        .map_err(|error| Problem::invalid("`request` is not understood").cause(error))?;
    let upgrades = asked
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes() == PROTOCOL.as_bytes());
    if !upgrades {
        return Err(Problem::invalid("a terminal needs an upgraded connection")
            .hint("Send `Connection: upgrade` and `Upgrade: launchway-terminal`, or use `launchway run`.")
            .into());
    }
    let mut terminal = oneoff::terminal(&web.control, &app, request).await?;
    let upgrade = hyper::upgrade::on(&mut asked);
    let cancel = web.cancel.clone();
    web.pushes.spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let mut client = TokioIo::new(upgraded);
            tokio::select! {
                () = cancel.cancelled() => {}
                // Either side may go at any time: that is the end.
                _ = tokio::io::copy_bidirectional(&mut client, &mut terminal.stream) => {}
            }
        }
        terminal.end().await;
    });
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(Empty::empty());
    answer.map_err(|error| {
        Problem::internal("the answer cannot be made")
            .cause(error)
            .into()
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
