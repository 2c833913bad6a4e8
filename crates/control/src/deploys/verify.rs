//! After the switch: whether the new release does worse than the one before, by a command of the app's own, by the proxy's
//! counters and by what its instances do. One that does is rolled back without anybody's hand, with the reason.
//!
//! The rule is made to be wrong seldom: for some seconds in a row clearly more requests failed, or were answered much more
//! slowly, than with the release before; or all instances stay down after crashing again and again. A release that is a
//! rollback itself is left alone, so that two bad releases do not take turns.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::app::VerifySpec;
use launchway_model::deploy::{DeployPhase, Release};
use launchway_model::route::{DURATION_BUCKETS, ProxyStats};
use launchway_model::{AppName, InstanceId, Problem};
use launchway_store::{NewRelease, StoredDeploy};
use tokio::time::Instant;

use super::change::Change;
use super::{commands, journal};
use crate::reconcile::{Observed, Role};
use crate::{Control, problem};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks in a row must be bad.
const IN_A_ROW: u32 = 4;
/// How often each instance must have crashed.
const CRASHES: u64 = 3;
/// Answers below this time, in seconds, are never slow.
const QUICK: f64 = 0.1;
/// What counts for answers that are longer than every bound, in seconds.
const LONGEST: f64 = 60.0;
/// What the cause of a release that must not be rolled back by itself starts with.
const ROLLED_BACK: [&str; 2] = ["rollback", "rolled back"];

/// A release that is compared with the one before.
pub(super) struct Watch {
    release: Arc<Release>,
    before: Option<Release>,
    /// The one before, as it did until now.
    baseline: Share,
    record: Record,
}

impl Watch {
    /// Compares a release with the one that serves now, if any does.
    pub(super) async fn new(control: &Control, release: &Arc<Release>) -> Self {
        let before = serving(control, &release.app).await;
        let stats = control.proxy.stats().await.unwrap_or_default();
        Self {
            baseline: before
                .as_ref()
                .map(|before| Share::of_release(&stats, before))
                .unwrap_or_default(),
            record: Record::new(&release.spec.rollout.verify),
            release: release.clone(),
            before,
        }
    }

    /// The same, where the release may be rolled back by itself and something serves before it.
    pub(super) async fn of(control: &Control, release: &Arc<Release>) -> Option<Self> {
        time(control, release)?;
        if !may_be_rolled_back(release) {
            return None;
        }
        let watch = Self::new(control, release).await;
        watch.before.is_some().then_some(watch)
    }

    /// The number of the release before, in words.
    pub(super) fn before(&self) -> String {
        self.before
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |before| before.number.to_string())
    }

    /// Looks once; gives the reason why the release is bad, if it is.
    pub(super) async fn look(&mut self, control: &Control) -> Option<String> {
        let stats = control.proxy.stats().await?;
        let share = Share::of_release(&stats, &self.release);
        let crashes = crashes(&control.observed.borrow(), &self.release);
        self.record.look(&self.baseline, &share, crashes)
    }
}

/// For how long a release is watched; not at all where that is switched off.
fn time(control: &Control, release: &Release) -> Option<Duration> {
    let usual = control.settings().verify?;
    Some(
        release
            .spec
            .rollout
            .verify
            .watch_ms
            .map_or(usual, Duration::from_millis),
    )
}

async fn serving(control: &Control, app: &AppName) -> Option<Release> {
    let serving = control.store.app(app).await.ok()??.serving?;
    control.store.release(app, serving).await.ok()?
}

