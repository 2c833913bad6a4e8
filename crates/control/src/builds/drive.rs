//! One build, from its job file to its end: starts the runner, follows its spool, writes what it says into the store.
//!
//! The spool is the truth. Control reads it from the start whenever it begins to follow a build, so that it makes no
//! difference whether it ended in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::build::{BuildResult, Stage, StageId, StageState};
use launchway_model::credential::RunnerSecrets;
use launchway_model::request::ANSWERS_FOLDER;
use launchway_model::runner::{
    ARTIFACTS_FOLDER, BuildUser, CANCEL_FILE, JOB_FILE, LOG_FOLDER, REPORTS_FOLDER, RunnerEvent,
    RunnerEventKind, RunnerJob, ScannerJob,
};
use launchway_model::scan::ScanReport;
use launchway_model::trigger::TriggerSpec;
use launchway_model::{PROTOCOL, Problem};
use launchway_pipeline::{runner, spool};
use launchway_store::{BuildEnd, BuildUpdate, NewRelease, StoredBuild};
use tokio::process::{Child, Command};

use super::needs;
use super::remote::{Lost, Remote};
use super::requests;
use crate::confinement::Whose;
use crate::problem::Persist;
use crate::{Control, config, credentials, problem, scans, triggers, users};

/// How often the spool of a running build is looked at: often while it is young, since a cached build takes a blink.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How long a build is young.
const YOUNG: Duration = Duration::from_secs(10);
/// How often a build on an agent is looked at though it said nothing.
const REMOTE_LOOK: Duration = Duration::from_millis(500);
/// How often it is checked that the runner lives.
const ALIVE: Duration = Duration::from_millis(250);
/// How long after its time limit a runner has to end by itself before it is taken for dead.
const OVERTIME: Duration = Duration::from_secs(60);
/// The file with what the runner itself said, for the case that it dies.
const RUNNER_LOG: &str = "runner.log";

/// Follows a build to its end and writes it.
pub(super) async fn run(control: &Control, stored: StoredBuild) {
    let id = stored.build.id;
    let began = tokio::time::Instant::now();
    let followed = match Follower::begin(control, &stored).await {
        Ok(follower) => follower.follow(control, &stored).await,
        Err(problem) => Err(problem),
    };
    let (state, mut result, mut problem) = match followed {
        Ok(Followed::Ended(state, result, problem)) => (*state, result, problem),
        Ok(Followed::Again(reason)) => return again(control, &stored, &reason).await,
        Err(problem) => (State::default(), BuildResult::Failure, Some(problem)),
    };
    if let Err(refused) = own_tree(control, &stored, result).await {
        (result, problem) = (BuildResult::Failure, Some(refused));
    }
    let mut release = match release_of(&stored, &state, result) {
        // Its pipeline has deployed it already, and what came of that is the pipeline's own result.
        Some(_) if requests::was_released(control, id).await => None,
        release => release,
    };
    if let Some(new) = &release
        && let Err(refused) = scans::gate(control, &new.app, id, &new.spec).await
    {
        // What makes no release has not succeeded: whoever waits for it must see why.
        (result, problem, release) = (BuildResult::Failure, Some(refused), None);
    }
    control.parked.free(id);
    let end = BuildEnd {
        result,
        problem,
        at: Timestamp::now(),
        release,
    };
    control
        .metrics
        .built(&stored.build.request.app, result, began.elapsed());
    let mut persist = Persist::new("the end of a build");
    if let Err(problem) = crate::results::keep(control, id).await {
        tracing::warn!(%problem, build = %id, "the tests and artifacts of a build cannot be remembered");
    }
    let made = loop {
        match control.store.end_build(id, &end).await {
            Ok(made) => break made,
            Err(error) => persist.failed(error).await,
        }
    };
    if let Some(remote) = Remote::of(control, &stored) {
        remote.end(control).await;
    }
    tracing::info!(build = %id, app = %stored.build.request.app, ?result, "build ended");
    if made.is_some() {
        control.wake.deploys.notify_one();
    }
    control.wake.changed();
    // Remotes may be asked for it; the next build of this app need not wait.
    if let Ok(control) = control.shared() {
        let request = stored.build.request;
        control.tasks.clone().spawn(async move {
            triggers::upstream::ended(&control, &request, result).await;
        });
    }
}

