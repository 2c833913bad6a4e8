//! Which build runs when and where: oldest first, of each branch of an app one at a time, within the places of this machine and
//! of the agents. (Of the waiting builds of a branch the store keeps only the newest.)
//!
//! A build waits with its reason. What it asks for is read before it is placed ([`super::needs`]); where it goes is
//! [`super::placing`]'s.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use launchway_model::build::{BuildRequest, BuildResult, BuildState};
use launchway_model::{AppName, BuildId, Problem};
use launchway_store::{BuildEnd, StoredBuild};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::needs::{self, Needs};
use super::placing::{self, Here, Place, Refusal};
use super::{drive, end_running};
use crate::{Control, problem};

/// How long after the store could not be read it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the places are looked at while builds wait: an agent that went away says nothing.
const LOOK: Duration = Duration::from_secs(5);
/// How many commits' pipelines are read at the same time.
const READING: usize = 2;

/// Builds that take turns: those of one branch of an app.
type Turn = (AppName, Option<String>);

/// What a task of the queue did.
enum Done {
    /// A build ended, or went back into the queue.
    Build(BuildId),
    /// What a build asks for is known.
    Needs(BuildId, Result<Needs, Problem>),
}

/// What the queue knows beside the store.
struct Queue {
    control: Arc<Control>,
    here: Here,
    /// The builds that are followed, with whether they run on this machine.
    running: HashMap<BuildId, (Turn, bool)>,
    needs: HashMap<BuildId, Arc<Needs>>,
    reading: HashSet<BuildId>,
    tasks: JoinSet<Done>,
}

/// Runs builds until the end; runners go on without control, and are followed again by the next.
pub(crate) async fn run(control: Arc<Control>, cancel: CancellationToken) {
    let mut queue = Queue {
        here: Here {
            labels: Here::labels(),
            executors: control.settings().builds,
            running: 0,
        },
        control,
        running: HashMap::new(),
        needs: HashMap::new(),
        reading: HashSet::new(),
        tasks: JoinSet::new(),
    };
    loop {
        let pause = match queue.look().await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "the waiting builds cannot be read");
                Some(RETRY)
            }
        };
        let paused = tokio::time::sleep(pause.unwrap_or_default());
        tokio::select! {
            () = cancel.cancelled() => break,
            () = queue.control.wake.builds.notified() => {}
            () = paused, if pause.is_some() => {}
            Some(ended) = queue.tasks.join_next() => {
                queue.ended(ended);
                // What else has ended meanwhile is one look, too.
                while let Some(ended) = queue.tasks.try_join_next() {
                    queue.ended(ended);
                }
            }
        }
    }
    queue.tasks.shutdown().await;
}

impl Queue {
    fn ended(&mut self, ended: Result<Done, tokio::task::JoinError>) {
        match ended {
            Ok(Done::Build(id)) => {
                self.running.remove(&id);
            }
            Ok(Done::Needs(id, needs)) => {
                self.reading.remove(&id);
                match needs {
                    Ok(needs) => {
                        self.needs.insert(id, Arc::new(needs));
                    }
                    Err(error) => {
                        tracing::error!(%error, build = %id, "what a build needs cannot be read");
                    }
                }
            }
            Err(error) => {
                // A panic is a fault of ours; what it followed is followed again.
                tracing::error!(%error, "following a build ended badly");
                self.running.clear();
                self.reading.clear();
                self.tasks = JoinSet::new();
            }
        }
    }

    /// Starts what can start, and says of the rest why it waits. Gives when to look again, where something waits.
    async fn look(&mut self) -> Result<Option<Duration>, Problem> {
        let control = self.control.clone();
        let active = control
            .store
            .active_builds()
            .await
            .map_err(problem::store)?;
        // Those that run come first: after a restart they are followed again, whatever the limits say.
        for stored in &active {
            let id = stored.build.id;
            if matches!(stored.build.state, BuildState::Running { .. })
                && !self.running.contains_key(&id)
            {
                self.follow(stored.clone());
            }
        }
        let alive: HashSet<BuildId> = active.iter().map(|stored| stored.build.id).collect();
        self.needs.retain(|id, _| alive.contains(id));
        let mut waits = Vec::new();
        let mut again = None;
        let mut nodes = control.agents.nodes();
        for stored in &active {
            let BuildState::Queued { reason } = &stored.build.state else {
                continue;
            };
            let id = stored.build.id;
            again = again.or(Some(LOOK));
            let wait = match self.consider(stored, &nodes).await? {
                Verdict::Goes(place) => {
                    self.start(stored, place).await?;
                    nodes = control.agents.nodes();
                    continue;
                }
                Verdict::Never(problem) => {
                    self.refuse(id, *problem).await?;
                    continue;
                }
                Verdict::Waits(reason, until) => {
                    again = again.map(|again| again.min(until.unwrap_or(again)));
                    reason
                }
            };
            if *reason != wait {
                waits.push((id, wait));
            }
        }
        if !waits.is_empty() {
            control
                .store
                .explain_waits(&waits)
                .await
                .map_err(problem::store)?;
            control.wake.changed();
        }
        Ok(again)
    }

