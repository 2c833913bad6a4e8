//! What a deploy does, step by step.

use jiff::Timestamp;
use launchway_model::app::Strategy;
use launchway_model::deploy::DeployPhase;
use launchway_model::{InstanceId, Problem};
use launchway_store::{DeployEnd, DeployWork, StoredDeploy};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::change::{self, Change};
use super::rollout::{self, Rollout};
use super::{commands, failure, journal, verify};
use crate::problem::Persist;
use crate::reconcile::Event;
use crate::{Control, problem, strays};

/// Why a deploy did not come to its end.
enum Stopped {
    /// It failed.
    Failed(Problem),
    /// A person cancelled it.
    Cancelled,
    /// Its record ended meanwhile: superseded or cancelled while it waited.
    Ended,
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

/// What a person can say to a deploy that runs.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// End it, and take back what it began.
    pub(super) cancel: CancellationToken,
    /// Go on to the switch.
    pub(super) promote: std::sync::Arc<Notify>,
}

/// Runs one deploy and writes how it ended. What serves is untouched unless it comes to the switch.
pub(super) async fn run(control: &Control, job: &StoredDeploy, signals: Signals) {
    let (id, app) = (job.deploy.id, &job.deploy.app);
    let began = tokio::time::Instant::now();
    let mut phase = DeployPhase::Queued;
    let mut rollout = Rollout::default();
    let mut change = None;
    let ended = execute(
        control,
        job,
        &signals,
        &mut phase,
        &mut change,
        &mut rollout,
    )
    .await;
    let end = match ended {
        Ok(()) => DeployEnd::Succeeded,
        Err(stopped) => {
            if phase < DeployPhase::Verify {
                rollout::undo(control, id, change.as_ref(), app, rollout).await;
            }
            match stopped {
                Stopped::Failed(problem) => {
                    journal::say(control, id, phase, format!("failed: {problem}")).await;
                    DeployEnd::Failed { phase, problem }
                }
                Stopped::Cancelled => {
                    journal::say(control, id, phase, "cancelled by a person").await;
                    DeployEnd::Cancelled
                }
                Stopped::Ended => return,
            }
        }
    };
    tracing::info!(%app, deploy = %id, ?end, "deploy ended");
    control.metrics.deployed(app, &end, began.elapsed());
    let mut persist = Persist::new("the end of a deploy");
    while let Err(error) = control.store.end_deploy(id, &end, Timestamp::now()).await {
        persist.failed(error).await;
    }
    control.wake.changed();
}

/// The steps: validate, the commands before, start, wait until ready, (a canary,) switch, verify, drain.
async fn execute(
    control: &Control,
    job: &StoredDeploy,
    signals: &Signals,
    phase: &mut DeployPhase,
    slot: &mut Option<Change>,
    rollout: &mut Rollout,
) -> Result<(), Stopped> {
    let before_switch = before_switch(control, job, signals, phase, slot, rollout);
    tokio::select! {
        () = signals.cancel.cancelled() => return Err(Stopped::Cancelled),
        ready = before_switch => ready?,
    }
    let Some(change) = slot.as_ref() else {
        return Ok(());
    };
    let id = job.deploy.id;
    let is_release = job.work == DeployWork::Release;
    let limit = millis(control.settings().proxy_timeout);
    enter(control, job, phase, DeployPhase::Switch, Some(limit)).await?;
    let watched = if is_release {
        verify::Watch::of(control, &change.release).await
    } else {
        None
    };
    let old = rollout.still_to_retire(change);
    let admit = rollout.not_admitted();
    switch(control, job, change, &admit, &old).await?;
    let told = format!(
        "{} new instances serve in place of {}",
        rollout.started.len(),
        change.retire.len()
    );
    journal::say(control, id, DeployPhase::Switch, told).await;
    let rule = &change.release.spec.rollout.verify;
    let verifies = is_release
        && verify::may_be_rolled_back(&change.release)
        && (rule.command.is_some() || rule.hold_ms > 0);
    if verifies {
        let limit = rule.hold_ms
            + rule
                .command
                .as_ref()
                .map_or(0, |command| command.timeout_ms);
        enter(control, job, phase, DeployPhase::Verify, Some(limit)).await?;
        if let Err(problem) = verify::hold(control, job, change, &rollout.started).await {
            return Err(take_back(control, job, change, rollout, &old, problem)
                .await
                .into());
        }
    }
    let grace = change
        .wanted
        .recipes
        .values()
        .map(|recipe| recipe.grace)
        .max();
    enter(control, job, phase, DeployPhase::Drain, grace.map(millis)).await?;
    let cut = rollout::end(control, change, old.clone()).await;
    if !old.is_empty() {
        let told = match cut {
            0 => format!("{} old instances ended, no request was cut", old.len()),
            cut => format!(
                "{} old instances ended; {cut} requests took longer than the grace time",
                old.len()
            ),
        };
        journal::say(control, id, DeployPhase::Drain, told).await;
    }
    if let Some(watch) = watched {
        verify::watch(control, watch);
    }
    Ok(())
}