/// The tree that an agent delivered belongs to the app's user, as one that was made here does.
async fn own_tree(
    control: &Control,
    stored: &StoredBuild,
    result: BuildResult,
) -> Result<(), Problem> {
    let request = &stored.build.request;
    let delivered = Remote::of(control, stored).is_some() && result == BuildResult::Success;
    if !delivered || !request.deploy {
        return Ok(());
    }
    let tree = control.settings().home.tree(&request.app, stored.build.id);
    let user = users::of_app(control, &request.app).await?;
    users::give(&[&tree], user)
}

/// Puts a build whose agent was lost back into the queue: what came of the attempt goes, so that the next begins anew.
async fn again(control: &Control, stored: &StoredBuild, reason: &str) {
    let id = stored.build.id;
    let home = &control.settings().home;
    // The lease ends first: from here on its agent is refused.
    if let Some(remote) = Remote::of(control, stored) {
        remote.end(control).await;
    }
    for folder in [home.build(id), home.tree(&stored.build.request.app, id)] {
        if let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %folder.display(), "what a lost attempt left cannot be removed");
        }
    }
    let mut persist = Persist::new("a build's next attempt");
    while let Err(error) = control.store.queue_again(id, reason).await {
        persist.failed(error).await;
    }
    tracing::info!(build = %id, reason, "a build is tried again");
    control.wake.builds.notify_one();
    control.wake.changed();
}

/// The release that a green build becomes, where it is to be deployed. Failed tests that the build calls unstable do
/// not keep it from that only where the pipeline says so, by ending it as a success.
fn release_of(stored: &StoredBuild, state: &State, result: BuildResult) -> Option<NewRelease> {
    let request = &stored.build.request;
    if !request.deploy || result != BuildResult::Success {
        return None;
    }
    Some(NewRelease {
        app: request.app.clone(),
        build: stored.build.id,
        commit: request.commit.clone(),
        subject: request.subject.clone(),
        spec: state.update.spec.clone()?,
        config_version: None,
        cause: request.cause.clone(),
    })
}

/// What the events of a build amount to.
#[derive(Debug, Default)]
struct State {
    update: BuildUpdate,
    ended: Option<(BuildResult, Option<Problem>)>,
    /// What the build's steps found since the last look.
    scanned: Option<ScanReport>,
    runner: Option<u32>,
    /// What the pipeline says that starts further builds, until it is written.
    triggers: Option<Vec<TriggerSpec>>,
    /// What was asked, and what is not waited for any more, since the last look.
    news: Vec<requests::News>,
}

impl State {
    fn apply(&mut self, event: RunnerEvent) {
        let at = event.at;
        match event.kind {
            RunnerEventKind::Started { pid, .. } => self.runner = Some(pid),
            RunnerEventKind::Planned {
                spec,
                stages,
                triggers,
                ..
            } => {
                self.triggers = Some(triggers);
                self.update.spec = Some(*spec);
                self.update.stages = stages
                    .into_iter()
                    .map(|info| Stage {
                        info,
                        status: StageState::Waiting,
                    })
                    .collect();
            }
            RunnerEventKind::StageStarted { stage } => {
                self.set(stage, |_| StageState::Running { since: at })
            }
            RunnerEventKind::StageFinished { stage, result } => self.set(stage, |before| {
                let since = match before {
                    StageState::Running { since } => *since,
                    StageState::Waiting | StageState::Finished { .. } => at,
                };
                StageState::Finished { result, since, at }
            }),
            RunnerEventKind::Tests { counts } => self.update.tests = Some(counts),
            RunnerEventKind::Scanned { report } => self.scanned = Some(*report),
            RunnerEventKind::Artifact { .. } | RunnerEventKind::Report(_) => {}
            RunnerEventKind::Asked { number, ask } => {
                self.news.push(requests::News::Asked { number, ask, at })
            }
            RunnerEventKind::Settled { number } => self.news.push(requests::News::Settled(number)),
            RunnerEventKind::Finished { result, problem } => self.ended = Some((result, problem)),
        }
    }

    fn set(&mut self, id: StageId, status: impl FnOnce(&StageState) -> StageState) {
        if let Some(stage) = self
            .update
            .stages
            .iter_mut()
            .find(|stage| stage.info.id == id)
        {
            stage.status = status(&stage.status);
        }
    }

