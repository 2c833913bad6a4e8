//! Prometheus' HTTP API over the monitor of this installation: Grafana takes us as a Prometheus data source, `promtool`
//! queries us, another Prometheus federates from us.
//!
//! All of it is below `/prometheus`, as a Prometheus with `--web.route-prefix` has it; what does not collide with our own
//! API (`alerts` does) is below `/api/v1` too, and `/federate` at the root. Its document is Prometheus', not ours.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use launchway_control::monitoring::{self, remote};
use launchway_model::Problem;

use crate::Web;
use crate::problem::ApiProblem;

/// The most that a form may take, in bytes: Grafana sends long queries as forms.
const FORM: usize = 4 << 20;

/// Endpoints that our own API has not.
const ENDPOINTS: [&str; 17] = [
    "/query",
    "/query_range",
    "/query_exemplars",
    "/format_query",
    "/parse_query",
    "/series",
    "/labels",
    "/label/{name}/values",
    "/metadata",
    "/targets",
    "/targets/metadata",
    "/scrape_pools",
    "/rules",
    "/alertmanagers",
    "/notifications",
    "/status/{what}",
    "/status/tsdb/blocks",
];

/// The most that a remote request may take, in bytes, packed.
const REMOTE: usize = 32 << 20;

/// Adds what our own API leaves free below `/api/v1`.
pub(crate) fn beside_our_own(mut router: Router<Web>) -> Router<Web> {
    for endpoint in ENDPOINTS {
        router = router.route(endpoint, any(answer));
    }
    router
        .route("/write", post(write))
        .route("/read", post(read))
}

/// All of it, for `/prometheus`.
pub(crate) fn whole() -> Router<Web> {
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/read", post(read))
        .fallback(any(answer))
}

/// `/federate`.
pub(crate) fn federate() -> Router<Web> {
    Router::new().route("/federate", any(answer))
}

async fn answer(State(web): State<Web>, request: Request) -> Result<Response, ApiProblem> {
    let path = request.uri().path();
    // A nested router is given the path without what it is nested at.
    let whole = ["/api/v1/", "/federate", "/-/"]
        .iter()
        .any(|begin| path.starts_with(begin));
    let path = if whole {
        path.to_owned()
    } else {
        format!("/api/v1{path}")
    };
    let query = request.uri().query().unwrap_or("").to_owned();
    let method = request.method().to_string();
    let form = form(request).await?;
    let request = monitoring::Request {
        method,
        path,
        query,
        form,
    };
    let answer = monitoring::answer(&web.control, request).await;
    // What is past the standard's own numbers is a client that went away.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(answer.content_type);
    let cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((
        status,
        [(header::CONTENT_TYPE, kind), cache],
        Body::from(answer.body),
    )
        .into_response())
}

async fn form(request: Request) -> Result<String, ApiProblem> {
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
    if !is_form {
        return Ok(String::new());
    }
    let bytes = axum::body::to_bytes(request.into_body(), FORM)
        .await
        .map_err(|error| {
            Problem::invalid("the request's form cannot be read")
                .caused_by(&error)
                .hint(format!("A form may have {} MiB at most.", FORM >> 20))
        })?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::invalid("the request's form is not UTF-8").into())
}

async fn packed(request: Request) -> Result<Vec<u8>, ApiProblem> {
    let bytes = axum::body::to_bytes(request.into_body(), REMOTE).await;
    let bytes = bytes.map_err(|error| {
        Problem::invalid("the request's body cannot be read")
            .caused_by(&error)
            .hint(format!("A body may have {} MiB at most.", REMOTE >> 20))
    })?;
    Ok(bytes.to_vec())
}

/// Remote write, whose version the content's type names.
async fn write(State(web): State<Web>, request: Request) -> Result<Response, ApiProblem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let version_2 = kind
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("io.prometheus.write.v2.Request"));
    let body = packed(request).await?;
    let asked = remote::Request::Write { body, version_2 };
    let (answer, written) = remote::answer(&web.control, asked).await;
    let mut response = plain(answer);
    let counts = [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", 0),
        (
            "x-prometheus-remote-write-exemplars-written",
            written.exemplars,
        ),
    ];
    for (name, count) in counts.into_iter().filter(|_| version_2) {
        response
            .headers_mut()
            .insert(name, HeaderValue::from(count));
    }
    Ok(response)
}

/// Remote read, answered with samples.
async fn read(State(web): State<Web>, request: Request) -> Result<Response, ApiProblem> {
    let body = packed(request).await?;
    let (answer, _) = remote::answer(&web.control, remote::Request::Read { body }).await;
    let packed = answer.content_type == "application/x-protobuf";
    let mut response = plain(answer);
    if packed {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    }
    Ok(response)
}

fn plain(answer: monitoring::Response) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(answer.content_type);
    (
        status,
        [(header::CONTENT_TYPE, kind)],
        Body::from(answer.body),
    )
        .into_response()
}
