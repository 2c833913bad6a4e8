//! What a deploy does, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::app::RouteTo;
use launchway_model::deploy::{DeployPhase, Release};
use launchway_model::instance::InstanceState;
use launchway_model::suggest::did_you_mean;
use launchway_model::{InstanceId, Problem, ProcessType};
use launchway_store::{DeployEnd, DeployWork, StoredDeploy};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{failure, verify};
use crate::problem::Persist;
use crate::recipe::Recipe;
use crate::reconcile::{Event, Observed, Role, Wanted};
use crate::{Control, problem, recipe, strays, task, users};

/// Why a deploy did not come to its end.
enum Stopped {
    /// It failed.
    Failed(Problem),
    /// A person cancelled it.
    Cancelled,
    /// Its record ended meanwhile: superseded or cancelled while it waited.
    Ended,
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

/// What is to be changed, worked out from the deploy's work.
struct Change {
    release: Arc<Release>,
    wanted: Wanted,
    /// What to start, one instance each.
    start: Vec<Arc<Recipe>>,
    /// The serving instances that end.
    retire: Vec<InstanceId>,
    /// The command that runs before.
    release_command: Option<Recipe>,
}

/// Runs one deploy and writes how it ended. What serves is untouched unless it comes to the switch.
pub(super) async fn run(control: &Control, job: &StoredDeploy, cancel: CancellationToken) {
    let (id, app) = (job.deploy.id, &job.deploy.app);
    let began = tokio::time::Instant::now();
    let mut phase = DeployPhase::Queued;
    let mut started = Vec::new();
    let ended = execute(control, job, &cancel, &mut phase, &mut started).await;
    let end = match ended {
        Ok(()) => DeployEnd::Succeeded,
        Err(stopped) => {
            control.tell(Event::Discard { instances: started }).await;
            match stopped {
                Stopped::Failed(problem) => DeployEnd::Failed { phase, problem },
                Stopped::Cancelled => DeployEnd::Cancelled,
                Stopped::Ended => return,
            }
        }
    };
    tracing::info!(%app, deploy = %id, ?end, "deploy ended");
    control.metrics.deployed(app, &end, began.elapsed());
    let mut persist = Persist::new("the end of a deploy");
    while let Err(error) = control.store.end_deploy(id, &end, Timestamp::now()).await {
        persist.failed(error).await;
    }
    control.wake.changed();
}

/// The five steps (and the release command): validate, start, wait until ready, switch, drain.
async fn execute(
    control: &Control,
    job: &StoredDeploy,
    cancel: &CancellationToken,
    phase: &mut DeployPhase,
    started: &mut Vec<InstanceId>,
) -> Result<(), Stopped> {
    let before_switch = async {
        enter(control, job, phase, DeployPhase::Validate).await?;
        let Some(change) = validate(control, job).await? else {
            return Ok(None);
        };
        if let Some(command) = &change.release_command {
            enter(control, job, phase, DeployPhase::Release).await?;
            run_release_command(control, job, &change, command).await?;
        }
        let build = change.release.build;
        strays::mark(control, build, change.release_command.is_some());
        enter(control, job, phase, DeployPhase::Start).await?;
        *started = start(control, &change).await?;
        enter(control, job, phase, DeployPhase::Ready).await?;
        wait_until_ready(control, &change, started).await?;
        Ok::<_, Stopped>(Some(change))
    };
    let change = tokio::select! {
        () = cancel.cancelled() => return Err(Stopped::Cancelled),
        change = before_switch => change?,
    };
    let Some(change) = change else { return Ok(()) };
    enter(control, job, phase, DeployPhase::Switch).await?;
    let baseline = match job.work {
        DeployWork::Release => verify::baseline(control, &change.release).await,
        _ => None,
    };
    switch(control, job, &change, started).await?;
    enter(control, job, phase, DeployPhase::Drain).await?;
    drain(control, &change).await;
    if let Some(baseline) = baseline {
        verify::watch(control, change.release, baseline);
    }
    Ok(())
}

async fn enter(
    control: &Control,
    job: &StoredDeploy,
    current: &mut DeployPhase,
    phase: DeployPhase,
) -> Result<(), Stopped> {
    let active = control
        .store
        .enter_phase(job.deploy.id, phase, Timestamp::now())
        .await
        .map_err(problem::store)?;
    control.wake.changed();
    *current = phase;
    if active { Ok(()) } else { Err(Stopped::Ended) }
}

/// Checks what can be checked without running anything, and works out what is to change; nothing where the work was
/// done already, by a control that ended before it could say so.
async fn validate(control: &Control, job: &StoredDeploy) -> Result<Option<Change>, Problem> {
    let app = control.app(&job.deploy.app).await?;
    let number = match job.work {
        // Whatever release was in service when it was asked, it is about the one that serves now.
        DeployWork::Release => job.deploy.release,
        _ => app.serving.unwrap_or(job.deploy.release),
    };
    let Some(release) = control
        .store
        .release(&app.name, number)
        .await
        .map_err(problem::store)?
    else {
        return Err(Problem::not_found(format!(
            "{} has no release {number}",
            app.name
        )));
    };
    let done = match &job.work {
        DeployWork::Release => app.serving == Some(number),
        DeployWork::Scale { formation } => formation
            .iter()
            .all(|(process, count)| app.formation.get(process) == Some(count)),
        DeployWork::Stop => app.stopped,
        DeployWork::Start => !app.stopped,
        DeployWork::Restart { .. } => false,
    };
    if done {
        return Ok(None);
    }
    let tree = control.settings().home.tree(&app.name, release.build);
    if !tree.is_dir() {
        return Err(
            Problem::failed(format!("the files of {number} are not there")).cause(tree.display()),
        );
    }
    let mut wanted = Wanted::of(control, &app, release).await?;
    if job.work == DeployWork::Release {
        check_release(control, &wanted).await?;
    }
    match &job.work {
        DeployWork::Scale { formation } => {
            for (process, count) in formation {
                if let Some(wanted) = wanted.formation.get_mut(process) {
                    *wanted = *count;
                }
            }
        }
        DeployWork::Stop => wanted.stopped = true,
        DeployWork::Start => wanted.stopped = false,
        DeployWork::Release | DeployWork::Restart { .. } => {}
    }
    let release_command = match (&job.work, &wanted.release.spec.release) {
        (DeployWork::Release, Some(command)) => {
            Some(release_recipe(control, &wanted.release, command).await?)
        }
        _ => None,
    };
    let (start, retire) = difference(control, &job.work, &wanted);
    Ok(Some(Change {
        release: wanted.release.clone(),
        wanted,
        start,
        retire,
        release_command,
    }))
}

/// What a release must have before anything of it is run.
async fn check_release(control: &Control, wanted: &Wanted) -> Result<(), Problem> {
    let (release, tree) = (wanted.release.as_ref(), wanted.tree.as_path());
    let spec = &release.spec;
    let routes = spec.all_routes();
    let mut folders = routes.iter().filter_map(|route| match &route.to {
        RouteTo::Files(files) => Some((route, files)),
        RouteTo::Process { .. } => None,
    });
    if let Some((_, files)) = folders.clone().find(|(route, _)| route.path == "/") {
        check_files(tree, &files.folder)?;
    }
    if let Some((route, files)) = folders.find(|(_, files)| !tree.join(&files.folder).is_dir()) {
        return Err(Problem::failed(format!(
            "the folder `{}` is not there, which the route {} leads to",
            files.folder, route.path
        ))
        .hint("Check that the build makes it, and that launchway.toml names the folder with the built files."));
    }
    if spec.processes.is_empty() && routes.is_empty() {
        return Err(Problem::invalid("nothing says what to run")
            .hint("Write a Procfile with a line such as `web: python app.py`."));
    }
    check_variables(wanted)?;
    let persist = control.settings().home.app_persist(&release.app);
    let kept =
        launchway_pipeline::persist::link(tree, &persist, &spec.persist).map_err(|error| {
            Problem::failed("the persistent paths cannot be put in place").caused_by(&error)
        })?;
    if let Some(user) = users::of_app(control, &release.app).await? {
        users::give_persistent(tree, &persist, &spec.persist, user)
            .map_err(|error| problem::file("hand over", &persist, &error))?;
    }
    if !kept.is_empty() {
        tracing::info!(app = %release.app, release = %release.number, ?kept, "the live persistent files are kept");
    }
    Ok(())
}

/// A static site has something to show.
fn check_files(tree: &Path, folder: &str) -> Result<(), Problem> {
    let path = tree.join(folder);
    if path.join("index.html").is_file() {
        return Ok(());
    }
    Err(Problem::failed(format!("the folder `{folder}` has no index.html"))
        .cause(if path.is_dir() { "the folder is there" } else { "the folder is not there" })
        .hint("Check that the build makes it, and that `static` in launchway.toml names the folder with the built site."))
}

/// The variables without which the app says that it cannot start.
fn check_variables(wanted: &Wanted) -> Result<(), Problem> {
    let release = &wanted.release;
    let Some(recipe) = wanted.recipes.values().next() else {
        return Ok(());
    };
    let missing: Vec<(&String, &String)> = release
        .spec
        .required_env
        .iter()
        .filter(|(name, _)| !recipe.env.contains_key(*name))
        .collect();
    let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let (message, pronoun) = match names.as_slice() {
        [] => return Ok(()),
        [name] => (format!("the variable `{name}` is not set"), "it"),
        names => (
            format!("the variables {} are not set", names.join(", ")),
            "them",
        ),
    };
    let assignments: Vec<String> = names.iter().map(|name| format!("{name}=VALUE")).collect();
    let mut problem = Problem::failed(message).hint(format!(
        "Set {pronoun}: `launchway config set {} --app {}`, then deploy again.",
        assignments.join(" "),
        release.app
    ));
    for (name, description) in missing {
        if !description.is_empty() {
            problem = problem.cause(format!("{name}: {description}"));
        }
    }
    Err(problem)
}

async fn release_recipe(
    control: &Control,
    release: &Release,
    command: &launchway_model::app::CommandSpec,
) -> Result<Recipe, Problem> {
    let recipes = recipe::of_release(control, release).await?;
    let process = process_type(task::RELEASE)?;
    Ok(recipes.bare.once(process, command.command.clone()))
}

/// A process type whose name is ours.
pub(crate) fn process_type(name: &'static str) -> Result<ProcessType, Problem> {
    name.parse()
        .map_err(|error| Problem::internal(format!("{error}")))
}

/// What to start and what to end so that what is wanted runs.
fn difference(
    control: &Control,
    work: &DeployWork,
    wanted: &Wanted,
) -> (Vec<Arc<Recipe>>, Vec<InstanceId>) {
    let observed = control.observed.borrow();
    let app = &wanted.release.app;
    let mut serving: BTreeMap<ProcessType, Vec<InstanceId>> = BTreeMap::new();
    let mut ids: Vec<&InstanceId> = observed
        .instances
        .iter()
        .filter(|(id, seen)| id.app() == app && seen.role == Role::Serving)
        .map(|(id, _)| id)
        .collect();
    ids.sort_by_key(|id| id.serial());
    for id in ids {
        serving
            .entry(id.process().clone())
            .or_default()
            .push(id.clone());
    }
    let mut start = Vec::new();
    let mut retire = Vec::new();
    for (process, recipe) in &wanted.recipes {
        let have = serving.remove(process).unwrap_or_default();
        let fresh = match work {
            DeployWork::Release => true,
            DeployWork::Restart { process: None } => true,
            DeployWork::Restart {
                process: Some(only),
            } => only == process,
            DeployWork::Scale { .. } | DeployWork::Stop | DeployWork::Start => false,
        };
        let count = usize::try_from(wanted.count(process)).unwrap_or(usize::MAX);
        let kept = if fresh { 0 } else { have.len().min(count) };
        start.extend(std::iter::repeat_n(
            recipe.clone(),
            count.saturating_sub(kept),
        ));
        retire.extend(have.into_iter().skip(kept));
    }
    // Process types that the release does not have any more.
    retire.extend(serving.into_values().flatten());
    (start, retire)
}

/// Runs the release command once. A control that ended meanwhile left it running, or its record says that it is done.
async fn run_release_command(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    recipe: &Recipe,
) -> Result<(), Problem> {
    let Some(command) = &change.release.spec.release else {
        return Ok(());
    };
    let done_before = job
        .deploy
        .phases
        .iter()
        .any(|record| record.phase == DeployPhase::Release && record.millis.is_some());
    let went_on = job
        .deploy
        .phases
        .iter()
        .any(|record| record.phase > DeployPhase::Release);
    if done_before && went_on {
        return Ok(());
    }
    let shim = match control
        .deploying
        .take_release_command(&change.release.app, change.release.number)
    {
        Some(shim) => shim,
        None => task::start(control, recipe).await?,
    };
    let limit = Duration::from_millis(command.timeout_ms);
    let log = task::log(control, &shim);
    match tokio::time::timeout(limit, task::finished(control, &shim)).await {
        Ok(Some(launchway_model::instance::Exit::Code(0))) => Ok(()),
        Ok(exit) => Err(failure::release_command(&command.command, exit, &log).await),
        Err(_) => {
            task::stop(control, &shim).await;
            Err(failure::release_command_hangs(&command.command, limit, &log).await)
        }
    }
}

async fn start(control: &Control, change: &Change) -> Result<Vec<InstanceId>, Problem> {
    let (reply, answer) = oneshot::channel();
    control
        .tell(Event::Start {
            recipes: change.start.clone(),
            reply,
        })
        .await;
    answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))?
}

