//! Prometheus' HTTP API as a plain function: method, path and parameters in, status and body out.
//!
//! A web server mounts [`Api::handle`] at the root (paths are `/api/v1/…`, `/federate`, `/-/healthy`, `/-/ready`), so
//! that Grafana takes us as a Prometheus data source and `promtool` queries us. This module knows no HTTP library, no
//! authentication and no thread: a request is answered on the caller's thread, which a server should therefore not
//! take from its event loop. What the store does not know (targets, the configuration) comes from [`Sources`].

use crate::promql::{Cancellation, Engine};
use crate::rules::Rules;
use crate::storage::Store;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

mod ast;
mod federate;
mod json;
mod parameters;
mod query;
mod rules;
mod series;
mod status;

#[cfg(test)]
mod tests;

pub use parameters::{Parameters, parse_duration, parse_time};

/// Answers of other parts that the API passes on.
type Source = Box<dyn Fn() -> Json + Send + Sync>;

/// What the API shows but does not own. Each gives the `data` of its endpoint; without one the answer is empty.
#[derive(Default)]
pub struct Sources {
    /// `/api/v1/targets`
    pub targets: Option<Source>,
    /// `/api/v1/scrape_pools`
    pub scrape_pools: Option<Source>,
    /// `/api/v1/alertmanagers`
    pub alertmanagers: Option<Source>,
    /// `/api/v1/status/config`: the text of the configuration.
    pub config: Option<Box<dyn Fn() -> String + Send + Sync>>,
}

/// The API over one store.
pub struct Api {
    store: Store,
    engine: Engine,
    rules: Option<Arc<Rules>>,
    sources: Sources,
    version: String,
    started: SystemTime,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, `HEAD` or `OPTIONS`.
    pub method: &'a str,
    /// The path without the query, percent-decoding not yet done.
    pub path: &'a str,
    /// The parameters of the URL and of a form in the body.
    pub parameters: Parameters,
    /// Stops the query when the client is gone.
    pub cancellation: Cancellation,
}

impl<'a> Request<'a> {
    /// A request with the query string of its URL and the urlencoded form of its body (either may be empty).
    #[must_use]
    pub fn new(method: &'a str, path: &'a str, query: &str, form: &str) -> Self {
        let mut parameters = Parameters::parse(query);
        parameters.extend(Parameters::parse(form));
        Self {
            method,
            path,
            parameters,
            cancellation: Cancellation::default(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

const JSON_TYPE: &str = "application/json";

/// Why a request has no answer, as the API names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    BadData,
    Execution,
    Timeout,
    Canceled,
    NotFound,
    MethodNotAllowed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::BadData | Self::MethodNotAllowed => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::NotFound => "not_found",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::BadData => 400,
            Self::MethodNotAllowed => 405,
            Self::Execution => 422,
            Self::Timeout => 503,
            Self::Canceled => 499,
            Self::NotFound => 404,
        }
    }
}

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    fn bad_parameter(name: &str, message: impl std::fmt::Display) -> Self {
        Self::new(
            Kind::BadData,
            format!("invalid parameter \"{name}\": {message}"),
        )
    }
}