/// The phase after the switch, while the release before still runs: the command, then the time of the hold.
pub(super) async fn hold(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    new: &[InstanceId],
) -> Result<(), Problem> {
    let rule = &change.release.spec.rollout.verify;
    if let Some(command) = &rule.command {
        commands::verify(control, job, change, command, new).await?;
    }
    if rule.hold_ms == 0 {
        return Ok(());
    }
    let mut watch = Watch::new(control, &change.release).await;
    if let Some(before) = &change.before {
        let stats = control.proxy.stats().await.unwrap_or_default();
        watch.baseline = Share::of_release(&stats, &before.release);
        watch.before = Some((*before.release).clone());
    }
    let until = Instant::now() + Duration::from_millis(rule.hold_ms);
    while Instant::now() < until {
        tokio::time::sleep(LOOK.min(until - Instant::now())).await;
        if let Some(reason) = watch.look(control).await {
            return Err(Problem::failed(format!(
                "{} did worse than {}: {reason}",
                change.release.number,
                watch.before()
            )));
        }
    }
    let told = format!(
        "no worse than {} for {} s",
        watch.before(),
        rule.hold_ms / 1000
    );
    journal::say(control, job.deploy.id, DeployPhase::Verify, told).await;
    Ok(())
}

/// Requests, how many of them failed, and how long their answers took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Share {
    requests: u64,
    failed: u64,
    /// Cumulative counts by [`DURATION_BUCKETS`]; empty where they are not known.
    buckets: Vec<u64>,
}

impl Share {
    fn of_release(stats: &ProxyStats, release: &Release) -> Self {
        Self::of(stats, |id| {
            *id.app() == release.app && id.release() == release.number
        })
    }

    /// What the instances of which this holds did. A request that an instance did not answer failed as much as one that it
    /// answered with 5xx.
    fn of(stats: &ProxyStats, holds: impl Fn(&InstanceId) -> bool) -> Self {
        let targets = stats
            .targets
            .iter()
            .filter(|target| holds(&target.instance));
        targets.fold(Self::default(), |mut sum, target| {
            sum.requests += target.requests + target.failures;
            sum.failed += target.server_errors + target.failures;
            sum.buckets
                .resize(sum.buckets.len().max(target.buckets.len()), 0);
            for (all, one) in sum.buckets.iter_mut().zip(&target.buckets) {
                *all += one;
            }
            sum
        })
    }

    /// What was added to an earlier count; all of it where the counters began anew.
    fn since(&self, earlier: &Self) -> Self {
        if self.requests < earlier.requests || self.failed < earlier.failed {
            return self.clone();
        }
        let before = earlier.buckets.iter().chain(std::iter::repeat(&0));
        Self {
            requests: self.requests - earlier.requests,
            failed: self.failed - earlier.failed,
            buckets: self
                .buckets
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
        }
    }

    /// The time in seconds within which 95 of 100 answers came, as the bound of its bucket; none where it is not known.
    fn slow(&self) -> Option<f64> {
        let answered = self.requests.saturating_sub(self.failed).max(1);
        if self.buckets.is_empty() || self.requests == 0 {
            return None;
        }
        let within = |count: u64| count * 100 >= answered * 95;
        let place = self.buckets.iter().position(|count| within(*count));
        Some(place.map_or(LONGEST, |place| DURATION_BUCKETS[place]))
    }

    fn percent(&self) -> u64 {
        (self.failed * 100).checked_div(self.requests).unwrap_or(0)
    }
}

/// Watches a release that serves since now, at the side.
pub(super) fn watch(control: &Control, watch: Watch) {
    let (Some(time), Ok(shared)) = (time(control, &watch.release), control.shared()) else {
        return;
    };
    let tasks = control.tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = shared.cancel.cancelled() => {}
            () = watch_until(&shared, watch, Instant::now() + time) => {}
        }
    });
}

/// Goes on watching the releases that came into service shortly before control ended.
pub(super) async fn resume(control: &Control) -> Result<(), Problem> {
    for release in control
        .store
        .serving_releases()
        .await
        .map_err(problem::store)?
    {
        let Some(time) = time(control, &release) else {
            return Ok(());
        };
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
            let resumed = Watch {
                record: Record::new(&release.spec.rollout.verify),
                release: Arc::new(release),
                before: Some(before),
                baseline: Share::default(),
            };
            watch(control, resumed);
        }
    }
    Ok(())
}