/// Waits until all candidates are ready, or one of them cannot become it.
async fn wait_until_ready(
    control: &Control,
    change: &Change,
    started: &[InstanceId],
) -> Result<(), Problem> {
    let health = &change.release.spec.health;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(health.start_ms);
    let mut observed = control.observed.clone();
    loop {
        let verdict = {
            let observed = observed.borrow_and_update();
            failure::judge(&observed, started, deadline)
        };
        let look_again = match verdict {
            failure::Verdict::Ready => {
                let ended = main_processes(&observed.borrow(), started)
                    .into_iter()
                    .any(has_ended);
                if !ended {
                    return Ok(());
                }
                // A child answers, but the main process is gone: its shim is about to say so.
                tokio::time::Instant::now() + Duration::from_millis(20)
            }
            failure::Verdict::Failed { id, why } => {
                return Err(failure::explain(control, change.release.as_ref(), &id, &why).await);
            }
            failure::Verdict::Wait { until } => until,
        };
        tokio::select! {
            changed = observed.changed() => {
                changed.map_err(|_| Problem::unavailable("control is ending"))?;
            }
            () = tokio::time::sleep_until(look_again) => {}
        }
    }
}

/// The main processes that the shims of these instances speak of.
fn main_processes(observed: &Observed, started: &[InstanceId]) -> Vec<u32> {
    let states = started
        .iter()
        .filter_map(|id| observed.instances.get(id).map(|seen| &seen.status));
    states
        .filter_map(|state| match state {
            InstanceState::Running { pid, .. } => Some(*pid),
            _ => None,
        })
        .collect()
}

