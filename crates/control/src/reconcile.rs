//! The loop that owns what is known of instances: one task over one closed [`Event`].
//!
//! It compares what is wanted with what is observed after every event and brings the second to the first: starts what
//! is missing, replaces what died, stops what is too many, publishes the routes. A deploy asks it to start candidates,
//! and then to propose, commit or withdraw another wanted state; whatever else happens (a crash of an app, of a shim, of
//! control, a reboot) ends in the same comparison.
//!
//! **Invariants:** nobody else changes an instance's state; an instance that serves is stopped only after a table
//! without it was applied; the loop never waits for an app.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use launchway_model::app::HealthSpec;
use launchway_model::instance::{Exit, InstanceState};
use launchway_model::shim::Seat;
use launchway_model::{AppName, InstanceId, Problem, ProcessType};
use launchway_supervisor::{Adopted, ShimHandle, ShimView, observe};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ports::Ports;
use crate::probe::Report;
use crate::recipe::Recipe;
use crate::{Control, networks, problem, secrets, task, wiring};

mod instances;
mod table;
mod wanted;

pub(crate) use wanted::{CanaryWanted, Routing, Wanted, formation};

/// How many shims are started at once: enough to use the machine, few enough to keep it answering.
const STARTS: usize = 8;

/// All that can happen to instances.
pub(crate) enum Event {
    /// A deploy wants candidates: instances that run but do not serve yet.
    Start {
        /// What to start, one instance each.
        recipes: Vec<Arc<Recipe>>,
        /// Their names, once they are being started.
        reply: oneshot::Sender<Result<Vec<InstanceId>, Problem>>,
    },
    /// A deploy's switch: from now on this is wanted and routed, until it is committed or withdrawn.
    Propose {
        /// What is wanted.
        wanted: Box<Wanted>,
        /// The candidates that serve from now on; all must be ready.
        admit: Vec<InstanceId>,
        /// The instances that serve no longer; they go on running.
        retire: Vec<InstanceId>,
        /// The generation of the routes.
        reply: oneshot::Sender<Result<u64, Problem>>,
    },
    /// A deploy lets new instances serve and old ones end, a few at a time, while the same is wanted as before. From now
    /// on the deploy decides who stays, until a proposal is committed or the app is released.
    Exchange {
        app: AppName,
        /// The candidates that serve from now on; all must be ready.
        admit: Vec<InstanceId>,
        /// The instances that serve no longer; they go on running.
        retire: Vec<InstanceId>,
        /// The generation of the routes.
        reply: oneshot::Sender<Result<u64, Problem>>,
    },
    /// The deploy that exchanged instances ends without a proposal: the loop looks after the app again.
    Release { app: AppName },
    /// Candidates take a part of the requests from now on, or no longer.
    Canary {
        app: AppName,
        canary: Option<CanaryWanted>,
        /// The generation of the routes.
        reply: oneshot::Sender<u64>,
    },
    /// What was proposed is in force.
    Commit { app: AppName },
    /// What was proposed is not to be: all is as it was before, and the candidates are candidates again.
    Withdraw { app: AppName },
    /// Instances are not needed any more: stop and remove them.
    Discard { instances: Vec<InstanceId> },
    /// What a person says of an app's routes changed.
    Routing {
        app: AppName,
        routing: Routing,
        /// The generation of the routes that holds it.
        reply: oneshot::Sender<u64>,
    },
    /// An app is deleted: it has no routes, and all its instances are stopped.
    Forget { app: AppName },
    /// A shim was started, or not.
    Started {
        id: InstanceId,
        result: Result<ShimHandle, Problem>,
    },
    /// A shim's status changed.
    Shim { id: InstanceId, view: ShimView },
    /// A probe found something new.
    Probed { id: InstanceId, report: Report },
    /// An instance in a private network listens on a port of its own choice.
    Listens { id: InstanceId, port: u16 },
    /// An instance was stopped and removed.
    Gone { id: InstanceId },
    /// It is time to look again at an app, after a pause.
    Repair { app: AppName, process: ProcessType },
    /// Control ends and takes all instances with it.
    StopAll {
        reply: oneshot::Sender<Vec<ShimHandle>>,
    },
}

/// What is known of all instances.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// By name.
    pub(crate) instances: BTreeMap<InstanceId, Seen>,
}