/// All that happens while what serves is untouched. Without a change the work was done already.
async fn before_switch(
    control: &Control,
    job: &StoredDeploy,
    signals: &Signals,
    phase: &mut DeployPhase,
    slot: &mut Option<Change>,
    rollout: &mut Rollout,
) -> Result<(), Stopped> {
    let id = job.deploy.id;
    enter(control, job, phase, DeployPhase::Validate, None).await?;
    *slot = change::validate(control, job).await?;
    let Some(change) = slot.as_ref() else {
        return Ok(());
    };
    let spec = &change.release.spec;
    let is_release = job.work == DeployWork::Release;
    if let Some(command) = spec.release.as_ref().filter(|_| is_release) {
        enter(
            control,
            job,
            phase,
            DeployPhase::Release,
            Some(command.timeout_ms),
        )
        .await?;
        commands::release(control, job, change, command).await?;
    }
    if let Some(command) = spec.once.as_ref().filter(|_| is_release)
        && commands::once_is_due(control, change).await?
    {
        enter(
            control,
            job,
            phase,
            DeployPhase::Once,
            Some(command.timeout_ms),
        )
        .await?;
        commands::once(control, job, change, command).await?;
    }
    let commanded = is_release && (spec.release.is_some() || spec.once.is_some());
    strays::mark(control, change.release.build, commanded);
    let start_ms = change
        .start
        .iter()
        .map(|recipe| recipe.health.start_ms)
        .max();
    enter(control, job, phase, DeployPhase::Start, None).await?;
    match strategy(job, change) {
        Strategy::BlueGreen => {
            let ids = rollout::start(control, id, change.start.clone(), rollout).await?;
            enter(control, job, phase, DeployPhase::Ready, start_ms).await?;
            rollout::wait_until_ready(control, id, change, &ids).await?;
        }
        Strategy::Rolling {
            max_extra,
            max_missing,
        } => {
            rollout::rolling(control, id, change, (max_extra, max_missing), rollout).await?;
            enter(control, job, phase, DeployPhase::Ready, start_ms).await?;
        }
        Strategy::Canary(canary) => {
            enter(control, job, phase, DeployPhase::Canary, None).await?;
            rollout::canary(control, id, change, &canary, &signals.promote, rollout).await?;
        }
    }
    Ok(())
}

/// In which order instances are replaced: what the release says, where there is something to replace.
fn strategy(job: &StoredDeploy, change: &Change) -> Strategy {
    let serves = change.before.is_some() && !change.retire.is_empty();
    let said = change.release.spec.rollout.strategy.clone();
    match (&job.work, said) {
        _ if !serves || change.wanted.stopped => Strategy::BlueGreen,
        (DeployWork::Release, said) => said,
        (DeployWork::Restart { .. }, said @ Strategy::Rolling { .. }) => said,
        (DeployWork::Restart { .. }, _) => Strategy::Rolling {
            max_extra: 1,
            max_missing: 0,
        },
        _ => Strategy::BlueGreen,
    }
}

