//! Deploys: a release (or a change of what runs) on its way into service.
//!
//! [`queue`] runs the deploys of different apps side by side and those of one app one after the other; [`steps`] is
//! what a deploy does; [`failure`] says why one failed. Only this module writes a deploy's state.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use launchway_model::api::{ChangeAccepted, RollbackRequest};
use launchway_model::deploy::{
    Deploy, DeployPhase, DeployReport, DeployState, OnceRecord, OnceState, ReleaseState,
};
use launchway_model::instance::Exit;
use launchway_model::{AppName, DeployId, InstanceId, Problem, ReleaseNumber};
use launchway_store::{DeployEnd, NewRelease};
use launchway_supervisor::ShimHandle;

use crate::{Control, problem};

mod change;
mod commands;
mod failure;
mod journal;
pub(crate) mod queue;
mod rollout;
mod steps;
mod verify;

pub(crate) use change::{process_type, unknown_process};
use steps::Signals;

/// The deploys that run, and what they took over from a control that ended.
#[derive(Default)]
pub(crate) struct Deploying {
    running: Mutex<HashMap<DeployId, Signals>>,
    commands: Mutex<Vec<ShimHandle>>,
    /// How commands ended that nobody saw end.
    ended: Mutex<Vec<(InstanceId, Exit)>>,
}

impl Deploying {
    /// Keeps a command that outlived a control, for the deploy that is resumed.
    pub(crate) fn keep_command(&self, shim: ShimHandle) {
        locked(&self.commands).push(shim);
    }

    /// Notes how a command ended while no control was there.
    pub(crate) fn keep_ended(&self, instance: InstanceId, exit: Exit) {
        locked(&self.ended).push((instance, exit));
    }

    /// A command of a release that is still running from before.
    fn take_command(
        &self,
        app: &AppName,
        release: ReleaseNumber,
        process: &str,
    ) -> Option<ShimHandle> {
        let mut kept = locked(&self.commands);
        let place = kept
            .iter()
            .position(|shim| is_of(shim.instance(), app, release, process))?;
        Some(kept.swap_remove(place))
    }

    /// Whether there is such a command.
    fn has_command(&self, app: &AppName, release: ReleaseNumber, process: &str) -> bool {
        locked(&self.commands)
            .iter()
            .any(|shim| is_of(shim.instance(), app, release, process))
    }

    /// How the newest such command of an app ended while no control was there.
    fn take_ended(&self, app: &AppName, process: &str) -> Option<Exit> {
        let mut ended = locked(&self.ended);
        let place = ended
            .iter()
            .rposition(|(id, _)| id.app() == app && id.process().as_str() == process)?;
        Some(ended.swap_remove(place).1)
    }

    fn begin(&self, id: DeployId) -> Signals {
        let signals = Signals::default();
        locked(&self.running).insert(id, signals.clone());
        signals
    }

    fn end(&self, id: DeployId) {
        locked(&self.running).remove(&id);
    }

    fn cancel(&self, id: DeployId) -> bool {
        let running = locked(&self.running);
        running
            .get(&id)
            .inspect(|signals| signals.cancel.cancel())
            .is_some()
    }

    fn promote(&self, id: DeployId) -> bool {
        let running = locked(&self.running);
        running
            .get(&id)
            .inspect(|signals| signals.promote.notify_one())
            .is_some()
    }
}

fn is_of(id: &InstanceId, app: &AppName, release: ReleaseNumber, process: &str) -> bool {
    id.app() == app && id.release() == release && id.process().as_str() == process
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deploys of an app, newest first.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(control: &Control, app: &AppName, limit: u32) -> Result<Vec<Deploy>, Problem> {
    control.app(app).await?;
    let deploys = control
        .store
        .deploys(app, limit)
        .await
        .map_err(problem::store)?;
    Ok(deploys.into_iter().map(|stored| stored.deploy).collect())
}

/// One deploy.
///
/// # Errors
/// It does not exist, or the store fails.
pub async fn get(control: &Control, id: DeployId) -> Result<Deploy, Problem> {
    let stored = control.store.deploy(id).await.map_err(problem::store)?;
    stored
        .map(|stored| stored.deploy)
        .ok_or_else(|| Problem::not_found(format!("there is no deploy {id}")))
}

/// One deploy with the log of its phases.
///
/// # Errors
/// It does not exist, or the store fails.
pub async fn report(control: &Control, id: DeployId) -> Result<DeployReport, Problem> {
    let stored = control.store.deploy(id).await.map_err(problem::store)?;
    let stored = stored.ok_or_else(|| Problem::not_found(format!("there is no deploy {id}")))?;
    let log = control
        .store
        .deploy_log(id, 0)
        .await
        .map_err(problem::store)?;
    let release = control
        .store
        .release(&stored.deploy.app, stored.deploy.release)
        .await
        .map_err(problem::store)?;
    Ok(DeployReport {
        build: stored.build.or(release.map(|release| release.build)),
        ended: stored.ended,
        log: log.into_iter().map(|(_, line)| line).collect(),
        deploy: stored.deploy,
    })
}

/// Promotes a canary: it goes on to the switch, whatever is left of its steps.
///
/// # Errors
/// The deploy does not exist, is no canary that runs, or the store fails.
pub async fn promote(control: &Control, id: DeployId) -> Result<(), Problem> {
    let deploy = get(control, id).await?;
    let is_canary = matches!(
        deploy.state,
        DeployState::Running {
            phase: DeployPhase::Canary
        }
    );
    if !is_canary || !control.deploying.promote(id) {
        return Err(
            Problem::conflict(format!("deploy {id} is no canary that runs")).hint(format!(
                "`launchway deploys show {id}` says where it stands."
            )),
        );
    }
    Ok(())
}

/// What is known of the command that runs once in an app's life.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn once(control: &Control, app: &AppName) -> Result<Option<OnceRecord>, Problem> {
    control.app(app).await?;
    control.store.once(app).await.map_err(problem::store)
}