/// What is known of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) role: Role,
    pub(crate) status: InstanceState,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Exit>,
    /// The shim's process, once it is up.
    pub(crate) shim: Option<u32>,
    pub(crate) port: Option<u16>,
    /// Its place in the private network, where it has one.
    pub(crate) seat: Option<Seat>,
    /// Whether it can do its work now.
    pub(crate) ready: bool,
    /// Whether it could before.
    pub(crate) was_ready: bool,
    /// What its probes found.
    pub(crate) report: Option<Report>,
    /// Why it is not there, where it could not be started or its shim is gone.
    pub(crate) lost: Option<Problem>,
    /// When it was started, or adopted.
    pub(crate) since: tokio::time::Instant,
}

impl Seen {
    /// Where it takes requests.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let ip = self
            .seat
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |seat| seat.address);
        Some(SocketAddr::from((ip, self.port?)))
    }

    /// Whether its shim ended or never came up.
    pub(crate) fn is_gone(&self) -> bool {
        self.lost.is_some()
    }
}

/// What an instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was started by a deploy that has not switched.
    Candidate,
    /// It is one of those that are wanted.
    Serving,
    /// It serves no longer and ends its work.
    Retiring,
}

/// What the loop holds of an instance beside what others may see.
struct Slot {
    shim: Option<ShimHandle>,
    grace: Duration,
    health: HealthSpec,
    /// How to run the command of its health check, where it has one.
    check: Option<Arc<Recipe>>,
    /// Ends its watcher and its prober.
    cancel: CancellationToken,
    /// Whether it is being stopped.
    stopping: bool,
}

/// A pause before the next try.
struct Pause {
    length: Duration,
    over: bool,
}

/// What was wanted before a proposal.
struct Before {
    wanted: Option<Wanted>,
    admitted: Vec<InstanceId>,
    retired: Vec<InstanceId>,
}

/// The loop's state.
pub(crate) struct Reconciler {
    control: Arc<Control>,
    observed: watch::Sender<Observed>,
    wanted: BTreeMap<AppName, Wanted>,
    proposals: HashMap<AppName, Before>,
    slots: HashMap<InstanceId, Slot>,
    ports: Ports,
    /// The process types whose instances died young: they are left alone for a while.
    pauses: HashMap<(AppName, ProcessType), Pause>,
    starts: Arc<Semaphore>,
    /// Whether all instances are being stopped; then the routes stay as they are.
    ending: bool,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Stops every instance and waits until all are gone.
pub(crate) async fn stop_all(control: &Control) {
    let (reply, answer) = oneshot::channel();
    control.tell(Event::StopAll { reply }).await;
    let Ok(shims) = answer.await else { return };
    let stops = TaskTracker::new();
    for shim in shims {
        let supervisor = control.supervisor.clone();
        stops.spawn(async move {
            instances::stop_one(&supervisor, &shim, None).await;
        });
    }
    stops.close();
    stops.wait().await;
}

impl Reconciler {
    /// Adopts what runs and reads what is wanted.
    pub(crate) async fn new(
        control: Arc<Control>,
        observed: watch::Sender<Observed>,
        cancel: CancellationToken,
    ) -> Result<Self, Problem> {
        let start = u16::from_le_bytes(secrets::random::<2>()?);
        let mut this = Self {
            ports: Ports::new(control.settings().ports, start),
            control,
            observed,
            wanted: BTreeMap::new(),
            proposals: HashMap::new(),
            slots: HashMap::new(),
            pauses: HashMap::new(),
            starts: Arc::new(Semaphore::new(STARTS)),
            ending: false,
            cancel,
            tasks: TaskTracker::new(),
        };
        this.read_wanted().await?;
        this.adopt().await;
        Ok(this)
    }

