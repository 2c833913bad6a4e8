//! Control's own counters and histograms, for Prometheus.

use std::time::Duration;

use launchway_model::AppName;
use launchway_model::build::BuildResult;
use launchway_store::DeployEnd;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of durations of builds and deploys, in seconds.
const SECONDS: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfApp {
    app: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    app: String,
    result: &'static str,
}

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    builds: Family<Ended, Counter>,
    build_seconds: Family<OfApp, Histogram, fn() -> Histogram>,
    deploys: Family<Ended, Counter>,
    deploy_seconds: Family<OfApp, Histogram, fn() -> Histogram>,
    restarts: Family<OfApp, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let this = Self {
            registry: Registry::default(),
            builds: Family::default(),
            build_seconds: Family::new_with_constructor(histogram),
            deploys: Family::default(),
            deploy_seconds: Family::new_with_constructor(histogram),
            restarts: Family::default(),
        };
        let mut registry = Registry::with_prefix("launchway");
        registry.register("builds", "Builds that ended", this.builds.clone());
        registry.register(
            "build_duration_seconds",
            "How long builds took, from the runner's start",
            this.build_seconds.clone(),
        );
        registry.register("deploys", "Deploys that ended", this.deploys.clone());
        registry.register(
            "deploy_duration_seconds",
            "How long deploys took, from their first step",
            this.deploy_seconds.clone(),
        );
        registry.register(
            "instance_restarts",
            "How often instances were started again after they ended",
            this.restarts.clone(),
        );
        Self { registry, ..this }
    }

    /// A build ended.
    pub(crate) fn built(&self, app: &AppName, result: BuildResult, took: Duration) {
        let result = match result {
            BuildResult::Success => "success",
            BuildResult::Unstable => "unstable",
            BuildResult::Failure => "failure",
            BuildResult::NotBuilt => "not_built",
            BuildResult::Aborted => "aborted",
        };
        self.builds
            .get_or_create(&Ended {
                app: app.to_string(),
                result,
            })
            .inc();
        self.build_seconds
            .get_or_create(&OfApp {
                app: app.to_string(),
            })
            .observe(took.as_secs_f64());
    }

    /// A deploy ended.
    pub(crate) fn deployed(&self, app: &AppName, end: &DeployEnd, took: Duration) {
        let result = match end {
            DeployEnd::Succeeded => "succeeded",
            DeployEnd::Failed { .. } => "failed",
            DeployEnd::Cancelled => "cancelled",
        };
        self.deploys
            .get_or_create(&Ended {
                app: app.to_string(),
                result,
            })
            .inc();
        self.deploy_seconds
            .get_or_create(&OfApp {
                app: app.to_string(),
            })
            .observe(took.as_secs_f64());
    }

    /// Instances of an app were started again.
    pub(crate) fn restarts(&self, app: &AppName, times: u64) {
        self.restarts
            .get_or_create(&OfApp {
                app: app.to_string(),
            })
            .inc_by(times);
    }

    /// All of it as text, without the end mark.
    pub(crate) fn text(&self, out: &mut String) -> std::fmt::Result {
        prometheus_client::encoding::text::encode_registry(out, &self.registry)
    }
}
