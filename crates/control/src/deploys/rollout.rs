//! How instances take each other's place: all at once beside the old ones, a few at a time, or on a part of the requests
//! first.
//!
//! A [`Rollout`] holds what was begun, so that whoever ends a deploy before its time (a failure, a person) can undo it:
//! what serves afterwards is what served before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use launchway_model::app::CanarySpec;
use launchway_model::deploy::DeployPhase;
use launchway_model::instance::InstanceState;
use launchway_model::{AppName, DeployId, InstanceId, Problem, ProcessType};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::change::{Change, with_port};
use super::{failure, journal, verify};
use crate::Control;
use crate::recipe::Recipe;
use crate::reconcile::{CanaryWanted, Event, Observed};

/// How often a canary is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a deploy has begun.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// The new instances, oldest first.
    pub(super) started: Vec<InstanceId>,
    /// Those of them that take requests already, before the switch.
    admitted: Vec<InstanceId>,
    /// The old instances that ended already, before the switch.
    ended: Vec<InstanceId>,
    /// Whether the loop leaves the app to the deploy.
    held: bool,
    /// Whether some of the new instances are a canary.
    canary: bool,
}

impl Rollout {
    /// The old instances that are left to end after the switch.
    pub(super) fn still_to_retire(&self, change: &Change) -> Vec<InstanceId> {
        let left = change.retire.iter().filter(|id| !self.ended.contains(id));
        left.cloned().collect()
    }

    /// The new instances that take requests from the switch on.
    pub(super) fn not_admitted(&self) -> Vec<InstanceId> {
        let new = self.started.iter().filter(|id| !self.admitted.contains(id));
        new.cloned().collect()
    }
}

/// Starts instances; they are in the rollout from then on.
pub(super) async fn start(
    control: &Control,
    deploy: DeployId,
    recipes: Vec<Arc<Recipe>>,
    rollout: &mut Rollout,
) -> Result<Vec<InstanceId>, Problem> {
    let (reply, answer) = oneshot::channel();
    control.tell(Event::Start { recipes, reply }).await;
    let ids = answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))??;
    rollout.started.extend(ids.iter().cloned());
    for id in &ids {
        let port = {
            let observed = control.observed.borrow();
            observed.instances.get(id).and_then(|seen| seen.port)
        };
        let place = port.map_or_else(String::new, |port| format!(" on port {port}"));
        journal::say(
            control,
            deploy,
            DeployPhase::Start,
            format!("{id} is started{place}"),
        )
        .await;
    }
    Ok(ids)
}

/// Waits until all candidates are ready, or one of them cannot become it.
pub(super) async fn wait_until_ready(
    control: &Control,
    deploy: DeployId,
    change: &Change,
    started: &[InstanceId],
) -> Result<(), Problem> {
    let began = Instant::now();
    let limit = started
        .iter()
        .filter_map(|id| change.wanted.recipes.get(id.process()))
        .map(|recipe| recipe.health.start_ms)
        .max()
        .unwrap_or(change.release.spec.health.start_ms);
    let deadline = began + Duration::from_millis(limit);
    let mut observed = control.observed.clone();
    let mut told: Vec<InstanceId> = Vec::new();
    loop {
        let verdict = {
            let observed = observed.borrow_and_update();
            failure::judge(&observed, started, deadline)
        };
        let ready = newly_ready(&observed.borrow(), started, &told);
        for id in ready {
            let text = format!("{id} is ready after {} ms", began.elapsed().as_millis());
            journal::say(control, deploy, DeployPhase::Ready, text).await;
            told.push(id);
        }
        let look_again = match verdict {
            failure::Verdict::Ready => {
                let ended = main_processes(&observed.borrow(), started)
                    .into_iter()
                    .any(has_ended);
                if !ended {
                    return Ok(());
                }
                // A child answers, but the main process is gone: its shim is about to say so.
                Instant::now() + Duration::from_millis(20)
            }
            failure::Verdict::Failed { id, why } => {
                return Err(failure::explain(control, change.release.as_ref(), &id, &why).await);
            }
            failure::Verdict::Wait { until } => until,
        };
        tokio::select! {
            changed = observed.changed() => {
                changed.map_err(|_| Problem::unavailable("control is ending"))?;
            }
            () = tokio::time::sleep_until(look_again) => {}
        }
    }
}

