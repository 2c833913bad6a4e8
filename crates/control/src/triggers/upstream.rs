//! What follows the end of a build: its pipeline's triggers count from now on, and builds of apps that wait for this one start.

use jiff::Timestamp;
use launchway_model::build::{BuildRequest, BuildResult};
use launchway_model::trigger::TriggerSpec;

use super::look;
use crate::{Control, problem};

/// A build's plan is known: the schedule that it names is its branch's.
pub(crate) async fn planned(control: &Control, request: &BuildRequest, triggers: &[TriggerSpec]) {
    // A stranger's pipeline decides nothing beyond its own build.
    if request.origin.is_foreign() {
        return;
    }
    let written = control
        .store
        .set_branch_triggers(request, triggers, Timestamp::now())
        .await;
    if let Err(error) = written {
        tracing::error!(error = %problem::store(error), "a branch's triggers cannot be written");
    }
    control.looking.scheduled.notify_one();
}

/// A build ended: those start that wait for it.
pub(crate) async fn ended(control: &Control, request: &BuildRequest, result: BuildResult) {
    let owner = request.origin.preview_of.as_ref().unwrap_or(&request.app);
    // A pull request's build says nothing of what others build upon.
    if request.origin.change.is_some() {
        return;
    }
    let branches = match control.store.triggered_branches().await {
        Ok(branches) => branches,
        Err(error) => {
            tracing::error!(error = %problem::store(error), "what waits for a build cannot be read");
            return;
        }
    };
    let name = owner.as_str();
    let main = control.app(owner).await.ok().and_then(|app| app.branch);
    let waits = |trigger: &TriggerSpec| match trigger {
        TriggerSpec::Upstream {
            projects,
            threshold,
        } => {
            result <= *threshold
                && projects
                    .iter()
                    .any(|project| match project.split_once('/') {
                        None => project == name && main == request.branch,
                        Some((app, branch)) => {
                            app == name
                                && request.branch.as_deref() == Some(&branch.replace("%2F", "/"))
                        }
                    })
        }
        TriggerSpec::Cron { .. } | TriggerSpec::Poll { .. } => false,
    };
    for stored in branches {
        let itself = stored.app == *owner && request.branch.as_ref() == Some(&stored.branch.name);
        if itself || !stored.branch.triggers.iter().any(waits) {
            continue;
        }
        if let Err(problem) = look::build_again(control, &stored, "upstream").await {
            tracing::warn!(app = %stored.app, branch = stored.branch.name, %problem, "a build after another one cannot be queued");
        }
    }
}
