//! The agent's one loop: says what it holds, does what it is told, until it is told to end or refused.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::ProblemKind;
use launchway_model::agent::{AGENT_PROTOCOL, Held, LeaseId, Orders, Report};
use launchway_supervisor::sandbox;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::build::{self, Bench, Handle};
use crate::folder::{Folder, LeaseFile};
use crate::link::{Link, LinkError};
use crate::{AgentError, Options, host};

/// The pauses between two tries of a link that is down.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long builds have to end once the agent is refused.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Runs until `cancel` or until control refuses the agent. Builds go on without the agent where it was only told to end, and end
/// where it was refused.
///
/// # Errors
/// As [`AgentError`].
pub async fn run(options: Options, cancel: CancellationToken) -> Result<(), AgentError> {
    let folder = Folder::open(&options.folder).map_err(AgentError::Folder)?;
    let _lock = folder.lock().map_err(AgentError::Folder)?;
    let link = Link::new(options.server.clone(), &options.token).map_err(AgentError::Server)?;
    // Asking the host takes some milliseconds.
    let can_mount = tokio::task::spawn_blocking(|| sandbox::abilities().can_mount())
        .await
        .unwrap_or(false);
    if !can_mount {
        tracing::warn!(
            "this machine allows no mount namespaces: trees are built in the agent's folder, and what names its own folder by its absolute path (a Python virtual environment) does not work in a release"
        );
    }
    let mut agent = Agent {
        bench: Arc::new(Bench {
            link: link.clone(),
            folder,
            binary: options.binary.clone(),
            can_mount,
            fetching: tokio::sync::Mutex::new(()),
        }),
        incarnation: Timestamp::now().as_millisecond().unsigned_abs(),
        options,
        held: BTreeMap::new(),
        tasks: JoinSet::new(),
        leave: CancellationToken::new(),
    };
    for lease in agent.bench.folder.left() {
        tracing::info!(build = %lease.build, "a build that an earlier process began goes on");
        agent.begin(lease, None);
    }
    let ended = agent.serve(&link, &cancel).await;
    if ended.is_err() {
        for handle in agent.held.values() {
            handle.dropped.cancel();
        }
        let all = async { while agent.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(END_WITHIN, all).await;
    } else {
        let mut goodbye = link.lane();
        let report = agent.report(true);
        let _ = tokio::time::timeout(Duration::from_secs(2), goodbye.sync(&report)).await;
        if !agent.held.is_empty() {
            tracing::info!(
                builds = agent.held.len(),
                "builds go on; the next start of the agent delivers them"
            );
        }
    }
    agent.leave.cancel();
    agent.tasks.shutdown().await;
    ended
}

struct Agent {
    bench: Arc<Bench>,
    options: Options,
    incarnation: u64,
    held: BTreeMap<LeaseId, Arc<Handle>>,
    tasks: JoinSet<LeaseId>,
    /// Ends the tasks, but not the runners.
    leave: CancellationToken,
}

impl Agent {
    async fn serve(&mut self, link: &Link, cancel: &CancellationToken) -> Result<(), AgentError> {
        let mut lane = link.lane();
        let mut pause = PAUSE.0;
        // None until the first answer.
        let mut connected: Option<bool> = None;
        loop {
            let report = self.report(false);
            let answer = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(done) = self.tasks.join_next() => {
                    if let Ok(lease) = done {
                        self.held.remove(&lease);
                    }
                    // The exchange under way is given up: control learns what is held now.
                    lane = link.lane();
                    continue;
                }
                answer = lane.sync(&report) => answer,
            };
            match answer {
                Ok(orders) => {
                    if connected != Some(true) {
                        tracing::info!(server = %self.options.server, "connected");
                        connected = Some(true);
                    }
                    pause = PAUSE.0;
                    self.follow(orders);
                    continue;
                }
                Err(LinkError::Refused(problem)) => match problem.kind {
                    ProblemKind::Unauthenticated | ProblemKind::Conflict | ProblemKind::Invalid => {
                        return Err(AgentError::Refused(problem));
                    }
                    _ => tracing::warn!(%problem, "the server cannot answer now"),
                },
                // Nobody was spoken to yet: a wrong address or certificate is better said than tried for ever.
                Err(LinkError::Stranger(words)) if connected.is_none() && self.held.is_empty() => {
                    return Err(AgentError::Server(
                        launchway_model::Problem::new(ProblemKind::Unauthenticated, words)
                            .hint("If the server was set up anew, make a new token; otherwise somebody else answers in its place."),
                    ));
                }
                Err(error) => {
                    if connected != Some(false) {
                        tracing::warn!(%error, "no link to the server; builds go on, and it is tried again");
                        connected = Some(false);
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn report(&self, leaving: bool) -> Report {
        let mut labels = self.options.labels.clone();
        labels.extend(host::labels());
        Report {
            protocol: AGENT_PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels,
            executors: self.options.executors,
            host: self.options.host.clone(),
            arch: std::env::consts::ARCH.to_owned(),
            incarnation: self.incarnation,
            holds: self
                .held
                .values()
                // What is dropped is on its way out; to name it would be to be told again.
                .filter(|handle| !handle.dropped.is_cancelled())
                .map(|handle| Held {
                    lease: handle.lease.lease,
                    build: handle.lease.build,
                    cancelled: handle.cancelled.load(Ordering::Relaxed),
                    answered: handle
                        .answered
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone(),
                })
                .collect(),
            leaving,
        }
    }

    fn follow(&mut self, orders: Orders) {
        for cancel in orders.cancel {
            if let Some(handle) = self.held.get(&cancel.lease) {
                tracing::info!(build = %handle.lease.build, reason = cancel.reason, "a build is cancelled");
                handle.cancel(&self.bench.folder, &cancel.reason);
            }
        }
        for answer in orders.answers {
            if let Some(handle) = self.held.get(&answer.lease) {
                handle.answer(&self.bench.folder, answer.number, &answer.text);
            }
        }
        for lease in orders.drop {
            if let Some(handle) = self.held.get(&lease) {
                tracing::info!(build = %handle.lease.build, "the server gave a build up");
                handle.dropped.cancel();
            }
        }
        for assignment in orders.take {
            if self.held.contains_key(&assignment.lease) {
                continue;
            }
            let lease = LeaseFile {
                lease: assignment.lease,
                build: assignment.job.build,
                app: assignment.job.app.clone(),
                deliver_tree: assignment.deliver_tree,
            };
            tracing::info!(build = %lease.build, app = %lease.app, "a build begins");
            match self.bench.folder.begin(&lease) {
                Ok(()) => self.begin(lease, Some(assignment)),
                // It is offered again, here or elsewhere.
                Err(error) => tracing::error!(%error, "a build cannot begin"),
            }
        }
    }

    fn begin(&mut self, lease: LeaseFile, assignment: Option<launchway_model::agent::Assignment>) {
        let (id, handle) = (lease.lease, Handle::new(lease));
        self.held.insert(id, handle.clone());
        let (bench, leave) = (self.bench.clone(), self.leave.clone());
        self.tasks.spawn(async move {
            build::run(&bench, &handle, assignment, &leave).await;
            id
        });
    }
}
