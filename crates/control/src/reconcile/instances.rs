//! Starting, watching and stopping single instances for the loop. Whatever takes time runs at its side in a task that
//! the loop owns, and comes back as an event.

use std::sync::Arc;
use std::time::Duration;

use launchway_model::instance::InstanceState;
use launchway_model::{AppName, InstanceId, Problem, ProcessType};
use launchway_store::Counter;
use launchway_supervisor::{ShimHandle, ShimLink, ShimView, Supervisor, SupervisorError};

use super::{Event, Pause, Reconciler, Role, Seen, Slot};
use crate::probe::{self, Report};
use crate::problem;
use crate::recipe::Recipe;
use crate::{Control, networks};

/// The pauses before an instance is replaced that could not be started or died young.
const REPAIR: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// An instance that lived this long is replaced at once.
const STEADY: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Starts one instance of each recipe.
    pub(super) async fn start_all(
        &mut self,
        recipes: Vec<Arc<Recipe>>,
        role: Role,
    ) -> Result<Vec<InstanceId>, Problem> {
        if recipes.is_empty() {
            return Ok(Vec::new());
        }
        let count = recipes.len() as u64;
        let last = self
            .control
            .store
            .count_up_by(Counter::Instance, 0, count)
            .await
            .map_err(problem::store)?;
        let mut ports = Vec::new();
        for recipe in &recipes {
            match recipe
                .takes_requests()
                .then(|| match recipe.own_port(&self.control) {
                    Some(port) => Ok(port),
                    None => self.ports.take(),
                })
                .transpose()
            {
                Ok(port) => ports.push(port),
                Err(problem) => {
                    ports
                        .into_iter()
                        .flatten()
                        .for_each(|port| self.ports.release(port));
                    return Err(problem);
                }
            }
        }
        let mut ids = Vec::new();
        for ((recipe, port), serial) in recipes.into_iter().zip(ports).zip(last + 1 - count..) {
            let id = InstanceId::new(
                recipe.app.clone(),
                recipe.process.clone(),
                recipe.release,
                serial,
            );
            self.start_one(&id, &recipe, port, role);
            ids.push(id);
        }
        Ok(ids)
    }

    fn start_one(&mut self, id: &InstanceId, recipe: &Arc<Recipe>, port: Option<u16>, role: Role) {
        let seen = Seen {
            role,
            status: InstanceState::Starting,
            restarts: 0,
            last_exit: None,
            shim: None,
            port,
            seat: None,
            ready: false,
            was_ready: false,
            report: None,
            lost: None,
            since: tokio::time::Instant::now(),
        };
        self.observed.send_modify(|observed| {
            observed.instances.insert(id.clone(), seen);
        });
        let cancel = self.cancel.child_token();
        let slot = Slot {
            shim: None,
            grace: recipe.grace,
            health: recipe.health.clone(),
            check: recipe.health_command(),
            cancel,
            stopping: false,
        };
        self.slots.insert(id.clone(), slot);
        let (control, starts, id) = (self.control.clone(), self.starts.clone(), id.clone());
        let recipe = recipe.clone();
        // Not ended with the loop: a start that was begun is finished, so that no shim is there that nobody knows of.
        self.tasks.spawn(async move {
            let Ok(_permit) = starts.acquire().await else {
                return;
            };
            let result = start(&control, &recipe, &id, port).await;
            // With the loop ended, the shim is found when the next control adopts.
            control.tell(Event::Started { id, result }).await;
        });
    }

    pub(super) async fn started(&mut self, id: InstanceId, result: Result<ShimHandle, Problem>) {
        match result {
            Ok(shim) => {
                let Some(slot) = self.slots.get_mut(&id) else {
                    return;
                };
                slot.shim = Some(shim.clone());
                if slot.stopping {
                    let grace = slot.grace;
                    self.stop(id, Some(shim), Some(grace));
                    return;
                }
                let status = shim.status();
                let seat = shim.spec().sandbox.network.clone();
                self.observe(&id, |seen| {
                    seen.seat = seat;
                    seen.status = status.state;
                    seen.shim = Some(status.shim_pid);
                });
                self.attend(&id, false);
                networks::enforce(&self.control, &self.observed.borrow());
            }
            Err(problem) => {
                tracing::error!(instance = %id, error = %problem, "an instance could not be started");
                self.lose(id, problem).await;
            }
        }
    }

    /// Watches and probes an instance whose shim is up.
    pub(super) fn attend(&mut self, id: &InstanceId, assumed: bool) {
        let Some(slot) = self.slots.get(id) else {
            return;
        };
        let Some(shim) = &slot.shim else { return };
        let mut views = shim.watch();
        let (events, cancel) = (self.control.events.clone(), slot.cancel.clone());
        let watched = id.clone();
        self.tasks.spawn(async move {
            let watching = async {
                loop {
                    let view = views.borrow_and_update().clone();
                    let live = view.link == ShimLink::Live;
                    if events
                        .send(Event::Shim {
                            id: watched.clone(),
                            view,
                        })
                        .await
                        .is_err()
                        || !live
                    {
                        return;
                    }
                    if views.changed().await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = watching => {}
            }
        });
        let (address, seated) = self
            .observed
            .borrow()
            .instances
            .get(id)
            .map_or((None, false), |seen| (seen.address(), seen.seat.is_some()));
        let subject = probe::Subject {
            id: id.clone(),
            address,
            any_port: seated,
            health: slot.health.clone(),
            expression: probe::expression(&slot.health),
            check: slot
                .check
                .clone()
                .map(|recipe| probe::Check::new(self.control.clone(), recipe)),
            host: slot
                .health
                .host
                .clone()
                .unwrap_or_else(|| format!("{}.localhost", id.app())),
            shim: shim.watch(),
            assumed,
        };
        self.tasks.spawn(probe::run(
            subject,
            self.control.events.clone(),
            slot.cancel.clone(),
        ));
    }

    pub(super) async fn shim_changed(&mut self, id: InstanceId, view: ShimView) {
        if !self.slots.contains_key(&id) {
            return;
        }
        let running = matches!(view.status.state, InstanceState::Running { .. });
        let mut restarted = 0;
        self.observe(&id, |seen| {
            restarted = view.status.restarts.saturating_sub(seen.restarts);
            seen.status = view.status.state.clone();
            seen.restarts = view.status.restarts;
            seen.last_exit = view.status.last_exit;
            seen.ready &= running;
        });
        if restarted > 0 {
            self.control.metrics.restarts(id.app(), restarted);
        }
        if view.link != ShimLink::Live {
            let stopping = self.slots.get(&id).is_some_and(|slot| slot.stopping);
            if !stopping {
                let words = match view.link {
                    ShimLink::Died => "its supervising process died",
                    ShimLink::Live | ShimLink::Ended => "it was stopped from outside",
                };
                tracing::warn!(instance = %id, words, "an instance is gone");
                self.lose(id, Problem::failed(words)).await;
            }
        }
    }

    /// Takes note of what a probe found. Says whether an instance that serves has just become ready.
    pub(super) fn probed(&mut self, id: &InstanceId, report: Report) -> bool {
        let mut came_up = false;
        self.observe(id, |seen| {
            let before = seen.ready;
            let running = matches!(seen.status, InstanceState::Running { .. });
            seen.ready = report.ready && running;
            seen.was_ready |= seen.ready;
            seen.report = Some(report);
            came_up = seen.ready && !before && seen.role == Role::Serving;
        });
        came_up
    }

    /// An instance in a private network listens on a port of its own choice.
    pub(super) fn listens(&mut self, id: &InstanceId, port: u16) {
        self.observe(id, |seen| {
            if seen.seat.is_some() && seen.port.is_some() {
                seen.port = Some(port);
            }
        });
    }

    /// An instance has no shim (any more): a candidate stays visible for its deploy to see why; one that serves is
    /// replaced.
    pub(super) async fn lose(&mut self, id: InstanceId, why: Problem) {
        let mut role = None;
        let mut lived = Duration::ZERO;
        self.observe(&id, |seen| {
            seen.lost = Some(why);
            seen.ready = false;
            role = Some(seen.role);
            lived = seen.since.elapsed();
        });
        if role == Some(Role::Candidate) {
            return;
        }
        let (app, process) = (id.app().clone(), id.process().clone());
        self.forget_instance(&id);
        self.remove_folder(id);
        if lived < STEADY {
            self.pause(&app, &process);
        } else {
            self.pauses.remove(&(app.clone(), process.clone()));
        }
        self.reconcile(&app).await;
    }

    /// Whether a process type is not being left alone.
    pub(super) fn may_start(&self, app: &AppName, process: &ProcessType) -> bool {
        self.pauses
            .get(&(app.clone(), process.clone()))
            .is_none_or(|pause| pause.over)
    }

    /// Leaves a process type alone for a while, each time longer.
    pub(super) fn pause(&mut self, app: &AppName, process: &ProcessType) {
        let pause = self
            .pauses
            .entry((app.clone(), process.clone()))
            .or_insert(Pause {
                length: REPAIR.0 / 2,
                over: true,
            });
        if !pause.over {
            return;
        }
        pause.over = false;
        pause.length = (pause.length * 2).min(REPAIR.1);
        let (events, cancel, length) = (
            self.control.events.clone(),
            self.cancel.clone(),
            pause.length,
        );
        let (app, process) = (app.clone(), process.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(length) => {
                    // The loop is gone only when control ends.
                    let _ = events.send(Event::Repair { app, process }).await;
                }
            }
        });
    }

    /// Takes instances that serve out of service: out of the table, then, once the proxy has taken that and has drained
    /// them, stopped.
    pub(super) fn retire(&mut self, ids: Vec<InstanceId>) {
        if ids.is_empty() {
            return;
        }
        tracing::info!(?ids, "instances retire");
        self.set_role(&ids, Role::Retiring);
        let generation = self.publish();
        let grace = ids
            .iter()
            .filter_map(|id| self.slots.get(id))
            .map(|slot| slot.grace)
            .max()
            .unwrap_or_default();
        let (control, cancel) = (self.control.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            let routed: Vec<InstanceId> = {
                let observed = control.observed.borrow();
                let takes_requests = |id: &&InstanceId| {
                    observed
                        .instances
                        .get(id)
                        .is_some_and(|seen| seen.port.is_some())
                };
                ids.iter().filter(takes_requests).cloned().collect()
            };
            let drained = async {
                if !routed.is_empty() {
                    // A refused table leaves the old one in force, which may still name these; they go on then.
                    control.proxy.applied(generation).await?;
                    control.proxy.drain(routed, grace).await;
                }
                Ok::<(), Problem>(())
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                drained = drained => match drained {
                    Ok(()) => control.tell(Event::Discard { instances: ids }).await,
                    Err(problem) => tracing::error!(%problem, "instances cannot retire"),
                }
            }
        });
    }

    /// Stops and removes instances that no table names.
    pub(super) fn discard(&mut self, ids: Vec<InstanceId>) {
        for id in ids {
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            if std::mem::replace(&mut slot.stopping, true) {
                continue;
            }
            let (shim, grace) = (slot.shim.clone(), slot.grace);
            self.observe(&id, |seen| {
                seen.role = Role::Retiring;
                seen.ready = false;
            });
            let gone = self
                .observed
                .borrow()
                .instances
                .get(&id)
                .is_some_and(Seen::is_gone);
            match shim {
                Some(shim) => self.stop(id, Some(shim), Some(grace)),
                // Its shim never came up.
                None if gone => self.stop(id, None, None),
                // It is being started: it is stopped once it is up.
                None => {}
            }
        }
    }

    /// Stops an instance and removes its folder, at its side.
    pub(super) fn stop(&self, id: InstanceId, shim: Option<ShimHandle>, grace: Option<Duration>) {
        let (control, cancel) = (self.control.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            let stopped = async {
                match &shim {
                    Some(shim) => stop_one(&control.supervisor, shim, grace).await,
                    None => remove(&control.supervisor, &id).await,
                }
            };
            tokio::select! {
                // The shim was told and ends by itself; its folder is removed by the next control.
                () = cancel.cancelled() => {}
                () = stopped => control.tell(Event::Gone { id }).await,
            }
        });
    }

    /// Removes the folder of a dead instance.
    pub(super) fn remove_folder(&self, id: InstanceId) {
        let supervisor = self.control.supervisor.clone();
        self.tasks
            .spawn(async move { remove(&supervisor, &id).await });
    }

    /// Forgets an instance that is gone.
    pub(super) fn forget_instance(&mut self, id: &InstanceId) {
        if let Some(slot) = self.slots.remove(id) {
            slot.cancel.cancel();
        }
        let mut removed = None;
        self.observed.send_modify(|observed| {
            removed = observed.instances.remove(id);
        });
        let Some(seen) = removed else { return };
        match (seen.seat, seen.port) {
            (Some(seat), _) => {
                networks::enforce(&self.control, &self.observed.borrow());
                let control = self.control.clone();
                self.tasks
                    .spawn(async move { networks::leave(&control, seat.number).await });
            }
            (None, Some(port)) => self.ports.release(port),
            (None, None) => {}
        }
    }
}

/// Starts one instance: its network, its shim.
async fn start(
    control: &Control,
    recipe: &Recipe,
    id: &InstanceId,
    port: Option<u16>,
) -> Result<ShimHandle, Problem> {
    let seat = networks::seat(control, id, &recipe.network).await?;
    let started = match recipe.shim_spec(control, id, port, seat) {
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

/// Stops one instance and removes its folder.
pub(super) async fn stop_one(supervisor: &Supervisor, shim: &ShimHandle, grace: Option<Duration>) {
    let id = shim.instance().clone();
    if let Err(error) = shim.stop(grace).await
        && !matches!(error, SupervisorError::Gone { .. })
    {
        tracing::warn!(instance = %id, error = %problem::supervisor(&error), "an instance could not be stopped");
    }
    remove(supervisor, &id).await;
}

async fn remove(supervisor: &Supervisor, id: &InstanceId) {
    if let Err(error) = supervisor.remove(id).await {
        tracing::warn!(instance = %id, error = %problem::supervisor(&error), "an instance's folder could not be removed");
    }
}