async fn enter(
    control: &Control,
    job: &StoredDeploy,
    current: &mut DeployPhase,
    phase: DeployPhase,
    limit_ms: Option<u64>,
) -> Result<(), Stopped> {
    let active = control
        .store
        .enter_phase(job.deploy.id, phase, limit_ms, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.changed();
    *current = phase;
    if active { Ok(()) } else { Err(Stopped::Ended) }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The moment in which the new instances serve: the proxy takes the table, then the store says so. A control that dies
/// between both brings the old table back, whose instances still run.
async fn switch(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    admit: &[InstanceId],
    retire: &[InstanceId],
) -> Result<(), Problem> {
    let app = &change.release.app;
    let (reply, answer) = oneshot::channel();
    let propose = Event::Propose {
        wanted: Box::new(change.wanted.clone()),
        admit: admit.to_vec(),
        retire: retire.to_vec(),
        reply,
    };
    control.tell(propose).await;
    let generation = match answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))?
    {
        Ok(generation) => generation,
        Err(problem) => {
            return Err(failure::lost_before_switch(
                control,
                change.release.as_ref(),
                admit,
                problem,
            )
            .await);
        }
    };
    let applied = rollout::applied(control, generation).await;
    let committed = match applied {
        Ok(()) => control
            .store
            .commit_switch(job)
            .await
            .map_err(problem::store),
        Err(problem) => Err(problem),
    };
    match committed {
        Ok(()) => {
            control.tell(Event::Commit { app: app.clone() }).await;
            Ok(())
        }
        Err(problem) => {
            control.tell(Event::Withdraw { app: app.clone() }).await;
            Err(problem)
        }
    }
}

/// The release did not do well right after its switch: what served before serves again, at once where it still runs. Gives
/// the problem with what became of it.
async fn take_back(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    rollout: &Rollout,
    old: &[InstanceId],
    problem: Problem,
) -> Problem {
    let Some(before) = &change.before else {
        return problem.cause("no release served before it, so it goes on serving");
    };
    let number = before.release.number;
    let back = if old.len() == change.retire.len() {
        switch_back(control, job, change, old, &rollout.started, &problem).await
    } else {
        Err(Problem::failed("its instances have ended already"))
    };
    match back {
        Ok(()) => problem.cause(format!("{number} serves again")),
        Err(why) => {
            let words = format!("{number} is brought back as a new release: {why}");
            journal::say(control, job.deploy.id, DeployPhase::Verify, words).await;
            match verify::roll_back(control, &before.release, &problem.message).await {
                Ok(()) => problem.cause(format!("{number} is on its way back as a new release")),
                Err(error) => problem.cause(format!("{number} could not be brought back: {error}")),
            }
        }
    }
}

async fn switch_back(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    old: &[InstanceId],
    new: &[InstanceId],
    why: &Problem,
) -> Result<(), Problem> {
    let Some(before) = &change.before else {
        return Err(Problem::internal("there is nothing to switch back to"));
    };
    let app = &change.release.app;
    let (reply, answer) = oneshot::channel();
    control
        .tell(Event::Propose {
            wanted: Box::new(before.clone()),
            admit: old.to_vec(),
            retire: new.to_vec(),
            reply,
        })
        .await;
    let generation = answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))??;
    let mut done = rollout::applied(control, generation).await;
    if done.is_ok() {
        done = control
            .store
            .revert_switch(job, before.release.number, why)
            .await
            .map_err(problem::store);
    }
    if let Err(problem) = done {
        control.tell(Event::Withdraw { app: app.clone() }).await;
        return Err(problem);
    }
    control.tell(Event::Commit { app: app.clone() }).await;
    rollout::end(control, change, new.to_vec()).await;
    Ok(())
}
