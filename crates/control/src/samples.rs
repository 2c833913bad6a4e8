//! What instances use and what passes through routes, sampled now and then: rates come from two samples of counters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use launchway_model::api::Traffic;
use launchway_model::instance::{Instance, TargetAddress};
use launchway_model::route::{ProxyStats, RouteStats, TargetStats};
use launchway_model::{AppName, InstanceId};
use launchway_supervisor::observe::{Processes, TreeUsage};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Control;

/// How often a sample is taken.
const EVERY: Duration = Duration::from_secs(2);
/// How many times longer than a sample takes the pause after it is at least: a hundredth of a core is enough.
const SHARE: u32 = 100;

/// The last sample, and the rates between the last two.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    at: Option<Instant>,
    usage: HashMap<InstanceId, TreeUsage>,
    cpu_millis: HashMap<InstanceId, u32>,
    proxy: Option<ProxyStats>,
    requests: HashMap<InstanceId, f64>,
    traffic: BTreeMap<String, Traffic>,
}

/// Samples until the end.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut pause = EVERY / 8;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let took = take(&control).await;
        pause = EVERY.max(took * SHARE);
    }
}

/// Takes one sample; gives the time that reading the processes took.
async fn take(control: &Control) -> Duration {
    let proxy = control.proxy.stats().await;
    let shims: Vec<(InstanceId, u32)> = control
        .observed
        .borrow()
        .instances
        .iter()
        .filter_map(|(id, seen)| Some((id.clone(), seen.shim?)))
        .collect();
    let read = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let usage: HashMap<InstanceId, TreeUsage> = if shims.is_empty() {
            HashMap::new()
        } else {
            let processes = Processes::read();
            shims
                .into_iter()
                .map(|(id, shim)| (id, processes.below(shim)))
                .collect()
        };
        (usage, began.elapsed())
    });
    let Ok((usage, took)) = read.await else {
        return EVERY;
    };
    let mut samples = control
        .samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    samples.add(Instant::now(), usage, proxy);
    took
}

impl Samples {
    fn add(
        &mut self,
        now: Instant,
        usage: HashMap<InstanceId, TreeUsage>,
        proxy: Option<ProxyStats>,
    ) {
        let seconds = self
            .at
            .map(|at| now.duration_since(at).as_secs_f64())
            .filter(|seconds| *seconds > 0.0);
        self.cpu_millis.clear();
        self.requests.clear();
        if let Some(seconds) = seconds {
            for (id, usage) in &usage {
                if let Some(before) = self.usage.get(id) {
                    let used = usage.cpu_millis.saturating_sub(before.cpu_millis);
                    // Milliseconds of CPU a second are thousandths of a core.
                    self.cpu_millis
                        .insert(id.clone(), (used as f64 / seconds).round() as u32);
                }
            }
            if let Some(proxy) = &proxy {
                self.rates(proxy, seconds);
            }
        }
        self.at = Some(now);
        self.usage = usage;
        self.proxy = proxy;
    }

    fn rates(&mut self, now: &ProxyStats, seconds: f64) {
        let Some(before) = &self.proxy else { return };
        for target in &now.targets {
            let old = before
                .targets
                .iter()
                .find(|old| old.instance == target.instance);
            let requests = since(
                target.requests,
                old.map_or(0, |old: &TargetStats| old.requests),
            );
            self.requests
                .insert(target.instance.clone(), requests as f64 / seconds);
        }
        let nothing = RouteStats::default();
        for route in &now.routes {
            let old = before
                .routes
                .iter()
                .find(|old| old.route == route.route)
                .unwrap_or(&nothing);
            let total = |stats: &RouteStats| stats.by_class.iter().sum::<u64>();
            if total(route) == 0 && route.in_flight == 0 {
                continue;
            }
            let answered = since(total(route), total(old));
            let failed = since(route.by_class[4], old.by_class[4]);
            let took = if route.seconds >= old.seconds {
                route.seconds - old.seconds
            } else {
                route.seconds
            };
            let share = |part: f64| {
                if answered == 0 {
                    0.0
                } else {
                    part / answered as f64
                }
            };
            self.traffic.insert(
                route.route.clone(),
                Traffic {
                    requests_per_second: answered as f64 / seconds,
                    error_ratio: share(failed as f64),
                    mean_ms: share(took * 1000.0),
                    in_flight: route.in_flight,
                },
            );
        }
        self.traffic
            .retain(|name, _| now.routes.iter().any(|route| route.route == *name));
    }
}

/// How much a counter grew; one that shrank belongs to a proxy that was restarted.
fn since(now: u64, before: u64) -> u64 {
    if now >= before { now - before } else { now }
}

/// The instances of an app with what the last samples say.
pub(crate) fn instances(control: &Control, app: &AppName) -> Vec<Instance> {
    let routed: HashSet<InstanceId> = control.proxy.routed(app);
    let observed = control.observed.borrow();
    let samples = control
        .samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<Instance> = observed
        .instances
        .iter()
        .filter(|(id, seen)| id.app() == app && !seen.is_gone())
        .map(|(id, seen)| Instance {
            id: id.clone(),
            status: seen.status.clone(),
            healthy: seen.port.is_some().then_some(seen.ready),
            routed: routed.contains(id),
            address: seen.address().map(TargetAddress::Tcp),
            restarts: seen.restarts,
            memory_bytes: samples.usage.get(id).map(|usage| usage.memory_bytes),
            cpu_millis: samples.cpu_millis.get(id).copied(),
            requests_per_second: seen.port.and_then(|_| samples.requests.get(id).copied()),
        })
        .collect();
    found.sort_by(|one, other| {
        let key = |instance: &Instance| {
            (
                !instance.id.process().is_web(),
                instance.id.process().clone(),
                instance.id.serial(),
            )
        };
        key(one).cmp(&key(other))
    });
    found
}

/// What passes through an app's routes.
pub(crate) fn traffic(control: &Control, app: &AppName) -> Option<Traffic> {
    let samples = control
        .samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let of_app = samples.traffic.iter().filter(|(route, _)| {
        route
            .strip_prefix(app.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    of_app.map(|(_, traffic)| *traffic).reduce(together)
}

/// What passes through two routes.
fn together(one: Traffic, other: Traffic) -> Traffic {
    let requests = one.requests_per_second + other.requests_per_second;
    let share = |of_one: f64, of_other: f64| {
        if requests > 0.0 {
            (of_one * one.requests_per_second + of_other * other.requests_per_second) / requests
        } else {
            0.0
        }
    };
    Traffic {
        requests_per_second: requests,
        error_ratio: share(one.error_ratio, other.error_ratio),
        mean_ms: share(one.mean_ms, other.mean_ms),
        in_flight: one.in_flight + other.in_flight,
    }
}

/// What the last samples hold of each instance.
pub(crate) fn usage(control: &Control) -> Vec<(InstanceId, TreeUsage)> {
    let samples = control
        .samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut usage: Vec<_> = samples
        .usage
        .iter()
        .map(|(id, usage)| (id.clone(), usage.clone()))
        .collect();
    usage.sort_by(|one, other| one.0.cmp(&other.0));
    usage
}

#[cfg(test)]
mod tests;