fn newly_ready(
    observed: &Observed,
    started: &[InstanceId],
    told: &[InstanceId],
) -> Vec<InstanceId> {
    let ready = started.iter().filter(|id| {
        !told.contains(id) && observed.instances.get(*id).is_some_and(|seen| seen.ready)
    });
    ready.cloned().collect()
}

/// The main processes that the shims of these instances speak of.
fn main_processes(observed: &Observed, started: &[InstanceId]) -> Vec<u32> {
    let states = started
        .iter()
        .filter_map(|id| observed.instances.get(id).map(|seen| &seen.status));
    states
        .filter_map(|state| match state {
            InstanceState::Running { pid, .. } => Some(*pid),
            _ => None,
        })
        .collect()
}

/// Whether a process is gone, or only waits for its parent to take note of its end.
fn has_ended(pid: u32) -> bool {
    // The state is the first field after the name, which stands in parentheses and may hold any: proc(5).
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    })
}

/// Replaces the instances of each process type a few at a time. What is left to the switch is to say that the new
/// release is the one that is wanted.
pub(super) async fn rolling(
    control: &Control,
    deploy: DeployId,
    change: &Change,
    (max_extra, max_missing): (u32, u32),
    rollout: &mut Rollout,
) -> Result<(), Problem> {
    let mut by_process: BTreeMap<ProcessType, Vec<Arc<Recipe>>> = BTreeMap::new();
    for recipe in &change.start {
        by_process
            .entry(recipe.process.clone())
            .or_default()
            .push(recipe.clone());
    }
    for (process, mut recipes) in by_process {
        let mut old: Vec<InstanceId> = change
            .retire
            .iter()
            .filter(|id| *id.process() == process)
            .cloned()
            .collect();
        let wanted = recipes.len();
        let most = wanted + usize::try_from(max_extra).unwrap_or(usize::MAX);
        let least = wanted.saturating_sub(usize::try_from(max_missing).unwrap_or(usize::MAX));
        let mut new = 0;
        while !recipes.is_empty() {
            let running = old.len() + new;
            let room = most.saturating_sub(running).min(recipes.len());
            if room == 0 {
                // Only where old ones end first is there room.
                let surplus = running.saturating_sub(least).clamp(1, old.len().max(1));
                let ends: Vec<InstanceId> = old.drain(..surplus.min(old.len())).collect();
                if ends.is_empty() {
                    return Err(Problem::internal("a rolling deploy found no room"));
                }
                step(control, deploy, change, Vec::new(), ends, rollout).await?;
                continue;
            }
            let batch: Vec<Arc<Recipe>> = recipes.drain(..room).collect();
            let ids = start(control, deploy, batch, rollout).await?;
            wait_until_ready(control, deploy, change, &ids).await?;
            new += ids.len();
            let surplus = (old.len() + new).saturating_sub(wanted).min(old.len());
            let ends: Vec<InstanceId> = old.drain(..surplus).collect();
            step(control, deploy, change, ids, ends, rollout).await?;
        }
    }
    Ok(())
}

/// Lets new instances serve and old ones end, without a change of what is wanted.
async fn step(
    control: &Control,
    deploy: DeployId,
    change: &Change,
    admit: Vec<InstanceId>,
    retire: Vec<InstanceId>,
    rollout: &mut Rollout,
) -> Result<(), Problem> {
    let app = &change.release.app;
    rollout.held = true;
    exchange(control, app, &admit, &retire).await?;
    rollout.admitted.extend(admit.iter().cloned());
    rollout.ended.extend(retire.iter().cloned());
    let words = |ids: &[InstanceId]| {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let text = match (admit.as_slice(), retire.as_slice()) {
        (admit, []) => format!("{} serves", words(admit)),
        ([], retire) => format!("{} ends", words(retire)),
        (admit, retire) => format!("{} in place of {}", words(admit), words(retire)),
    };
    journal::say(control, deploy, DeployPhase::Start, text).await;
    end(control, change, retire).await;
    Ok(())
}

/// Changes who serves, and waits until the proxy has it.
async fn exchange(
    control: &Control,
    app: &AppName,
    admit: &[InstanceId],
    retire: &[InstanceId],
) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    let event = Event::Exchange {
        app: app.clone(),
        admit: admit.to_vec(),
        retire: retire.to_vec(),
        reply,
    };
    control.tell(event).await;
    let generation = answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))??;
    applied(control, generation).await
}

