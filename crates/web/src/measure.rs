//! Counts of this edge's own requests: how many, how long, how many now.
//!
//! Streams and pushes count as requests when their answer begins; their length says nothing about the edge's speed.

use std::sync::atomic::AtomicI64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Web;

/// From a millisecond to ten seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    path: String,
}

/// The counts, with the registry that prints them.
pub(crate) struct Measures {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Handled, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
}

impl Default for Measures {
    fn default() -> Self {
        let requests = Family::<Answered, Counter>::default();
        let durations =
            Family::<Handled, Histogram, fn() -> Histogram>::new_with_constructor(|| {
                Histogram::new(BUCKETS)
            });
        let in_flight = Gauge::default();
        let mut registry = Registry::with_prefix("launchway_control_http");
        registry.register(
            "requests",
            "Requests to control's API, pages and git",
            requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "Time to the first byte of an answer",
            durations.clone(),
        );
        registry.register("in_flight", "Requests under way", in_flight.clone());
        Self {
            registry,
            requests,
            durations,
            in_flight,
        }
    }
}

impl Measures {
    /// Appends them to a Prometheus text, before its `# EOF` where it has one.
    pub(crate) fn append_to(&self, text: &mut String) {
        let cut = text.trim_end().trim_end_matches("# EOF").len();
        text.truncate(cut);
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if encode_registry(text, &self.registry).is_err() {
            tracing::error!("a metric cannot be printed");
        }
    }
}

/// Measures one request; unknown paths are counted together, so that a scan of addresses makes no series.
pub(crate) async fn request(State(web): State<Web>, request: Request, next: Next) -> Response {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let method = match request.method().as_str() {
        method @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => method,
        _ => "other",
    }
    .to_owned();
    let measures = web.measures;
    measures.in_flight.inc();
    let begin = Instant::now();
    let guard = InFlight(measures.in_flight.clone());
    let response = next.run(request).await;
    drop(guard);
    measures
        .durations
        .get_or_create(&Handled { path: path.clone() })
        .observe(begin.elapsed().as_secs_f64());
    measures
        .requests
        .get_or_create(&Answered {
            method,
            path,
            status: response.status().as_u16(),
        })
        .inc();
    response
}

/// Counts down also where the client goes away and the request's future is dropped.
struct InFlight(Gauge<i64, AtomicI64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
