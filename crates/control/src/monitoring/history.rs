//! The last minutes of every app's traffic, for the graphs of the pages, read from the store.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use launchway_model::api::App;
use launchway_model::{AppName, Problem};
use tokio::sync::Mutex;

use crate::Control;

/// How far the graphs go back, ms.
const SPAN: i64 = 600_000;
/// The distance of two points, ms.
const STEP: i64 = 5_000;
/// For how long an answer serves others who ask, ms: pages refresh themselves, often several at once.
const FRESH: i64 = 2_000;

/// One point of an app's graphs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Requests per second.
    pub requests_per_second: f64,
    /// Share of answers of status 5xx.
    pub error_ratio: f64,
    /// Mean duration in milliseconds.
    pub mean_ms: f64,
    /// Memory of all instances in bytes.
    pub memory_bytes: u64,
}

impl Sample {
    /// What an app shows now.
    pub fn of(app: &App) -> Self {
        let traffic = app.traffic.unwrap_or_default();
        Self {
            requests_per_second: traffic.requests_per_second,
            error_ratio: traffic.error_ratio,
            mean_ms: traffic.mean_ms,
            memory_bytes: app.instances.iter().filter_map(|i| i.memory_bytes).sum(),
        }
    }
}

/// The graphs of all apps.
pub type History = Arc<HashMap<AppName, Vec<Sample>>>;

/// The last answer.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<(i64, History)>>);

/// A quantity of a sample by app, and how it is set.
type Quantity = (&'static str, fn(&mut Sample, f64));

const QUANTITIES: [Quantity; 4] = [
    (
        "sum by (app) (rate(launchway_requests_total[30s]))",
        |sample, value| sample.requests_per_second = value,
    ),
    (
        "sum by (app) (rate(launchway_requests_total{code=\"5xx\"}[30s])) / sum by (app) (rate(launchway_requests_total[30s]))",
        |sample, value| sample.error_ratio = value,
    ),
    (
        "sum by (app) (rate(launchway_request_duration_seconds_sum[30s])) / sum by (app) (rate(launchway_request_duration_seconds_count[30s])) * 1000",
        |sample, value| sample.mean_ms = value,
    ),
    (
        "sum by (app) (launchway_instance_memory_bytes)",
        |sample, value| sample.memory_bytes = value as u64,
    ),
];

/// The graphs of all apps: points five seconds apart over the last ten minutes, oldest first, from the first point that is
/// known.
///
/// # Errors
/// The store cannot be asked.
pub async fn history(control: &Control) -> Result<History, Problem> {
    let mut cache = control.monitoring.history.0.lock().await;
    let now = Timestamp::now().as_millisecond();
    if let Some((at, known)) = cache.as_ref()
        && (0..FRESH).contains(&(now - at))
    {
        return Ok(known.clone());
    }
    let (start, points) = (now - SPAN, (SPAN / STEP) as usize + 1);
    let mut all: HashMap<AppName, (usize, Vec<Sample>)> = HashMap::new();
    for (query, set) in QUANTITIES {
        for series in super::range(control, query, start, now, STEP).await? {
            let Some(app) = series
                .labels
                .get("app")
                .and_then(|name| name.parse::<AppName>().ok())
            else {
                continue;
            };
            let (first, samples) = all
                .entry(app)
                .or_insert_with(|| (points, vec![Sample::default(); points]));
            for (at, value) in series.points {
                let place = ((at - start) / STEP) as usize;
                if let Some(sample) = samples.get_mut(place).filter(|_| value.is_finite()) {
                    set(sample, value);
                    *first = place.min(*first);
                }
            }
        }
    }
    let known = all.into_iter().map(|(app, (first, mut samples))| {
        samples.drain(..first.min(samples.len()));
        (app, samples)
    });
    let known: History = Arc::new(known.collect());
    *cache = Some((now, known.clone()));
    Ok(known)
}