    /// Stages that ran when the runner died ended with it; those that waited are not built.
    fn close(&mut self, now: Timestamp) {
        for stage in &mut self.update.stages {
            stage.status = match stage.status {
                StageState::Running { since } => StageState::Finished {
                    result: BuildResult::Aborted,
                    since,
                    at: now,
                },
                StageState::Waiting => StageState::Finished {
                    result: BuildResult::NotBuilt,
                    since: now,
                    at: now,
                },
                StageState::Finished { result, since, at } => {
                    StageState::Finished { result, since, at }
                }
            };
        }
    }
}

/// What following a build came to.
enum Followed {
    /// It ended.
    Ended(Box<State>, BuildResult, Option<Problem>),
    /// Its agent was lost, and it is tried again.
    Again(String),
}

/// Follows one spool.
struct Follower {
    /// The agent that builds, where it is not this machine.
    remote: Option<Remote>,
    events: spool::EventReader,
    state: State,
    /// The runner, where this control started it.
    child: Option<Child>,
    /// Its process id, where one is known.
    pid: Option<u32>,
}

impl Follower {
    /// Starts the runner, or finds the one that a control before this one started.
    async fn begin(control: &Control, stored: &StoredBuild) -> Result<Self, Problem> {
        let folder = control.settings().home.build(stored.build.id);
        let mut follower = Self {
            remote: Remote::of(control, stored),
            events: spool::EventReader::new(&folder, 0),
            state: State::default(),
            child: None,
            pid: stored.runner,
        };
        if let Some(remote) = &follower.remote {
            let job = job(control, stored, &folder).await?;
            remote.offer(control, stored, job, secrets(control, stored).await?);
            return Ok(follower);
        }
        // A job file without a runner is from a control that ended in between: the runner is started now.
        if stored.runner.is_none() && !spool::events_path(&folder).exists() {
            let child = start(control, stored, &folder).await?;
            follower.pid = child.id();
            follower.child = Some(child);
            if let Some(pid) = follower.pid {
                control
                    .store
                    .set_runner(stored.build.id, pid)
                    .await
                    .map_err(problem::store)?;
            }
        }
        Ok(follower)
    }

    async fn follow(
        mut self,
        control: &Control,
        stored: &StoredBuild,
    ) -> Result<Followed, Problem> {
        let id = stored.build.id;
        let folder = control.settings().home.build(id);
        let began = tokio::time::Instant::now();
        let overdue = began + control.settings().build_timeout + OVERTIME;
        let mut checked = began;
        loop {
            // The order matters: a runner that is gone before the spool is read has written all that it will.
            let lost = self.remote.as_ref().and_then(|remote| remote.lost(control));
            let gone = self.remote.is_none() && checked.elapsed() >= ALIVE && {
                checked = tokio::time::Instant::now();
                !self.is_alive(&folder)
            };
            let events = self.events.read().map_err(|error| {
                Problem::internal("the build's events cannot be read").caused_by(&error)
            })?;
            let news = !events.is_empty();
            for event in events {
                self.state.apply(event);
            }
            if let Some(report) = self.state.scanned.take() {
                scans::keep_of_steps(control, id, report).await;
            }
            if self.pid.is_none() && self.remote.is_none() {
                self.pid = self.state.runner;
            }
            if news {
                control
                    .store
                    .update_build(id, &self.state.update)
                    .await
                    .map_err(problem::store)?;
                control.wake.changed();
            }
            if let Some(triggers) = self.state.triggers.take() {
                triggers::upstream::planned(control, &stored.build.request, &triggers).await;
            }
            for news in std::mem::take(&mut self.state.news) {
                requests::heard(control, stored, self.state.update.spec.as_ref(), news).await?;
            }
            if let Some((result, problem)) = self.state.ended.take() {
                self.reap();
                return Ok(Followed::Ended(Box::new(self.state), result, problem));
            }
            let overdue = tokio::time::Instant::now() > overdue;
            if let Some(lost) = &lost
                && let Some(reason) = may_try_again(control, stored, lost).await
            {
                return Ok(Followed::Again(reason));
            }
            if gone || overdue || lost.is_some() {
                let problem = match lost {
                    Some(lost) => lost.problem(control.settings().agent_deadline),
                    None => self.died(&folder, overdue).await,
                };
                self.state.close(Timestamp::now());
                control
                    .store
                    .update_build(id, &self.state.update)
                    .await
                    .map_err(problem::store)?;
                return Ok(Followed::Ended(
                    Box::new(self.state),
                    BuildResult::Aborted,
                    Some(problem),
                ));
            }
            if let Some(remote) = &self.remote {
                remote.news(REMOTE_LOOK).await;
                continue;
            }
            tokio::time::sleep(if began.elapsed() < YOUNG {
                LOOK.0
            } else {
                LOOK.1
            })
            .await;
        }
    }

