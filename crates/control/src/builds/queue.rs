//! Which build runs when: some at once, of each app one at a time, oldest first. (Of the waiting builds of a branch the
//! store keeps only the newest.)

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::AppName;
use launchway_model::build::BuildState;
use launchway_store::StoredBuild;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::drive;
use crate::Control;

/// How long after the store could not be read it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs builds until the end; runners go on without control, and are followed again by the next.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut busy: HashSet<AppName> = HashSet::new();
    let mut running: JoinSet<AppName> = JoinSet::new();
    loop {
        let mut readable = true;
        match control.store.active_builds().await {
            Ok(active) => {
                // Those that run come first: after a restart they are followed again, whatever the limit says.
                for stored in active
                    .iter()
                    .filter(|stored| matches!(stored.build.state, BuildState::Running { .. }))
                {
                    if busy.insert(stored.build.request.app.clone()) {
                        running.spawn(one(control.clone(), stored.clone()));
                    }
                }
                for stored in &active {
                    consider(&control, stored, &mut busy, &mut running).await;
                }
            }
            Err(error) => {
                tracing::error!(error = %crate::problem::store(error), "the waiting builds cannot be read");
                readable = false;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = control.wake.builds.notified() => {}
            () = tokio::time::sleep(RETRY), if !readable => {}
            Some(ended) = running.join_next() => match ended {
                Ok(app) => {
                    busy.remove(&app);
                }
                Err(error) => {
                    // A panic is a fault of ours; what it followed is followed again.
                    tracing::error!(%error, "following a build ended badly");
                    busy.clear();
                    running.shutdown().await;
                }
            }
        }
    }
    running.shutdown().await;
}

/// Starts a waiting build, or says why it waits.
async fn consider(
    control: &Arc<Control>,
    stored: &StoredBuild,
    busy: &mut HashSet<AppName>,
    running: &mut JoinSet<AppName>,
) {
    let BuildState::Queued { reason } = &stored.build.state else {
        return;
    };
    let (id, app) = (stored.build.id, &stored.build.request.app);
    let waits_for = if busy.contains(app) {
        format!("another build of {app} runs")
    } else if running.len() >= control.settings().builds.max(1) {
        format!("{} builds run already", running.len())
    } else {
        let now = Timestamp::now();
        match control.store.begin_build(id, now).await {
            Ok(true) => {
                busy.insert(app.clone());
                let mut stored = stored.clone();
                stored.build.state = BuildState::Running { since: now };
                running.spawn(one(control.clone(), stored));
                control.wake.changed();
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, build = %id, "a build cannot be started"),
        }
        return;
    };
    if *reason != waits_for {
        if let Err(error) = control.store.explain_wait(id, &waits_for).await {
            tracing::warn!(%error, build = %id, "why a build waits cannot be written");
        }
        control.wake.changed();
    }
}

async fn one(control: Arc<Control>, stored: StoredBuild) -> AppName {
    let app = stored.build.request.app.clone();
    drive::run(&control, stored).await;
    app
}