/// The `data` of an answer, already written as JSON, and its remarks.
#[derive(Default)]
struct Data {
    json: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl From<Json> for Data {
    fn from(value: Json) -> Self {
        Self {
            json: value.to_string(),
            ..Self::default()
        }
    }
}

impl Api {
    /// The API over a store, without rules and sources.
    #[must_use]
    pub fn new(store: Store, engine: Engine) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            store,
            engine,
            rules: None,
            sources: Sources::default(),
            version,
            started: SystemTime::now(),
        }
    }

    /// Shows these rules and their alerts.
    #[must_use]
    pub fn with_rules(mut self, rules: Arc<Rules>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Shows what these sources say.
    #[must_use]
    pub fn with_sources(mut self, sources: Sources) -> Self {
        self.sources = sources;
        self
    }

    /// Answers a request. It never panics on what a client sends, and takes no longer than the engine's limits allow.
    #[must_use]
    pub fn handle(&self, request: &Request<'_>) -> Response {
        let path = request.path.trim_end_matches('/');
        match path {
            "/-/healthy" => return plain("launchway is healthy.\n"),
            "/-/ready" => return plain("launchway is ready.\n"),
            _ => {}
        }
        if request.method == "OPTIONS" {
            return Response {
                status: 204,
                content_type: JSON_TYPE,
                body: Vec::new(),
            };
        }
        if path == "/federate" {
            return match self.federate(request) {
                Ok(body) => Response {
                    status: 200,
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    body: body.into(),
                },
                Err(failure) => Response {
                    status: failure.kind.status(),
                    content_type: "text/plain; charset=utf-8",
                    body: failure.message.into(),
                },
            };
        }
        let mut response = match self.route(request, path) {
            Ok(data) => success(data),
            Err(failure) => error(&failure),
        };
        if request.method == "HEAD" {
            response.body.clear();
        }
        response
    }

    fn route(&self, request: &Request<'_>, path: &str) -> Result<Data, Failure> {
        let Some(endpoint) = path.strip_prefix("/api/v1/") else {
            return Err(not_found(path));
        };
        let post_too = matches!(
            endpoint,
            "query"
                | "query_range"
                | "query_exemplars"
                | "format_query"
                | "parse_query"
                | "series"
                | "labels"
        );
        match request.method {
            "GET" | "HEAD" => {}
            "POST" if post_too => {}
            method => {
                return Err(Failure::new(
                    Kind::MethodNotAllowed,
                    format!("{method} is not allowed here"),
                ));
            }
        }
        match endpoint {
            "query" => self.query(request),
            "query_range" => self.query_range(request),
            "query_exemplars" => self.query_exemplars(request),
            "format_query" => self.format_query(request),
            "parse_query" => self.parse_query(request),
            "series" => self.series(request),
            "labels" => self.labels(request),
            "metadata" => self.metadata(request),
            "targets/metadata" => self.targets_metadata(request),
            "rules" => self.rules(request),
            "alerts" => self.alerts(),
            "targets" => Ok(given(
                self.sources.targets.as_ref(),
                || serde_json::json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
            )),
            "scrape_pools" => Ok(given(
                self.sources.scrape_pools.as_ref(),
                || serde_json::json!({"scrapePools": []}),
            )),
            "alertmanagers" => Ok(given(
                self.sources.alertmanagers.as_ref(),
                || serde_json::json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
            )),
            "notifications" => Ok(Data::from(Json::Array(Vec::new()))),
            _ => {
                if let Some(name) = endpoint
                    .strip_prefix("label/")
                    .and_then(|rest| rest.strip_suffix("/values"))
                {
                    return self.label_values(request, name);
                }
                match endpoint.strip_prefix("status/") {
                    Some(what) => self.status(request, what),
                    None => Err(not_found(path)),
                }
            }
        }
    }
}

fn given(source: Option<&Source>, otherwise: impl FnOnce() -> Json) -> Data {
    Data::from(source.map_or_else(otherwise, |source| source()))
}

fn not_found(path: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("there is nothing at {path}"))
}

fn plain(text: &str) -> Response {
    Response {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        body: text.into(),
    }
}

fn success(data: Data) -> Response {
    let mut body = String::with_capacity(data.json.len() + 64);
    body.push_str("{\"status\":\"success\",\"data\":");
    body.push_str(&data.json);
    for (name, list) in [("warnings", &data.warnings), ("infos", &data.infos)] {
        if !list.is_empty() {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            body.push_str(&Json::from(list.clone()).to_string());
        }
    }
    body.push('}');
    Response {
        status: 200,
        content_type: JSON_TYPE,
        body: body.into(),
    }
}

fn error(failure: &Failure) -> Response {
    let body = serde_json::json!({"status": "error", "errorType": failure.kind.name(), "error": failure.message});
    Response {
        status: failure.kind.status(),
        content_type: JSON_TYPE,
        body: body.to_string().into(),
    }
}

/// The clock, ms since 1970.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_millis() as i64
}