    /// Whether the runner lives: our own child, or a process whose command line names the build's folder.
    fn is_alive(&mut self, folder: &Path) -> bool {
        match (&mut self.child, self.pid.or(self.state.runner)) {
            (Some(child), _) => matches!(child.try_wait(), Ok(None)),
            (None, Some(pid)) => runner::lives(folder, pid),
            (None, None) => false,
        }
    }

    /// The runner died without its last word.
    async fn died(&mut self, folder: &Path, overdue: bool) -> Problem {
        let words = match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(Some(status)) => format!("it ended with {status}"),
                _ => "it did not end".to_owned(),
            },
            None => "it was gone when control came back".to_owned(),
        };
        let said = std::fs::read_to_string(folder.join(RUNNER_LOG)).unwrap_or_default();
        let output: Vec<String> = said
            .lines()
            .rev()
            .take(20)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        if overdue {
            // It is asked to end; what it leaves is killed below.
            let _ = super::ask_to_end(folder, "the build took too long");
        }
        let marked = folder.to_owned();
        let killed = tokio::task::spawn_blocking(move || runner::end_leftovers(&marked))
            .await
            .unwrap_or(0);
        self.reap();
        // Files of credentials are among what a killed runner cannot remove.
        let _ = std::fs::remove_dir_all(folder.join("tmp"));
        let message = if overdue {
            "the build's runner did not end in its time"
        } else {
            "the build's runner died before the build ended"
        };
        let problem = Problem::failed(message).cause(words).output(output);
        let problem = if killed > 0 {
            problem.cause(format!(
                "{killed} of its processes were still there and were ended"
            ))
        } else {
            problem
        };
        problem.hint("It may have been killed for want of memory: see `dmesg`. Deploying again builds again.")
    }

    /// Leaves an ended child to the runtime, which collects it.
    fn reap(&mut self) {
        drop(self.child.take());
    }
}

/// Whether a build whose agent is lost is tried again, and the words for its waiting.
async fn may_try_again(control: &Control, stored: &StoredBuild, lost: &Lost) -> Option<String> {
    let id = stored.build.id;
    let asked_to_end = control.settings().home.build(id).join(CANCEL_FILE).exists();
    if asked_to_end {
        return None;
    }
    let words = lost.problem(control.settings().agent_deadline).message;
    if lost.is_free() {
        return Some(words);
    }
    let attempts = needs::kept(control, id).await.ok()??.attempts;
    let attempt = control.store.attempt(id).await.ok()?;
    (attempt < attempts).then(|| format!("{words}; attempt {} of {attempts}", attempt + 1))
}

