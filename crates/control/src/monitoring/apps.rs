//! Apps that have metrics of their own: each serving instance is asked once for `/metrics`, and scraped from then on
//! where the answer is exposition text.
//!
//! An app that has none must not look like an app whose metrics are down, so no target is made before an answer was
//! good. Who answers badly is asked again after a while: a release may have brought metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use launchway_model::{AppName, InstanceId};
use launchway_monitor::exposition::{Format, Parser};
use launchway_monitor::http::{Call, Client, ClientSpec};
use launchway_monitor::scrape::config::{Job, Limits, TargetGroup};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::reconcile::{Observed, Role};

/// The job of apps' own metrics.
const JOB: &str = "apps";
/// After what time an app without metrics is asked again.
const AGAIN: Duration = Duration::from_secs(600);
/// How long an app may take for its first answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The least time between two looks at the instances.
const PAUSE: Duration = Duration::from_secs(1);
/// Bounds that keep one app from filling the store.
const LIMITS: Limits = Limits {
    body: 16 << 20,
    samples: 20_000,
    labels: 40,
    label_name: 512,
    label_value: 4096,
    targets: 0,
};

/// What is known of an instance.
enum Known {
    /// It has metrics.
    Has,
    /// It had none when it was asked.
    HasNot(Instant),
}

/// Looks for apps' metrics until the end.
pub(super) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut job = Job::new(JOB);
    job.interval = control.settings.monitoring.app_interval.as_millis() as i64;
    job.timeout = job.interval.min(10_000);
    job.limits = LIMITS;
    job.fallback = Some(Format::Text);
    control.monitoring.scraper.add_job(job, None);
    let mut known: HashMap<InstanceId, Known> = HashMap::new();
    let mut observed = control.observed.clone();
    loop {
        let serving = serving(&observed.borrow_and_update());
        known.retain(|id, _| serving.contains_key(id));
        for (id, address) in &serving {
            let ask = match known.get(id) {
                None => true,
                Some(Known::Has) => false,
                Some(Known::HasNot(at)) => at.elapsed() >= AGAIN,
            };
            if ask {
                let found = tokio::select! {
                    () = cancel.cancelled() => return,
                    found = has_metrics(address) => found,
                };
                known.insert(
                    id.clone(),
                    if found {
                        Known::Has
                    } else {
                        Known::HasNot(Instant::now())
                    },
                );
            }
        }
        let groups = serving
            .iter()
            .filter(|(id, _)| matches!(known.get(id), Some(Known::Has)));
        control.monitoring.scraper.set_targets(
            JOB,
            groups.map(|(id, address)| group(id, address)).collect(),
        );
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
            changed = observed.changed() => if changed.is_err() {
                return;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// The instances that serve, with their addresses.
fn serving(observed: &Observed) -> BTreeMap<InstanceId, String> {
    let all = observed
        .instances
        .iter()
        .filter(|(_, seen)| seen.role == Role::Serving && seen.ready);
    all.filter_map(|(id, seen)| Some((id.clone(), seen.address()?.to_string())))
        .collect()
}

fn group(id: &InstanceId, address: &str) -> TargetGroup {
    let label = |name: &str, value: String| (name.to_owned(), value);
    let app: &AppName = id.app();
    TargetGroup {
        targets: vec![address.to_owned()],
        labels: vec![
            label("app", app.to_string()),
            label("process", id.process().to_string()),
            label("instance", id.to_string()),
        ],
        source: id.to_string(),
    }
}

/// Whether an instance answers `/metrics` with exposition text that has at least one entry.
async fn has_metrics(address: &str) -> bool {
    let client = Client::new(ClientSpec {
        follow_redirects: false,
        ..ClientSpec::default()
    });
    let url = format!("http://{address}/metrics");
    let mut call = Call::get(&url).with(
        http::header::ACCEPT,
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    );
    call.limit = LIMITS.body;
    let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, client.send(&call)).await else {
        return false;
    };
    let Some(format) = Format::of_content_type(answer.header(&http::header::CONTENT_TYPE)) else {
        return false;
    };
    answer.status == http::StatusCode::OK
        && Parser::new(&answer.body, format == Format::OpenMetrics)
            .and_then(|mut parser| parser.next())
            .is_ok_and(|entry| entry.is_some())
}
