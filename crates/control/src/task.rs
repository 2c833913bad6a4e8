//! Commands that run once in a release's tree and environment: release commands and one-off commands.
//!
//! They run under a shim like everything else, so that they outlive control, keep their log, and leave no process
//! behind; but they are never started again and the loop of `reconcile` knows nothing of them.

use std::path::PathBuf;

use launchway_model::instance::{Exit, InstanceState};
use launchway_model::shim::ShimSpec;
use launchway_model::{InstanceId, Problem};
use launchway_store::Counter;
use launchway_supervisor::{ShimHandle, ShimLink};

use crate::recipe::Recipe;
use crate::{Control, networks, problem};

/// The process type of release commands.
pub(crate) const RELEASE: &str = "release";
/// The process type of the command that runs once in an app's life.
pub(crate) const ONCE: &str = "once";
/// The process type of commands that say whether a release does well.
pub(crate) const VERIFY: &str = "verify";
/// The process types of commands that a resumed deploy takes up.
pub(crate) const OF_DEPLOYS: [&str; 3] = [RELEASE, ONCE, VERIFY];
/// The process type of one-off commands.
pub(crate) const RUN: &str = "run";

/// A variable of commands that go on when control ends: detached one-off commands and runs by the clock, whose number it
/// holds.
pub(crate) const OUTLIVES: &str = "LAUNCHWAY_RUN";

/// Whether a command goes on when control ends.
pub(crate) fn outlives_control(spec: &ShimSpec) -> bool {
    spec.env.contains_key(OUTLIVES)
}

/// Starts a command.
pub(crate) async fn start(control: &Control, recipe: &Recipe) -> Result<ShimHandle, Problem> {
    let serial = control
        .store
        .count_up(Counter::Instance, 0)
        .await
        .map_err(problem::store)?;
    let id = InstanceId::new(
        recipe.app.clone(),
        recipe.process.clone(),
        recipe.release,
        serial,
    );
    let seat = networks::seat(control, &id, &recipe.network).await?;
    let started = match recipe.shim_spec(control, &id, None, seat) {
        Ok(spec) => control
            .supervisor
            .start(spec)
            .await
            .map_err(|error| problem::supervisor(&error)),
        Err(problem) => Err(problem),
    };
    if started.is_err() {
        networks::leave(control, id.serial()).await;
    }
    started
}

/// Waits for the end of a command, and removes what it leaves but its log. None where its shim died with it.
pub(crate) async fn finished(control: &Control, shim: &ShimHandle) -> Option<Exit> {
    let mut views = shim.watch();
    let exit = match views.wait_for(|view| view.link != ShimLink::Live).await {
        Ok(view) => match view.status.state {
            InstanceState::Stopped { exit } => exit.or(view.status.last_exit),
            _ => view
                .status
                .last_exit
                .filter(|_| view.link == ShimLink::Ended),
        },
        Err(_) => None,
    };
    remove(control, shim.instance()).await;
    exit
}

/// Ends a command before its time.
pub(crate) async fn stop(control: &Control, shim: &ShimHandle) {
    if let Err(error) = shim.stop(None).await {
        tracing::debug!(instance = %shim.instance(), %error, "a command could not be stopped");
    }
    remove(control, shim.instance()).await;
}

/// Where a command's output is.
pub(crate) fn log(control: &Control, shim: &ShimHandle) -> PathBuf {
    control.settings().home.instance_log(shim.instance())
}

async fn remove(control: &Control, id: &InstanceId) {
    if let Err(error) = control.supervisor.remove(id).await {
        tracing::warn!(instance = %id, %error, "a command's folder could not be removed");
    }
    networks::leave(control, id.serial()).await;
}
