//! Webhooks: `POST /hooks/APP`. No token opens it; each webhook proves that its sender knows the app's secret.
//!
//! It must not become anybody's way to keep Launchway busy: bodies are limited, read in limited time, a few at once, and what is
//! to be done about one happens later. Nothing about an app is told to who does not know its secret.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use launchway_control::triggers::{self, HookAnswer};
use launchway_model::{AppName, Problem, hook};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::Web;
use crate::extract::Param;
use crate::problem::ApiProblem;

/// The largest body, in bytes. Forges send at most 25 MiB, but only for pushes of thousands of commits.
const LARGEST: usize = 4 << 20;
/// How many bodies are read at once.
const AT_ONCE: usize = 6;
/// How long a body may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The route.
pub(crate) fn routes() -> Router<Web> {
    let reading = Arc::new(Semaphore::new(AT_ONCE));
    Router::new().route(
        "/hooks/{app}",
        post(move |state, app, request| take(state, app, request, Arc::clone(&reading))),
    )
}

async fn take(
    State(web): State<Web>,
    Param(app): Param<AppName>,
    request: Request,
    reading: Arc<Semaphore>,
) -> Result<Response, ApiProblem> {
    let headers = request.headers().clone();
    let Some(hook) = hook::recognise(|name| text_of(&headers, name)) else {
        return Err(
            Problem::invalid("this is no webhook of GitHub, GitLab or Gitea")
                .hint("They say their event in a header such as `x-github-event`.")
                .into(),
        );
    };
    let length = text_of(&headers, header::CONTENT_LENGTH.as_str())
        .and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST as u64) {
        return Ok(too_large());
    }
    let Ok(_place) = reading.try_acquire() else {
        return Ok((
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "10")],
            "many webhooks come at once\n",
        )
            .into_response());
    };
    let body = axum::body::to_bytes(request.into_body(), LARGEST);
    let body = match tokio::time::timeout(LIMIT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Ok(too_large()),
        Err(_) => {
            return Ok((StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response());
        }
    };
    let answer = triggers::take_hook(&web.control, &app, &hook, &body).await?;
    let (status, outcome) = match answer {
        HookAnswer::Accepted => (StatusCode::ACCEPTED, "accepted"),
        HookAnswer::Duplicate => (StatusCode::OK, "it came before"),
        HookAnswer::Nothing(words) => (StatusCode::OK, words),
    };
    Ok((status, axum::Json(json!({ "outcome": outcome }))).into_response())
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn too_large() -> Response {
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("a webhook has at most {LARGEST} bytes\n"),
    )
        .into_response()
}