/// Waits until the proxy serves a generation.
pub(super) async fn applied(control: &Control, generation: u64) -> Result<(), Problem> {
    let limit = control.settings().proxy_timeout;
    match tokio::time::timeout(limit, control.proxy.applied(generation)).await {
        Ok(applied) => applied,
        Err(_) => Err(failure::no_proxy(limit)),
    }
}

/// Lets instances that no route names end their requests, and has them stopped. Gives what was cut.
pub(super) async fn end(control: &Control, change: &Change, ids: Vec<InstanceId>) -> u64 {
    let routed = with_port(control, &ids);
    let mut cut = 0;
    if !routed.is_empty() {
        let deadline = change
            .wanted
            .recipes
            .values()
            .chain(
                change
                    .before
                    .iter()
                    .flat_map(|before| before.recipes.values()),
            )
            .filter(|recipe| recipe.takes_requests())
            .map(|recipe| recipe.grace)
            .max()
            .unwrap_or(Duration::from_secs(10));
        for (id, requests) in control.proxy.drain(routed, deadline).await {
            tracing::warn!(instance = %id, requests, "requests were still in flight at the end of the drain");
            cut += requests;
        }
    }
    control.tell(Event::Discard { instances: ids }).await;
    cut
}

/// Tries the release on a part of the requests, more step by step. Afterwards all new instances are ready.
pub(super) async fn canary(
    control: &Control,
    deploy: DeployId,
    change: &Change,
    spec: &CanarySpec,
    promoted: &Notify,
    rollout: &mut Rollout,
) -> Result<(), Problem> {
    let app = &change.release.app;
    // A canary by header alone has no share.
    let steps: Vec<u8> = match spec.steps.as_slice() {
        [] => vec![0],
        steps => steps.to_vec(),
    };
    let mut watch = verify::Watch::new(control, &change.release).await;
    let last = steps.len() - 1;
    let mut left = change.start.clone();
    'steps: for (place, percent) in steps.into_iter().enumerate() {
        let batch = batch(&change.start, &mut left, percent);
        if !batch.is_empty() {
            let ids = start(control, deploy, batch, rollout).await?;
            wait_until_ready(control, deploy, change, &ids).await?;
        }
        let share = CanaryWanted {
            instances: rollout.started.clone(),
            percent,
            header: spec.header.clone(),
        };
        rollout.canary = true;
        set_canary(control, app, Some(share)).await?;
        let who = match (&spec.header, percent) {
            (Some(header), 0) => format!("requests with the header {}", header.name),
            (Some(header), _) => {
                format!(
                    "{percent}% of the requests and those with the header {}",
                    header.name
                )
            }
            (None, _) => format!("{percent}% of the requests"),
        };
        journal::say(
            control,
            deploy,
            DeployPhase::Canary,
            format!("{who} go to {}", change.release.number),
        )
        .await;
        let until = Instant::now() + Duration::from_millis(spec.interval_ms);
        let waits_for_a_person = place == last && !spec.promote;
        if waits_for_a_person {
            let text = format!("waits for `launchway deploys promote {deploy}`");
            journal::say(control, deploy, DeployPhase::Canary, text).await;
        }
        while waits_for_a_person || Instant::now() < until {
            tokio::select! {
                () = promoted.notified() => {
                    journal::say(control, deploy, DeployPhase::Canary, "promoted by a person").await;
                    break 'steps;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let verdict =
                failure::judge(&control.observed.borrow(), &rollout.started, Instant::now());
            if let failure::Verdict::Failed { id, why } = verdict {
                return Err(failure::explain(control, change.release.as_ref(), &id, &why).await);
            }
            if let Some(reason) = watch.look(control).await {
                return Err(Problem::failed(format!("the canary did worse than {}: {reason}", watch.before()))
                    .cause(format!("{who} went to {}", change.release.number))
                    .hint("What served goes on serving all requests. `launchway logs` has what the canary said."));
            }
        }
    }
    if !left.is_empty() {
        let ids = start(control, deploy, left, rollout).await?;
        wait_until_ready(control, deploy, change, &ids).await?;
    }
    Ok(())
}

/// The instances to start for a share: as many of each process type that takes requests as have that share of the work,
/// at least one. Workers wait for the switch.
fn batch(all: &[Arc<Recipe>], left: &mut Vec<Arc<Recipe>>, percent: u8) -> Vec<Arc<Recipe>> {
    let mut count: BTreeMap<&ProcessType, usize> = BTreeMap::new();
    for recipe in all.iter().filter(|recipe| recipe.takes_requests()) {
        *count.entry(&recipe.process).or_default() += 1;
    }
    let mut batch = Vec::new();
    for (process, wanted) in count {
        let due = (wanted * usize::from(percent))
            .div_ceil(100)
            .clamp(1, wanted);
        let waiting = left
            .iter()
            .filter(|recipe| recipe.process == *process)
            .count();
        let mut missing = due.saturating_sub(wanted - waiting);
        left.retain(|recipe| {
            if missing > 0 && recipe.process == *process {
                missing -= 1;
                batch.push(recipe.clone());
                return false;
            }
            true
        });
    }
    batch
}

async fn set_canary(
    control: &Control,
    app: &AppName,
    canary: Option<CanaryWanted>,
) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    let event = Event::Canary {
        app: app.clone(),
        canary,
        reply,
    };
    control.tell(event).await;
    let generation = answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))?;
    applied(control, generation).await
}

