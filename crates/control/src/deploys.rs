//! Deploys: a release (or a change of what runs) on its way into service.
//!
//! [`queue`] runs the deploys of different apps side by side and those of one app one after the other; [`steps`] is
//! what a deploy does; [`failure`] says why one failed. Only this module writes a deploy's state.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use launchway_model::api::{ChangeAccepted, RollbackRequest};
use launchway_model::deploy::{Deploy, DeployPhase, DeployState, ReleaseState};
use launchway_model::{AppName, DeployId, Problem, ReleaseNumber};
use launchway_store::{DeployEnd, NewRelease};
use launchway_supervisor::ShimHandle;
use tokio_util::sync::CancellationToken;

use crate::{Control, problem};

mod failure;
pub(crate) mod queue;
mod steps;
mod verify;

pub(crate) use steps::{process_type, unknown_process};

/// The deploys that run, and what they took over from a control that ended.
#[derive(Debug, Default)]
pub(crate) struct Deploying {
    running: Mutex<HashMap<DeployId, CancellationToken>>,
    release_commands: Mutex<Vec<ShimHandle>>,
}

impl Deploying {
    /// Keeps a release command that outlived a control, for the deploy that is resumed.
    pub(crate) fn keep_release_command(&self, shim: ShimHandle) {
        self.release_commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shim);
    }

    /// The release command of a release that is still running from before.
    fn take_release_command(&self, app: &AppName, release: ReleaseNumber) -> Option<ShimHandle> {
        let mut kept = self
            .release_commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|shim| {
            shim.instance().app() == app && shim.instance().release() == release
        })?;
        Some(kept.swap_remove(place))
    }

    fn begin(&self, id: DeployId) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, cancel.clone());
        cancel
    }

    fn end(&self, id: DeployId) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    fn cancel(&self, id: DeployId) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&id).inspect(|cancel| cancel.cancel()).is_some()
    }
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