    /// Runs until the end; what runs goes on running.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        for app in self.all_apps() {
            self.reconcile(&app).await;
        }
        self.publish();
        loop {
            let event = tokio::select! {
                () = self.cancel.cancelled() => break,
                event = events.recv() => match event {
                    Some(event) => event,
                    None => break,
                },
            };
            self.handle(event).await;
            self.publish();
        }
        // Nobody reads events any more: tasks that would send one must not wait for that.
        drop(events);
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn read_wanted(&mut self) -> Result<(), Problem> {
        let store = &self.control.store;
        let apps = store.apps().await.map_err(problem::store)?;
        for release in store.serving_releases().await.map_err(problem::store)? {
            let Some(app) = apps.iter().find(|app| app.name == release.app) else {
                continue;
            };
            let name = app.name.clone();
            match Wanted::of(&self.control, app, release).await {
                Ok(wanted) => {
                    self.wanted.insert(name, wanted);
                }
                // One app that cannot be read must not keep the others from running.
                Err(problem) => tracing::error!(app = %name, %problem, "the app cannot be run"),
            }
        }
        Ok(())
    }

    async fn adopt(&mut self) {
        let active = self
            .control
            .store
            .active_deploys()
            .await
            .unwrap_or_default();
        for adopted in self.control.supervisor.adopt_all().await {
            let shim = match adopted {
                Adopted::Live(shim) => shim,
                Adopted::Dead(dead) => {
                    tracing::info!(instance = %dead.instance, leftovers = dead.leftovers, "a dead instance is removed");
                    if let Some(InstanceState::Stopped { exit: Some(exit) }) =
                        dead.last.as_ref().map(|last| &last.state)
                    {
                        self.control
                            .deploying
                            .keep_ended(dead.instance.clone(), *exit);
                    }
                    self.remove_folder(dead.instance);
                    continue;
                }
            };
            let id = shim.instance().clone();
            if !shim.spec().restart {
                let resumed = active.iter().any(|deploy| {
                    deploy.deploy.app == *id.app()
                        && deploy.deploy.release == id.release()
                        && task::OF_DEPLOYS.contains(&id.process().as_str())
                });
                if resumed {
                    self.control.deploying.keep_command(shim);
                } else if task::outlives_control(shim.spec()) {
                    self.control.keep_outliving(shim);
                } else {
                    // Whoever started this one-off command is not there any more to see it end.
                    self.stop(id, Some(shim), None);
                }
                continue;
            }
            // A process that takes no requests can have a PORT of its own making: `config set`.
            let port = (shim.spec().env.get(wiring::PORT_MARK))
                .and_then(|_| shim.spec().env.get("PORT"))
                .or_else(|| {
                    shim.spec()
                        .env
                        .get("PORT")
                        .filter(|_| id.process().is_web())
                })
                .and_then(|port| port.parse().ok());
            let seat = shim.spec().sandbox.network.clone();
            let mut port = port;
            match (&seat, port) {
                (Some(seat), _) => {
                    self.control.networks.record(seat);
                    // It may have chosen another than it was told.
                    let chosen = observe::only_port(shim.status().shim_pid);
                    port = port.map(|told| chosen.unwrap_or(told));
                }
                (None, Some(port)) => self.ports.record(port),
                (None, None) => {}
            }
            let status = shim.status();
            let running = matches!(status.state, InstanceState::Running { .. });
            let grace = Duration::from_millis(shim.spec().grace_ms);
            let health = self
                .wanted
                .get(id.app())
                .and_then(|wanted| wanted.recipes.get(id.process()))
                .map(|recipe| (recipe.health.clone(), recipe.health_command()));
            let (health, check) = health.unwrap_or_default();
            let seen = Seen {
                role: Role::Serving,
                status: status.state,
                restarts: status.restarts,
                last_exit: status.last_exit,
                shim: Some(status.shim_pid),
                port,
                seat,
                // It was routed before control came; its first probe says whether that still holds.
                ready: running,
                was_ready: running,
                report: None,
                lost: None,
                since: tokio::time::Instant::now(),
            };
            self.observed.send_modify(|observed| {
                observed.instances.insert(id.clone(), seen);
            });
            self.slots.insert(
                id.clone(),
                Slot {
                    shim: Some(shim),
                    grace,
                    health,
                    check,
                    cancel: self.cancel.child_token(),
                    stopping: false,
                },
            );
            self.attend(&id, running);
        }
        tracing::info!(
            apps = self.wanted.len(),
            instances = self.slots.len(),
            "instances adopted"
        );
        networks::settle(&self.control).await;
        networks::enforce(&self.control, &self.observed.borrow());
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Start { recipes, reply } => {
                let started = self.start_all(recipes, Role::Candidate).await;
                // A deploy that does not wait any more was cancelled; it discards what it knows of, and this it doesn't.
                if let Err(Ok(unknown)) = reply.send(started) {
                    self.discard(unknown);
                }
            }
            Event::Propose {
                wanted,
                admit,
                retire,
                reply,
            } => {
                let proposed = self.propose(*wanted, admit, retire);
                let _ = reply.send(proposed);
            }
            Event::Exchange {
                app,
                admit,
                retire,
                reply,
            } => {
                let exchanged = self.exchange(&app, &admit, &retire);
                let _ = reply.send(exchanged);
            }
            Event::Release { app } => {
                self.proposals.remove(&app);
                self.reconcile(&app).await;
            }
            Event::Canary { app, canary, reply } => {
                if let Some(wanted) = self.wanted.get_mut(&app) {
                    wanted.canary = canary;
                }
                let _ = reply.send(self.publish());
            }
            Event::Commit { app } => {
                self.proposals.remove(&app);
                self.reconcile(&app).await;
            }
            Event::Withdraw { app } => self.withdraw(&app),
            Event::Discard { instances } => self.discard(instances),
            Event::Routing {
                app,
                routing,
                reply,
            } => {
                if let Some(wanted) = self.wanted.get_mut(&app) {
                    wanted.routing.clone_from(&routing);
                }
                if let Some(Before {
                    wanted: Some(wanted),
                    ..
                }) = self.proposals.get_mut(&app)
                {
                    wanted.routing = routing;
                }
                // Whoever asked may have gone.
                let _ = reply.send(self.publish());
            }
            Event::Forget { app } => {
                self.wanted.remove(&app);
                self.proposals.remove(&app);
                let all = self.ids(|id, _| *id.app() == app);
                self.retire(all);
            }
            Event::Started { id, result } => self.started(id, result).await,
            Event::Shim { id, view } => self.shim_changed(id, view).await,
            Event::Listens { id, port } => self.listens(&id, port),
            Event::Probed { id, report } => {
                if self.probed(&id, report) {
                    // What it replaces was left to serve until now.
                    let app = id.app().clone();
                    self.reconcile(&app).await;
                }
            }
            Event::Gone { id } => self.forget_instance(&id),
            Event::Repair { app, process } => {
                if let Some(pause) = self.pauses.get_mut(&(app.clone(), process)) {
                    pause.over = true;
                }
                self.reconcile(&app).await;
            }
            Event::StopAll { reply } => {
                let mut shims = Vec::new();
                for slot in self.slots.values_mut() {
                    slot.cancel.cancel();
                    slot.stopping = true;
                    shims.extend(slot.shim.clone());
                }
                self.wanted.clear();
                self.ending = true;
                let _ = reply.send(shims);
            }
        }
    }

    /// Brings what is observed of an app to what is wanted of it.
    async fn reconcile(&mut self, app: &AppName) {
        if self.proposals.contains_key(app) {
            // Between a proposal and its end the deploy decides who stays.
            return;
        }
        let Some(wanted) = self.wanted.get(app).cloned() else {
            let unwanted = self.ids(|id, seen| id.app() == app && seen.role == Role::Serving);
            self.retire(unwanted);
            return;
        };
        let number = wanted.release.number;
        let mut surplus = self.ids(|id, seen| {
            let known = wanted.recipes.contains_key(id.process());
            id.app() == app && seen.role == Role::Serving && (id.release() != number || !known)
        });
        for (process, recipe) in &wanted.recipes {
            let count = if wanted.stopped {
                0
            } else {
                wanted.formation.get(process).copied().unwrap_or(0)
            };
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            // The oldest stay: where control died amid a restart, these are the ones that are routed.
            let have = self.ids(|id, seen| {
                id.app() == app
                    && id.process() == process
                    && id.release() == number
                    && seen.role == Role::Serving
            });
            surplus.extend(have.iter().skip(count).cloned());
            if !wanted.stopped && self.ready(&have) < count {
                // What still serves of another release goes once there is something in its place.
                surplus.retain(|id| {
                    id.process() != process || id.release() == number || !self.is_ready(id)
                });
            }
            let missing = count.saturating_sub(have.len());
            if missing > 0 && self.may_start(app, process) {
                let recipes = vec![recipe.clone(); missing];
                match self.start_all(recipes, Role::Serving).await {
                    Ok(ids) => {
                        tracing::info!(%app, %process, ?ids, "missing instances are started")
                    }
                    Err(problem) => {
                        tracing::error!(%app, %process, %problem, "missing instances cannot be started");
                        self.pause(app, process);
                    }
                }
            }
        }
        self.retire(surplus);
    }

    fn propose(
        &mut self,
        wanted: Wanted,
        admit: Vec<InstanceId>,
        retire: Vec<InstanceId>,
    ) -> Result<u64, Problem> {
        let app = wanted.release.app.clone();
        self.check_ready(&admit)?;
        self.set_role(&admit, Role::Serving);
        self.set_role(&retire, Role::Retiring);
        let mut held = self.wanted.insert(app.clone(), wanted);
        if let Some(held) = &mut held {
            // A canary that is withdrawn takes nothing any more.
            held.canary = None;
        }
        let before = Before {
            wanted: held,
            admitted: admit,
            retired: retire,
        };
        self.proposals.insert(app, before);
        Ok(self.publish())
    }

    /// An instance can have crashed since the deploy saw it ready: the loop's word is the last.
    fn check_ready(&self, admit: &[InstanceId]) -> Result<(), Problem> {
        let observed = self.observed.borrow();
        for id in admit {
            let ready = observed
                .instances
                .get(id)
                .is_some_and(|seen| seen.ready && !seen.is_gone());
            if !ready {
                return Err(Problem::failed(format!(
                    "{id} was ready and is not any more"
                )));
            }
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        app: &AppName,
        admit: &[InstanceId],
        retire: &[InstanceId],
    ) -> Result<u64, Problem> {
        self.check_ready(admit)?;
        self.set_role(admit, Role::Serving);
        self.set_role(retire, Role::Retiring);
        let wanted = self.wanted.get(app).cloned();
        self.proposals.entry(app.clone()).or_insert(Before {
            wanted,
            admitted: Vec::new(),
            retired: Vec::new(),
        });
        Ok(self.publish())
    }

    fn withdraw(&mut self, app: &AppName) {
        let Some(before) = self.proposals.remove(app) else {
            return;
        };
        self.set_role(&before.admitted, Role::Candidate);
        self.set_role(&before.retired, Role::Serving);
        match before.wanted {
            Some(wanted) => self.wanted.insert(app.clone(), wanted),
            None => self.wanted.remove(app),
        };
    }

    /// Compiles the routes and publishes them where they changed.
    fn publish(&self) -> u64 {
        if self.ending {
            return 0;
        }
        let routes = table::compile(&self.wanted, &self.observed.borrow());
        self.control.proxy.publish(routes)
    }

    fn all_apps(&self) -> BTreeSet<AppName> {
        let mut apps: BTreeSet<AppName> = self.wanted.keys().cloned().collect();
        apps.extend(self.slots.keys().map(|id| id.app().clone()));
        apps
    }

    /// The names of the instances of which this holds, oldest first.
    fn ids(&self, holds: impl Fn(&InstanceId, &Seen) -> bool) -> Vec<InstanceId> {
        let observed = self.observed.borrow();
        let mut ids: Vec<InstanceId> = observed
            .instances
            .iter()
            .filter(|(id, seen)| holds(id, seen))
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort_by_key(InstanceId::serial);
        ids
    }

    fn is_ready(&self, id: &InstanceId) -> bool {
        let observed = self.observed.borrow();
        observed.instances.get(id).is_some_and(|seen| seen.ready)
    }

    /// How many of these are ready.
    fn ready(&self, ids: &[InstanceId]) -> usize {
        ids.iter().filter(|id| self.is_ready(id)).count()
    }

    /// Changes what is known of an instance.
    fn observe(&self, id: &InstanceId, change: impl FnOnce(&mut Seen)) {
        self.observed
            .send_if_modified(|observed| match observed.instances.get_mut(id) {
                Some(seen) => {
                    change(seen);
                    true
                }
                None => false,
            });
    }

    fn set_role(&self, ids: &[InstanceId], role: Role) {
        for id in ids {
            self.observe(id, |seen| seen.role = role);
        }
    }
}