pub(super) fn may_be_rolled_back(release: &Release) -> bool {
    !ROLLED_BACK
        .iter()
        .any(|words| release.cause.starts_with(words))
}

async fn watch_until(control: &Control, mut watch: Watch, end: Instant) {
    let Some(before) = watch.before.clone() else {
        return;
    };
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        let release = watch.release.clone();
        match still_serves_alone(control, &release).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(problem) => {
                tracing::warn!(app = %release.app, %problem, "whether the release does well cannot be told now");
                continue;
            }
        }
        if let Some(reason) = watch.look(control).await {
            tracing::warn!(app = %release.app, release = %release.number, reason, "the release is rolled back");
            if let Err(problem) = roll_back(control, &before, &reason).await {
                tracing::error!(app = %release.app, %problem, "the release could not be rolled back");
            }
            return;
        }
    }
}

/// What was seen of a release, look by look. One bad moment (an instance that was killed and is back a second later) is
/// no reason; several in a row are.
#[derive(Debug)]
struct Record {
    rule: VerifySpec,
    counted: Share,
    /// What happened in the looks in a row in which too many requests failed, and how many these were.
    bad: (u64, u64),
    bad_looks: u32,
    /// The requests of the looks in a row in which answers were too slow.
    slow: u64,
    slow_looks: u32,
    /// The looks in a row in which all instances were down after several crashes.
    down_looks: u32,
}

impl Record {
    fn new(rule: &VerifySpec) -> Self {
        Self {
            rule: rule.clone(),
            counted: Share::default(),
            bad: (0, 0),
            bad_looks: 0,
            slow: 0,
            slow_looks: 0,
            down_looks: 0,
        }
    }

    /// Takes in one look: all that was counted so far, and how often the instances crashed where all of them are down.
    /// Gives the reason to roll back, if there is one now.
    fn look(&mut self, before: &Share, counted: &Share, crashes: Option<u64>) -> Option<String> {
        let fresh = counted.since(&self.counted);
        self.counted = counted.clone();
        let enough = u64::from(self.rule.min_requests);
        if fresh.requests > 0 {
            if fresh.percent() > before.percent() + u64::from(self.rule.max_errors) {
                self.bad = (self.bad.0 + fresh.requests, self.bad.1 + fresh.failed);
                self.bad_looks += 1;
            } else {
                (self.bad, self.bad_looks) = ((0, 0), 0);
            }
            match self.too_slow(before, &fresh) {
                Some(_) => {
                    self.slow += fresh.requests;
                    self.slow_looks += 1;
                }
                None => (self.slow, self.slow_looks) = (0, 0),
            }
        }
        self.down_looks = if crashes.is_some() {
            self.down_looks + 1
        } else {
            0
        };
        if self.bad_looks >= IN_A_ROW && self.bad.0 >= enough {
            return Some(format!("{} of {} requests failed", self.bad.1, self.bad.0));
        }
        if self.slow_looks >= IN_A_ROW
            && self.slow >= enough
            && let Some((was, is)) = self.too_slow(before, &fresh)
        {
            return Some(format!(
                "95% of the answers came within {}, before within {}",
                shown(is),
                shown(was)
            ));
        }
        let crashes = crashes.filter(|_| self.down_looks >= IN_A_ROW)?;
        Some(format!("its instances crashed {crashes} times"))
    }

    /// How slow the release before was and how slow this one is, where that is too much.
    fn too_slow(&self, before: &Share, fresh: &Share) -> Option<(f64, f64)> {
        if before.requests < u64::from(self.rule.min_requests) {
            return None;
        }
        let (was, is) = (before.slow()?, fresh.slow()?);
        let limit = (was * f64::from(self.rule.max_slower) / 1000.0).max(QUICK);
        (is > limit).then_some((was, is))
    }
}

/// A bound of a bucket for people.
fn shown(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", seconds * 1000.0)
    } else {
        format!("{seconds} s")
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
pub(super) async fn roll_back(
    control: &Control,
    before: &Release,
    reason: &str,
) -> Result<(), Problem> {
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
