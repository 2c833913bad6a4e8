//! A build on an agent: what the agent is given, and what becomes of the build when the agent is lost.
//!
//! The agent's deliveries make the same files in the build's folder as a runner of our own ([`crate::agents::receive`]), so
//! following it is [`super::drive`]'s.

use std::sync::Arc;
use std::time::Duration;

use launchway_model::Problem;
use launchway_model::agent::{Assignment, LeaseId, SILENT_MS};
use launchway_model::credential::RunnerSecrets;
use launchway_model::runner::{CANCEL_FILE, RunnerJob};
use launchway_pipeline::spool;
use launchway_store::StoredBuild;
use tokio::sync::Notify;

use crate::Control;
use crate::agents::{Lease, Loss, Patience};

/// A build on an agent, as its follower sees it.
#[derive(Debug)]
pub(super) struct Remote {
    lease: LeaseId,
    news: Arc<Notify>,
}

/// How an agent was lost.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    loss: Loss,
    agent: String,
}

impl Remote {
    /// The lease of a build, if it has one.
    pub(super) fn of(control: &Control, stored: &StoredBuild) -> Option<Self> {
        let (lease, _) = control.agents.lease_of(stored.build.id)?;
        let news = control.agents.news(lease)?;
        Some(Self { lease, news })
    }

    /// Tells the agent what there is to build, unless it has begun already.
    pub(super) fn offer(
        &self,
        control: &Control,
        stored: &StoredBuild,
        job: RunnerJob,
        secrets: RunnerSecrets,
    ) {
        let folder = control.settings().home.build(stored.build.id);
        let began =
            std::fs::metadata(spool::events_path(&folder)).is_ok_and(|found| found.len() > 0);
        let cancel = std::fs::read_to_string(folder.join(CANCEL_FILE)).ok();
        let assignment = (!began).then_some(Assignment {
            lease: self.lease,
            job,
            secrets,
            deliver_tree: stored.build.request.deploy,
        });
        control.agents.offer(self.lease, assignment, cancel);
    }

    /// Whether the agent is lost.
    pub(super) fn lost(&self, control: &Control) -> Option<Lost> {
        let patience = Patience {
            held: control.settings().agent_deadline,
            idle: Duration::from_millis(SILENT_MS).min(control.settings().agent_deadline),
        };
        match control.agents.look(self.lease, patience) {
            Some((Lease::Lost(loss), agent)) => Some(Lost { loss, agent }),
            Some(_) => None,
            None => Some(Lost {
                loss: Loss::Revoked,
                agent: String::new(),
            }),
        }
    }

    /// Waits until the agent delivered something, or it is time to look in any case.
    pub(super) async fn news(&self, at_most: Duration) {
        tokio::select! {
            () = self.news.notified() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    /// Ends the lease: what the agent still has of it goes.
    pub(super) async fn end(&self, control: &Control) {
        control.agents.end(self.lease);
        if let Err(error) = control.store.end_lease(self.lease).await {
            tracing::warn!(%error, lease = %self.lease, "the end of a lease cannot be written");
        }
    }
}

impl Lost {
    /// Whether the build was never begun, so that another try costs nothing.
    pub(super) fn is_free(&self) -> bool {
        self.loss == Loss::NeverTaken
    }

    /// The words for a build that ends by it.
    pub(super) fn problem(&self, deadline: Duration) -> Problem {
        let agent = &self.agent;
        let (message, hint) = match self.loss {
            Loss::NeverTaken => (
                format!("agent {agent} went away before it took the build"),
                "Build again.",
            ),
            Loss::Silent => (
                format!(
                    "agent {agent} was not heard of for {} s, and its build with it",
                    deadline.as_secs()
                ),
                "Look after the machine, then build again. `options { retry(2) }` lets a lost build be tried again by itself.",
            ),
            Loss::Forgotten => (
                format!("agent {agent} does not have the build any more"),
                "Its folder may have been removed while it was away. Build again.",
            ),
            Loss::Revoked => (
                "the token of the build's agent was revoked".to_owned(),
                "Build again; another machine takes it.",
            ),
        };
        Problem::failed(message).hint(hint)
    }
}