/// Whether a process is gone, or only waits for its parent to take note of its end.
fn has_ended(pid: u32) -> bool {
    // The state is the first field after the name, which stands in parentheses and may hold any: proc(5).
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
    })
}

/// The moment in which the new instances serve: the proxy takes the table, then the store says so. A control that dies
/// between both brings the old table back, whose instances still run.
async fn switch(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    started: &[InstanceId],
) -> Result<(), Problem> {
    let app = &change.release.app;
    let (reply, answer) = oneshot::channel();
    let propose = Event::Propose {
        wanted: Box::new(change.wanted.clone()),
        admit: started.to_vec(),
        retire: change.retire.clone(),
        reply,
    };
    control.tell(propose).await;
    let generation = match answer
        .await
        .map_err(|_| Problem::unavailable("control is ending"))?
    {
        Ok(generation) => generation,
        Err(problem) => {
            return Err(failure::lost_before_switch(
                control,
                change.release.as_ref(),
                started,
                problem,
            )
            .await);
        }
    };
    let limit = control.settings().proxy_timeout;
    let applied = match tokio::time::timeout(limit, control.proxy.applied(generation)).await {
        Ok(applied) => applied,
        Err(_) => Err(failure::no_proxy(limit)),
    };
    let committed = match applied {
        Ok(()) => control
            .store
            .commit_switch(job)
            .await
            .map_err(problem::store),
        Err(problem) => Err(problem),
    };
    match committed {
        Ok(()) => {
            control.tell(Event::Commit { app: app.clone() }).await;
            Ok(())
        }
        Err(problem) => {
            control.tell(Event::Withdraw { app: app.clone() }).await;
            Err(problem)
        }
    }
}

