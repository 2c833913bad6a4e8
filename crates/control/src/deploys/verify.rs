//! After the switch: whether the new release does worse than the one before, by the proxy's own counters and by what
//! its instances do. One that does is rolled back without anybody's hand, with the reason.
//!
//! The rule is made to be wrong seldom: for some seconds in a row at least half of a good number of requests failed, and
//! the release before did much better; or all instances stay down after crashing again and again. A release that is a rollback itself is
//! left alone, so that two bad releases do not take turns.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::deploy::Release;
use launchway_model::route::ProxyStats;
use launchway_model::{AppName, InstanceId, Problem};
use launchway_store::NewRelease;
use tokio::time::Instant;

use crate::reconcile::{Observed, Role};
use crate::{Control, problem};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// The least number of requests that say anything.
const ENOUGH: u64 = 20;
/// The share of failed requests from which a release is bad, in percent.
const BAD: u64 = 50;
/// The share up to which the release before counts as good, in percent.
const GOOD: u64 = 20;
/// How many looks in a row must be bad.
const IN_A_ROW: u32 = 4;
/// How often each instance must have crashed.
const CRASHES: u64 = 3;
/// What the cause of a release that must not be rolled back by itself starts with.
const ROLLED_BACK: [&str; 2] = ["rollback", "rolled back"];

/// The release before, as it did until the switch.
pub(super) struct Baseline {
    before: Release,
    share: Share,
}

/// Requests and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    requests: u64,
    failed: u64,
}

impl Share {
    /// What the instances of which this holds did. A request that an instance did not answer failed as much as one that it
    /// answered with 5xx.
    fn of(stats: &ProxyStats, holds: impl Fn(&InstanceId) -> bool) -> Self {
        let targets = stats
            .targets
            .iter()
            .filter(|target| holds(&target.instance));
        targets.fold(Self::default(), |sum, target| Self {
            requests: sum.requests + target.requests + target.failures,
            failed: sum.failed + target.server_errors + target.failures,
        })
    }

    /// What was added to an earlier count; all of it where the counters began anew.
    fn since(self, earlier: Self) -> Self {
        if self.requests < earlier.requests || self.failed < earlier.failed {
            return self;
        }
        Self {
            requests: self.requests - earlier.requests,
            failed: self.failed - earlier.failed,
        }
    }

    fn percent(self) -> u64 {
        (self.failed * 100).checked_div(self.requests).unwrap_or(0)
    }
}

/// Remembers how the release before does, where the new one is to be watched.
pub(super) async fn baseline(control: &Control, release: &Release) -> Option<Baseline> {
    control.settings().verify?;
    if !may_be_rolled_back(release) {
        return None;
    }
    let serving = control.store.app(&release.app).await.ok()??.serving?;
    let before = control.store.release(&release.app, serving).await.ok()??;
    let stats = control.proxy.stats().await?;
    let share = Share::of(&stats, |id| {
        *id.app() == before.app && id.release() == before.number
    });
    Some(Baseline { before, share })
}

/// Watches a release that serves since now, at the side.
pub(super) fn watch(control: &Control, release: Arc<Release>, baseline: Baseline) {
    let (Some(time), Ok(shared)) = (control.settings().verify, control.shared()) else {
        return;
    };
    let tasks = control.tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = shared.cancel.cancelled() => {}
            () = watch_until(&shared, &release, &baseline, Instant::now() + time) => {}
        }
    });
}

/// Goes on watching the releases that came into service shortly before control ended.
pub(super) async fn resume(control: &Control) -> Result<(), Problem> {
    let Some(time) = control.settings().verify else {
        return Ok(());
    };
    for release in control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?
    {
        let newest = control
            .store
            .deploys(&release.app, 1)
            .await
            .map_err(problem::store)?
            .pop();
        let ended = newest
            .filter(|deploy| deploy.deploy.release == release.number)
            .and_then(|deploy| deploy.ended);
        let young =
            ended.is_some_and(|ended| Timestamp::now().duration_since(ended).unsigned_abs() < time);
        if !young || !may_be_rolled_back(&release) {
            continue;
        }
        let before = control
            .store
            .served_before(&release.app, release.number)
            .await
            .map_err(problem::store)?;
        if let Some(before) = before {
            // What the one before did is not counted any more; it served, so it counts as good.
            watch(
                control,
                Arc::new(release),
                Baseline {
                    before,
                    share: Share::default(),
                },
            );
        }
    }
    Ok(())
}

