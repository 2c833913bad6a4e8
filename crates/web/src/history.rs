//! The last minutes of every app's traffic, for the graphs of the pages: a ring of samples in memory.
//!
//! This is no store of metrics; it is lost with the process and holds what a person wants to see at a glance.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use launchway_control::apps;
use launchway_model::AppName;
use launchway_model::api::App;
use tokio::time::MissedTickBehavior;

use crate::Web;

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(5);
/// How many samples are kept: ten minutes.
const KEPT: usize = 120;

/// One sample of an app.
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

/// The samples of all apps.
#[derive(Debug, Default)]
pub(crate) struct History {
    apps: Mutex<HashMap<AppName, VecDeque<Sample>>>,
}

impl History {
    /// The samples of one app, oldest first.
    pub(crate) fn of(&self, app: &AppName) -> Vec<Sample> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.get(app)
            .map(|samples| samples.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Adds one sample of each app and forgets apps that are gone.
    fn add(&self, apps: &[App]) {
        let mut all = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| apps.iter().any(|app| app.name == *name));
        for app in apps {
            let samples = all.entry(app.name.clone()).or_default();
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(Sample::of(app));
        }
    }
}

/// Samples all apps until control shuts down.
pub(crate) async fn sample(web: Web) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = web.cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match apps::list(&web.control).await {
            Ok(apps) => web.history.add(&apps),
            Err(problem) => tracing::debug!(%problem, "traffic cannot be sampled"),
        }
    }
}