/// What the runner is to do; the folders that it names are made.
async fn job(control: &Control, stored: &StoredBuild, folder: &Path) -> Result<RunnerJob, Problem> {
    let settings = control.settings();
    let (home, request, id) = (&settings.home, &stored.build.request, stored.build.id);
    let app = control.app(&request.app).await?;
    let tree = home.tree(&request.app, id);
    let user = users::of_app(control, &request.app).await?;
    let whose = Whose {
        app: &request.app,
        user,
    };
    let persist = home.app_persist(&request.app);
    for folder in [folder, &persist, &home.trees(&request.app)] {
        std::fs::create_dir_all(folder).map_err(|error| problem::file("make", folder, &error))?;
    }
    // What a stranger's build leaves must not reach the app's own builds.
    let foreign = request.origin.is_foreign();
    let (app_home, app_cache) = if foreign {
        (folder.join("tmp/home"), folder.join("tmp/cache"))
    } else {
        (home.app_home(&request.app), home.app_cache(&request.app))
    };
    let own = [
        app_home.clone(),
        app_cache.clone(),
        persist,
        tree.clone(),
        folder.join("tmp"),
    ];
    users::give(&own.each_ref(), user)?;
    let user = user.map(users::of_build);
    if let Some(user) = user {
        make_record_folders(folder, user).map_err(|error| problem::file("make", folder, &error))?;
    }
    let mut sandbox = control.confinement.of_build(settings, whose, id)?;
    if let Some(sandbox) = sandbox.as_mut().filter(|_| foreign) {
        let lasting = [home.app_home(&request.app), home.app_cache(&request.app)];
        sandbox.writable.retain(|path| !lasting.contains(path));
    }
    let seen_at = sandbox
        .as_ref()
        .and_then(|sandbox| sandbox.mount_at.as_deref());
    control
        .store
        .set_seen_at(id, seen_at)
        .await
        .map_err(problem::store)?;
    Ok(RunnerJob {
        protocol: PROTOCOL,
        build: id,
        app: request.app.clone(),
        repository: home.repository(&request.app),
        commit: request.commit.clone(),
        branch: request.branch.clone(),
        folder: folder.to_owned(),
        tree,
        home: app_home,
        cache: app_cache,
        persist: home.app_persist(&request.app),
        description: app.description.clone(),
        env: BTreeMap::new(),
        secrets: true,
        origin: request.origin.clone(),
        cause: request.cause.clone(),
        parameters: request.parameters.clone(),
        timeout_ms: u64::try_from(settings.build_timeout.as_millis()).unwrap_or(u64::MAX),
        memory_bytes: settings.build_memory,
        parallel: settings.build_stages,
        sandbox,
        user,
        scanner: Some(ScannerJob {
            binary: settings.binary.clone(),
            advisories: home.advisories(),
        }),
    })
}

/// Writes the job and starts the runner, which goes on without control.
async fn start(control: &Control, stored: &StoredBuild, folder: &Path) -> Result<Child, Problem> {
    let settings = control.settings();
    let job = job(control, stored, folder).await?;
    let path = folder.join(JOB_FILE);
    let text = serde_json::to_vec(&job)
        .map_err(|error| Problem::internal("cannot encode the job").cause(error))?;
    crate::secrets::write_private(&path, &text)
        .map_err(|error| problem::file("write", &path, &error))?;
    let input = runner::secrets_file(&secrets(control, stored).await?)
        .map_err(|error| Problem::internal("cannot hand secrets to the runner").cause(error))?;
    let log = folder.join(RUNNER_LOG);
    let output =
        std::fs::File::create(&log).map_err(|error| problem::file("make", &log, &error))?;
    let errors = output
        .try_clone()
        .map_err(|error| problem::file("open", &log, &error))?;
    Command::new(&settings.binary)
        .arg("runner")
        .arg(folder)
        .current_dir("/")
        .stdin(input)
        .stdout(output)
        .stderr(errors)
        // Not in our process group: what a terminal sends to us must not reach it.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| {
            Problem::internal(format!(
                "the runner `{}` cannot be started",
                settings.binary.display()
            ))
            .cause(error)
        })
}

/// Makes the folders of a build's record such that its runner can write them, with the file rights of the app's user and a
/// group of its own, and the build's commands cannot.
fn make_record_folders(folder: &Path, user: BuildUser) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let inner = [
        LOG_FOLDER,
        ARTIFACTS_FOLDER,
        REPORTS_FOLDER,
        ANSWERS_FOLDER,
        "mail",
    ]
    .map(|name| (folder.join(name), 0o770));
    // Through the build's folder commands reach their temporary files; they can neither list nor write it.
    for (path, mode) in inner
        .iter()
        .map(|(path, mode)| (path.as_path(), *mode))
        .chain([(folder, 0o771)])
    {
        std::fs::create_dir_all(path)?;
        std::os::unix::fs::chown(path, None, Some(user.record_group))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// What is secret of a build's job: the app's variables and credentials; nothing at all for a pull request of a fork.
pub(crate) async fn secrets(
    control: &Control,
    stored: &StoredBuild,
) -> Result<RunnerSecrets, Problem> {
    let request = &stored.build.request;
    if request.origin.is_foreign() {
        return Ok(RunnerSecrets::default());
    }
    let app = control.app(&request.app).await?;
    Ok(RunnerSecrets {
        env: config::vars(control, &request.app, app.config_version).await?,
        credentials: credentials::of_build(control, request).await?,
    })
}
