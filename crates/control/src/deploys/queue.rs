//! Who deploys when: apps side by side, the deploys of one app one after the other, oldest first. (Of waiting
//! releases the store keeps only the newest.)

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use launchway_model::AppName;
use launchway_store::StoredDeploy;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{steps, verify};
use crate::Control;

/// How long after the store could not be read it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs deploys until the end. A deploy that was under way when control ended begins again from its record.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut busy: HashSet<AppName> = HashSet::new();
    let mut running: JoinSet<AppName> = JoinSet::new();
    if let Err(problem) = verify::resume(&control).await {
        tracing::warn!(%problem, "new releases are not watched");
    }
    loop {
        let mut readable = true;
        match control.store.active_deploys().await {
            Ok(active) => {
                for job in active {
                    let app = job.deploy.app.clone();
                    if busy.insert(app) {
                        running.spawn(one(control.clone(), job));
                    }
                }
            }
            Err(error) => {
                tracing::error!(error = %crate::problem::store(error), "the waiting deploys cannot be read");
                readable = false;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = control.wake.deploys.notified() => {}
            () = tokio::time::sleep(RETRY), if !readable => {}
            Some(ended) = running.join_next() => match ended {
                Ok(app) => {
                    busy.remove(&app);
                }
                Err(error) => {
                    // A panic is a fault of ours; the app's deploys are looked at again all the same.
                    tracing::error!(%error, "a deploy ended badly");
                    busy.clear();
                }
            }
        }
    }
    // What has not switched is begun again by the next control; a switch is short and atomic in the store.
    running.shutdown().await;
}

async fn one(control: Arc<Control>, job: StoredDeploy) -> AppName {
    let id = job.deploy.id;
    let signals = control.deploying.begin(id);
    steps::run(&control, &job, signals).await;
    control.deploying.end(id);
    job.deploy.app
}