    async fn consider(
        &mut self,
        stored: &StoredBuild,
        nodes: &[crate::agents::Node],
    ) -> Result<Verdict, Problem> {
        let id = stored.build.id;
        let Some(needs) = self.needs.get(&id).cloned() else {
            self.read(stored);
            return Ok(Verdict::Waits(waiting_words(stored).to_owned(), None));
        };
        let quiet = SignedDuration::from_secs(i64::try_from(needs.quiet_s).unwrap_or(0));
        let rest = quiet - Timestamp::now().duration_since(stored.build.created);
        if let Ok(rest) = Duration::try_from(rest)
            && !rest.is_zero()
        {
            return Ok(Verdict::Waits(
                format!("its quiet period of {} s is not over", needs.quiet_s),
                Some(rest),
            ));
        }
        let turn = turn(&stored.build.request);
        let before = self
            .running
            .iter()
            .find(|(_, (running, _))| *running == turn)
            .map(|(id, _)| *id);
        if let Some(before) = before {
            if needs.abort_previous {
                let reason = format!("build #{id} of a newer commit takes its place");
                if let Err(error) = end_running(&self.control, before, &reason) {
                    tracing::warn!(%error, build = %before, "a build that another replaces cannot be ended");
                }
                return Ok(Verdict::waits(format!(
                    "build #{before} ends first, since this one replaces it"
                )));
            }
            return Ok(Verdict::waits(match &turn.1 {
                Some(branch) => format!("build #{before} of {} on {branch} runs", turn.0),
                None => format!("build #{before} of {} runs", turn.0),
            }));
        }
        let here = self.running.values().filter(|(_, here)| *here).count();
        // A build that only waits for a person or for another build takes no place.
        self.here.running = here.saturating_sub(self.control.parked.count());
        let deploys = stored.build.request.deploy;
        Ok(match placing::place(&needs, deploys, &self.here, nodes) {
            Ok(place) => Verdict::Goes(place),
            Err(Refusal::Waits(reason)) => Verdict::waits(reason),
            Err(Refusal::Never(problem)) => Verdict::Never(problem),
        })
    }

    /// Finds out what a build asks for, where that is not under way.
    fn read(&mut self, stored: &StoredBuild) {
        let id = stored.build.id;
        if self.reading.len() >= READING || !self.reading.insert(id) {
            return;
        }
        let (control, stored) = (self.control.clone(), stored.clone());
        self.tasks.spawn(async move {
            let needs = needs::of(&control, &stored).await;
            if needs.is_err() {
                // It is tried again, but not at once.
                tokio::time::sleep(RETRY).await;
            }
            Done::Needs(id, needs)
        });
    }

    async fn start(&mut self, stored: &StoredBuild, place: Place) -> Result<(), Problem> {
        let (id, now) = (stored.build.id, Timestamp::now());
        let store = &self.control.store;
        let begun = match &place {
            Place::Here => store.begin_build(id, now).await.map_err(problem::store)?,
            Place::Agent(agent, name) => {
                let lease = store
                    .begin_build_on(id, agent.0, name, now)
                    .await
                    .map_err(problem::store)?;
                if let Some(lease) = lease {
                    self.control.agents.reserve(lease, *agent, id);
                }
                lease.is_some()
            }
        };
        if begun {
            let mut stored = stored.clone();
            stored.build.state = BuildState::Running { since: now };
            self.follow(stored);
            self.control.wake.changed();
        }
        Ok(())
    }

    fn follow(&mut self, stored: StoredBuild) {
        let id = stored.build.id;
        let here = self.control.agents.lease_of(id).is_none();
        self.running.insert(id, (turn(&stored.build.request), here));
        let control = self.control.clone();
        self.tasks.spawn(async move {
            drive::run(&control, stored).await;
            Done::Build(id)
        });
    }

    async fn refuse(&self, id: BuildId, problem: Problem) -> Result<(), Problem> {
        let end = BuildEnd {
            result: BuildResult::Failure,
            problem: Some(problem),
            at: Timestamp::now(),
            release: None,
        };
        self.control
            .store
            .end_build(id, &end)
            .await
            .map_err(problem::store)?;
        self.control.wake.changed();
        Ok(())
    }
}

/// What becomes of a waiting build now.
enum Verdict {
    Goes(Place),
    /// It waits; the time is when that may change by itself.
    Waits(String, Option<Duration>),
    Never(Box<Problem>),
}

impl Verdict {
    fn waits(reason: impl Into<String>) -> Self {
        Self::Waits(reason.into(), None)
    }
}

/// The reason that it waits for, as it stands.
fn waiting_words(stored: &StoredBuild) -> &str {
    match &stored.build.state {
        BuildState::Queued { reason } => reason,
        BuildState::Running { .. } | BuildState::Finished { .. } => "",
    }
}

fn turn(request: &BuildRequest) -> Turn {
    (request.app.clone(), request.branch.clone())
}