fn may_be_rolled_back(release: &Release) -> bool {
    !ROLLED_BACK
        .iter()
        .any(|words| release.cause.starts_with(words))
}

async fn watch_until(control: &Control, release: &Release, baseline: &Baseline, end: Instant) {
    let mut record = Record::default();
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        match still_serves_alone(control, release).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(problem) => {
                tracing::warn!(app = %release.app, %problem, "whether the release does well cannot be told now");
                continue;
            }
        }
        let Some(stats) = control.proxy.stats().await else {
            continue;
        };
        let share = Share::of(&stats, |id| {
            *id.app() == release.app && id.release() == release.number
        });
        let crashes = crashes(&control.observed.borrow(), release);
        if let Some(reason) = record.look(baseline.share, share, crashes) {
            tracing::warn!(app = %release.app, release = %release.number, reason, "the release is rolled back");
            if let Err(problem) = roll_back(control, &baseline.before, &reason).await {
                tracing::error!(app = %release.app, %problem, "the release could not be rolled back");
            }
            return;
        }
    }
}

/// What was seen of a release, look by look. One bad moment (an instance that was killed and is back a second later) is
/// no reason; several in a row are.
#[derive(Debug, Default)]
struct Record {
    counted: Share,
    /// What happened in the looks in a row in which most requests failed, and how many these were.
    bad: Share,
    bad_looks: u32,
    /// The looks in a row in which all instances were down after several crashes.
    down_looks: u32,
}

impl Record {
    /// Takes in one look: all that was counted so far, and how often the instances crashed where all of them are down.
    /// Gives the reason to roll back, if there is one now.
    fn look(&mut self, before: Share, counted: Share, crashes: Option<u64>) -> Option<String> {
        let fresh = counted.since(self.counted);
        self.counted = counted;
        if fresh.requests > 0 && fresh.percent() >= BAD {
            self.bad = Share {
                requests: self.bad.requests + fresh.requests,
                failed: self.bad.failed + fresh.failed,
            };
            self.bad_looks += 1;
        } else if fresh.requests > 0 {
            (self.bad, self.bad_looks) = (Share::default(), 0);
        }
        self.down_looks = if crashes.is_some() {
            self.down_looks + 1
        } else {
            0
        };
        if self.bad_looks >= IN_A_ROW && self.bad.requests >= ENOUGH && before.percent() <= GOOD {
            return Some(format!(
                "{} of {} requests failed",
                self.bad.failed, self.bad.requests
            ));
        }
        let crashes = crashes.filter(|_| self.down_looks >= IN_A_ROW)?;
        Some(format!("its instances crashed {crashes} times"))
    }
}

/// Whether the release serves and nothing newer is on its way: then a person is at it already.
async fn still_serves_alone(control: &Control, release: &Release) -> Result<bool, Problem> {
    let app = control.app(&release.app).await?;
    let active = control
        .store
        .active_deploys()
        .await
        .map_err(problem::store)?;
    let newer = active
        .iter()
        .any(|deploy| deploy.deploy.app == release.app && deploy.deploy.release > release.number);
    Ok(app.serving == Some(release.number) && !app.stopped && !newer)
}

/// How often a release's web instances crashed, where all of them are down and each crashed again and again.
fn crashes(observed: &Observed, release: &Release) -> Option<u64> {
    let mut crashes = 0;
    for (id, seen) in &observed.instances {
        let ours =
            *id.app() == release.app && id.release() == release.number && seen.port.is_some();
        if !ours || seen.role != Role::Serving {
            continue;
        }
        if seen.ready || seen.restarts < CRASHES {
            return None;
        }
        crashes += seen.restarts;
    }
    (crashes > 0).then_some(crashes)
}

/// Brings the release before back with the configuration that it had.
async fn roll_back(control: &Control, before: &Release, reason: &str) -> Result<(), Problem> {
    let app: &AppName = &before.app;
    if !control.settings().home.tree(app, before.build).exists() {
        return Err(Problem::conflict(format!(
            "the files of {} are not kept any more",
            before.number
        )));
    }
    let release = NewRelease {
        app: app.clone(),
        build: before.build,
        commit: before.commit.clone(),
        subject: before.subject.clone(),
        spec: before.spec.clone(),
        config_version: Some(before.config_version),
        cause: format!("rolled back to {} by Launchway: {reason}", before.number),
    };
    control
        .store
        .create_release(&release, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.deploys.notify_one();
    control.wake.changed();
    Ok(())
}

#[cfg(test)]
mod tests;
