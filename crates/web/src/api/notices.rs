//! Monitors in a few words, receivers of notices, silences.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use launchway_control::{monitoring, notices};
use launchway_model::AppName;
use launchway_model::notice::{
    Change, Mark, Monitor, NewMonitor, NewReceiver, NewSilence, Receiver, Silence,
};

use utoipa::openapi::schema::Type;

use crate::Web;
use crate::extract::{Body, Param, Query};
use crate::openapi::{Endpoints, about};
use crate::problem::ApiProblem;

/// Adds the operations.
pub(super) fn endpoints(endpoints: Endpoints) -> Endpoints {
    endpoints
        .get(
            "/monitors",
            monitors,
            about("alerts", "Monitors in a few words").lists::<Monitor>(),
        )
        .post(
            "/monitors",
            add_monitor,
            about("alerts", "Make a monitor, or replace the one of that name")
                .takes::<NewMonitor>()
                .creates::<Monitor>(),
        )
        .delete(
            "/monitors/{monitor}",
            remove_monitor,
            about("alerts", "Remove a monitor; its alerts end"),
        )
        .get(
            "/receivers",
            receivers,
            about("alerts", "Who is told of alerts").lists::<Receiver>(),
        )
        .post(
            "/receivers",
            add_receiver,
            about("alerts", "Make a receiver, or replace the one of that name")
                .takes::<NewReceiver>()
                .creates::<Receiver>(),
        )
        .delete(
            "/receivers/{receiver}",
            remove_receiver,
            about(
                "alerts",
                "Remove a receiver with the notices that wait for it",
            ),
        )
        .post(
            "/receivers/{receiver}/test",
            test_receiver,
            about("alerts", "Send a receiver a notice that is none, now"),
        )
        .get(
            "/silences",
            silences,
            about("alerts", "Alerts that nobody is told of for a while").lists::<Silence>(),
        )
        .post(
            "/silences",
            add_silence,
            about("alerts", "Keep notices of some alerts back from now on")
                .takes::<NewSilence>()
                .creates::<Silence>(),
        )
        .delete(
            "/silences/{silence}",
            remove_silence,
            about("alerts", "End a silence"),
        )
        .get(
            "/marks",
            marks,
            about(
                "alerts",
                "Deploys and alerts of a time, for marks of graphs",
            )
            .query("app", "Only those of this app.", Type::String)
            .query("from", "From when; a day ago where absent.", Type::String)
            .query("to", "Until when; now where absent.", Type::String)
            .lists::<Mark>(),
        )
        .get(
            "/notice-changes",
            changes,
            about(
                "alerts",
                "Changes of monitors, receivers and silences, the newest first",
            )
            .limited()
            .lists::<Change>(),
        )
}

async fn monitors(State(web): State<Web>) -> Result<Json<Vec<Monitor>>, ApiProblem> {
    Ok(Json(notices::monitors(&web.control).await?))
}

async fn add_monitor(
    State(web): State<Web>,
    Body(new): Body<NewMonitor>,
) -> Result<(StatusCode, Json<Monitor>), ApiProblem> {
    Ok((
        StatusCode::CREATED,
        Json(notices::add_monitor(&web.control, new).await?),
    ))
}

async fn remove_monitor(
    State(web): State<Web>,
    Param(name): Param<String>,
) -> Result<StatusCode, ApiProblem> {
    notices::remove_monitor(&web.control, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn receivers(State(web): State<Web>) -> Result<Json<Vec<Receiver>>, ApiProblem> {
    Ok(Json(notices::receivers(&web.control).await?))
}

async fn add_receiver(
    State(web): State<Web>,
    Body(new): Body<NewReceiver>,
) -> Result<(StatusCode, Json<Receiver>), ApiProblem> {
    Ok((
        StatusCode::CREATED,
        Json(notices::add_receiver(&web.control, new).await?),
    ))
}

async fn remove_receiver(
    State(web): State<Web>,
    Param(name): Param<String>,
) -> Result<StatusCode, ApiProblem> {
    notices::remove_receiver(&web.control, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test_receiver(
    State(web): State<Web>,
    Param(name): Param<String>,
) -> Result<StatusCode, ApiProblem> {
    notices::test_receiver(&web.control, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn silences(State(web): State<Web>) -> Result<Json<Vec<Silence>>, ApiProblem> {
    Ok(Json(notices::silences(&web.control).await?))
}

async fn add_silence(
    State(web): State<Web>,
    Body(new): Body<NewSilence>,
) -> Result<(StatusCode, Json<Silence>), ApiProblem> {
    Ok((
        StatusCode::CREATED,
        Json(notices::add_silence(&web.control, new).await?),
    ))
}

async fn remove_silence(
    State(web): State<Web>,
    Param(id): Param<u64>,
) -> Result<StatusCode, ApiProblem> {
    notices::remove_silence(&web.control, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `?app=shop&from=2026-01-01T00:00:00Z`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    app: Option<AppName>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

async fn marks(
    State(web): State<Web>,
    Query(span): Query<Span>,
) -> Result<Json<Vec<Mark>>, ApiProblem> {
    let to = span.to.unwrap_or_else(Timestamp::now);
    let from = span.from.unwrap_or(to - SignedDuration::from_hours(24));
    Ok(Json(
        monitoring::marks(&web.control, span.app.as_ref(), from, to).await?,
    ))
}

/// `?limit=20`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    #[serde(default = "super::fifty")]
    limit: u32,
}

async fn changes(
    State(web): State<Web>,
    Query(question): Query<Limit>,
) -> Result<Json<Vec<Change>>, ApiProblem> {
    Ok(Json(notices::changes(&web.control, question.limit).await?))
}
