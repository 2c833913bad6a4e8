//! A [`Problem`] as an HTTP answer: JSON for clients; `pages` shows the same to people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use launchway_model::{Problem, ProblemKind};

/// A problem on its way to a client of the API.
#[derive(Debug)]
pub(crate) struct ApiProblem(pub(crate) Problem);

impl From<Problem> for ApiProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let status = status(self.0.kind);
        note(&self.0);
        let mut response = (status, Json(self.0)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"Launchway\""),
            );
        }
        response
    }
}

/// The HTTP status of a kind of problem.
pub(crate) fn status(kind: ProblemKind) -> StatusCode {
    StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Faults of our own belong into our own log too, since the one who meets them may not report them.
pub(crate) fn note(problem: &Problem) {
    if problem.kind == ProblemKind::Internal {
        tracing::error!(%problem, "a request met a fault");
    }
}

/// What the API says where no token or session came with a request.
pub(crate) fn unauthenticated() -> Problem {
    Problem::new(ProblemKind::Unauthenticated, "a valid token is needed")
        .hint("Send `Authorization: Bearer TOKEN`; `launchway open` prints a link for a browser.")
}