/// Says that the work of the command that runs once is done (it is never run again), or that it is not (the next deploy
/// runs it).
///
/// # Errors
/// The app does not exist, the command runs just now, or the store fails.
pub async fn settle_once(control: &Control, app: &AppName, done: bool) -> Result<(), Problem> {
    let active = control
        .store
        .active_deploys()
        .await
        .map_err(problem::store)?;
    let runs = active.iter().any(|job| {
        let phase = DeployPhase::Once;
        job.deploy.app == *app && job.deploy.state == DeployState::Running { phase }
    });
    if runs {
        return Err(Problem::conflict("the once command runs just now"));
    }
    control.app(app).await?;
    let store = &control.store;
    let settled = if done {
        let words = "a person said so";
        store
            .end_once(app, OnceState::Done, words, Timestamp::now())
            .await
    } else {
        store.forget_once(app).await
    };
    settled.map_err(problem::store)
}

/// Cancels a deploy that waits or has not switched yet; what serves goes on serving.
///
/// # Errors
/// It does not exist, has switched or ended already, or the store fails.
pub async fn cancel(control: &Control, id: DeployId) -> Result<(), Problem> {
    match get(control, id).await?.state {
        DeployState::Running { phase } if phase < DeployPhase::Switch => {}
        DeployState::Running { .. } => {
            return Err(
                Problem::conflict(format!("deploy {id} has switched already"))
                    .hint("`launchway rollback` brings the release before back."),
            );
        }
        _ => return Err(Problem::conflict(format!("deploy {id} has ended already"))),
    }
    if !control.deploying.cancel(id) {
        // It waits; the one that runs it finds it ended.
        control
            .store
            .end_deploy(id, &DeployEnd::Cancelled, Timestamp::now())
            .await
            .map_err(problem::store)?;
        control.wake.changed();
    }
    Ok(())
}

/// Brings an earlier release back into service, as a new release with its tree and today's configuration.
///
/// # Errors
/// There is no such release, it never served, its tree is not kept any more, or the store fails.
pub async fn rollback(
    control: &Control,
    app: &AppName,
    request: RollbackRequest,
) -> Result<ChangeAccepted, Problem> {
    let stored = control.app(app).await?;
    let target = match request.release {
        Some(number) => crate::releases::get(control, app, number).await?,
        None => {
            let Some(serving) = stored.serving else {
                return Err(Problem::conflict(format!(
                    "{app} has no release to go back from"
                )));
            };
            let before = served_before(control, app, serving).await?;
            before.ok_or_else(|| {
                Problem::conflict(format!("no release of {app} served before {serving}"))
                    .hint(format!("`launchway releases --app {app}` lists all."))
            })?
        }
    };
    if stored.serving == Some(target.number) {
        return Err(Problem::conflict(format!(
            "{} serves already",
            target.number
        )));
    }
    if let ReleaseState::Refused { .. } = target.state {
        return Err(Problem::conflict(format!("{} never served", target.number))
            .hint("Roll back to a release that did, or deploy a commit that mends it."));
    }
    if !control.settings().home.tree(app, target.build).exists() {
        return Err(Problem::conflict(format!(
            "the files of {} are not kept any more",
            target.number
        ))
        .hint(format!(
            "Deploy its commit again: `launchway deploy --app {app} --commit {}`.",
            target.commit
        )));
    }
    let release = NewRelease {
        app: app.clone(),
        build: target.build,
        commit: target.commit,
        subject: target.subject,
        spec: target.spec,
        config_version: None,
        cause: format!("rollback to {}", target.number),
    };
    let (release, deploy) = control
        .store
        .create_release(&release, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.deploys.notify_one();
    control.wake.changed();
    Ok(ChangeAccepted {
        deploy: Some(deploy),
        release: Some(release),
    })
}

/// The release that served before, told apart by its build: after a rollback, "before" is not what was rolled back from.
async fn served_before(
    control: &Control,
    app: &AppName,
    serving: ReleaseNumber,
) -> Result<Option<launchway_model::deploy::Release>, Problem> {
    let current = control
        .store
        .release(app, serving)
        .await
        .map_err(problem::store)?
        .map(|release| release.build);
    let mut before = serving;
    while let Some(candidate) = control
        .store
        .served_before(app, before)
        .await
        .map_err(problem::store)?
    {
        // A release that only changed the configuration, or a rollback, has the same tree as what serves.
        if Some(candidate.build) != current {
            return Ok(Some(candidate));
        }
        before = candidate.number;
    }
    Ok(None)
}