/// Takes back what a deploy began, which did not come to its switch: the old instances serve as before, the new ones end
/// their requests and are gone.
pub(super) async fn undo(
    control: &Control,
    deploy: DeployId,
    change: Option<&Change>,
    app: &AppName,
    rollout: Rollout,
) {
    if rollout.canary
        && let Err(problem) = set_canary(control, app, None).await
    {
        tracing::warn!(%app, %problem, "the proxy still routes to a canary that ends");
    }
    let Some(change) = change.filter(|_| rollout.held || rollout.canary) else {
        control
            .tell(Event::Discard {
                instances: rollout.started,
            })
            .await;
        return;
    };
    if rollout.held
        && let Err(problem) = bring_back(control, deploy, change, &rollout).await
    {
        tracing::error!(%app, %problem, "the old instances could not be brought back at once");
    }
    if rollout.held {
        // From here on the loop looks after the app again, and starts what may still be missing.
        control.tell(Event::Release { app: app.clone() }).await;
    }
    end(control, change, rollout.started).await;
}

/// Starts as many old instances as have ended, and lets them serve in place of the new ones.
async fn bring_back(
    control: &Control,
    deploy: DeployId,
    change: &Change,
    rollout: &Rollout,
) -> Result<(), Problem> {
    let Some(before) = &change.before else {
        return Ok(());
    };
    let mut recipes = Vec::new();
    for id in &rollout.ended {
        recipes.extend(before.recipes.get(id.process()).cloned());
    }
    let mut back = Rollout::default();
    let ids = start(control, deploy, recipes, &mut back).await?;
    let ready = wait_until_ready(control, deploy, change, &ids).await;
    let text = match &ready {
        Ok(()) => format!(
            "{} instances of {} serve again",
            ids.len(),
            before.release.number
        ),
        Err(problem) => format!("{} cannot be started: {problem}", before.release.number),
    };
    journal::say(control, deploy, DeployPhase::Start, text).await;
    if let Err(problem) = ready {
        control.tell(Event::Discard { instances: ids }).await;
        return Err(problem);
    }
    exchange(control, &change.release.app, &ids, &rollout.admitted).await
}

#[cfg(test)]
mod tests;