/// Lets the old instances end their requests, then has them stopped: TERM, the grace time, KILL.
async fn drain(control: &Control, change: &Change) {
    let routed = with_port(control, &change.retire);
    if !routed.is_empty() {
        let deadline = change
            .wanted
            .recipes
            .values()
            .filter(|recipe| recipe.takes_requests())
            .map(|recipe| recipe.grace)
            .max()
            .unwrap_or(Duration::from_secs(10));
        let cut = control.proxy.drain(routed, deadline).await;
        for (id, requests) in cut {
            tracing::warn!(instance = %id, requests, "requests were still in flight at the end of the drain");
        }
    }
    control
        .tell(Event::Discard {
            instances: change.retire.clone(),
        })
        .await;
}

/// Of these instances, those that take requests.
fn with_port(control: &Control, ids: &[InstanceId]) -> Vec<InstanceId> {
    let observed = control.observed.borrow();
    ids.iter()
        .filter(|id| {
            observed
                .instances
                .get(*id)
                .is_some_and(|seen| seen.port.is_some())
        })
        .cloned()
        .collect()
}

/// The nearest process type to a mistyped one, as a hint.
pub(crate) fn unknown_process(release: &Release, process: &ProcessType) -> Problem {
    let known: Vec<&str> = release
        .spec
        .processes
        .keys()
        .map(ProcessType::as_str)
        .collect();
    let problem = Problem::not_found(format!("{} has no process type `{process}`", release.app));
    match did_you_mean(process.as_str(), known.iter().copied()) {
        Some(hint) => problem.hint(hint),
        None => problem.hint(format!("Its process types are {}.", known.join(", "))),
    }
}
