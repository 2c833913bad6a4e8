//! One build from its job file to the last event.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use launchway_model::build::{BuildResult, StageId, TestCase};
use launchway_model::credential::BoundCredential;
use launchway_model::runner::{JOB_FILE, LOG_FOLDER, RunnerEventKind, RunnerJob};
use launchway_model::{PROTOCOL, Problem};

use super::cancel::CancelWatch;
use super::checkout;
use super::command::Lingering;
use super::credentials::Credentials;
use super::environment::{self, Environment};
use super::guise::{self, Doors};
use super::log::StageLog;
use super::mask::Mask;
use super::memory::MemoryGroup;
use super::preflight;
use super::processes;
use super::results;
use super::script::{self, Scripts};
use super::spool::Spool;
use super::stages;
use super::stand_ins;
use super::stop::{Deadline, Stop, StopReason};
use super::units::{self, Desk};
use crate::describe::{self, Described};
use crate::jenkinsfile::ParameterKind;
use crate::persist::Seeds;
use crate::plan::Plan;
use crate::runner::Surroundings;
use crate::spool::log_path;

/// What all stages of a build share.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    pub(crate) job: &'a RunnerJob,
    pub(crate) spool: &'a Spool,
    pub(crate) mask: Arc<Mask>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) deadline: Deadline,
    pub(crate) temporary: PathBuf,
    pub(crate) environment: Environment,
    pub(crate) credentials: Credentials,
    pub(crate) lingering: Mutex<Lingering>,
    pub(crate) permits: Permits,
    pub(crate) tests: Mutex<BTreeMap<String, Vec<TestCase>>>,
    /// The files that the commit changed, once somebody asked.
    pub(crate) changed: OnceLock<Vec<String>>,
    /// How the last build of this branch ended, where that is known.
    pub(crate) last: Option<BuildResult>,
    /// The Groovy of its Jenkinsfile, where it has one.
    pub(crate) scripts: Option<Scripts>,
    /// The ways to tree and cache outside the room, where it works in one.
    pub(crate) doors: Option<Doors>,
    pub(crate) started: Instant,
    /// The first problem of each result: the worst result's is the build's.
    pub(crate) problems: Mutex<BTreeMap<BuildResult, Problem>>,
    /// Whether a step scanned the dependencies.
    pub(crate) scanned: AtomicBool,
    /// When the last file of the checkout was written: what is newer was written by the build.
    pub(crate) checked_out_at: SystemTime,
    /// How many questions it has asked control.
    pub(crate) asked: AtomicU32,
    /// The persistent files as the commit has them, until they are put back for good.
    seeds: Mutex<Option<Seeds>>,
    /// Held while the file of findings is changed.
    pub(crate) recording: Mutex<()>,
}

/// A number of places for stages that run at the same time.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<u32>,
    freed: Condvar,
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            free: Mutex::new(number.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Waits for a place.
    pub(crate) fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .freed
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }

    /// Gives the caller's place to others while it waits for something outside, and takes one again.
    pub(crate) fn without<T>(&self, wait: impl FnOnce() -> T) -> T {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        let waited = wait();
        std::mem::forget(self.take());
        waited
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// Runs the build of a folder. An error means that the spool does not tell the end.
pub(crate) fn run(folder: &Path, surroundings: Surroundings) -> io::Result<()> {
    let spool = Spool::create(folder)?;
    let (result, problem) = match read_job(folder) {
        Ok((job, credentials)) => {
            take_over_process();
            let ended = run_job(&job, credentials, &spool, surroundings);
            processes::end_all();
            ended
        }
        Err(problem) => (BuildResult::Failure, Some(problem)),
    };
    spool.emit(RunnerEventKind::Finished { result, problem });
    spool.close()
}

/// The job, and the credentials that came with it.
fn read_job(folder: &Path) -> Result<(RunnerJob, Vec<BoundCredential>), Problem> {
    let path = folder.join(JOB_FILE);
    let text = fs::read(&path).map_err(|error| {
        Problem::internal(format!("cannot read {}", path.display())).cause(error)
    })?;
    let version: Option<u64> = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|json| json.get("protocol")?.as_u64());
    if let Some(version) = version.filter(|version| *version > u64::from(PROTOCOL)) {
        return Err(Problem::internal(format!(
            "the job speaks protocol {version}, this runner {PROTOCOL}"
        ))
        .hint("Start the build again with the newer Launchway."));
    }
    let mut job: RunnerJob = serde_json::from_slice(&text).map_err(|error| {
        Problem::internal(format!("{} is not a job", path.display())).cause(error)
    })?;
    // The room that the role made shows the tree there.
    job.tree = job.seen_tree().to_owned();
    if !job.secrets {
        return Ok((job, Vec::new()));
    }
    let secrets = crate::runner::read_secrets().map_err(|error| {
        Problem::internal("the job's secrets did not come with it")
            .cause(error)
            .hint("Deploy again: a runner gets them from the control that starts it.")
    })?;
    job.env = secrets.env;
    Ok((job, secrets.credentials))
}

/// Makes this process the reaper of all that the build starts, in a session of its own (no terminal to ask at), and lets
/// what serves go first: by the kernel's rule a process's I/O priority follows its niceness, so one number lowers both.
fn take_over_process() {
    let _ = rustix::process::setsid();
    let own = rustix::process::getpid();
    if let Err(error) = rustix::process::set_child_subreaper(Some(own)) {
        tracing::warn!(%error, "what a build leaves running may outlive it");
    }
    let _ = rustix::process::nice(10);
}

fn run_job(
    job: &RunnerJob,
    credentials: Vec<BoundCredential>,
    spool: &Spool,
    surroundings: Surroundings,
) -> (BuildResult, Option<Problem>) {
    spool.emit(RunnerEventKind::Started {
        pid: surroundings.known_as,
        protocol: PROTOCOL,
    });
    match prepare_and_run(job, credentials, spool, surroundings) {
        Ok(ended) => ended,
        Err(problem) => (BuildResult::Failure, Some(problem)),
    }
}

fn prepare_and_run(
    job: &RunnerJob,
    credentials: Vec<BoundCredential>,
    spool: &Spool,
    surroundings: Surroundings,
) -> Result<(BuildResult, Option<Problem>), Problem> {
    let started = Instant::now();
    let internal =
        |what: &str, error: &io::Error| Problem::internal(format!("cannot {what}")).cause(error);
    let temporary = job.folder.join("tmp");
    let (memory, without) = match job
        .memory_bytes
        .map(|limit| MemoryGroup::enter(job.build, surroundings.known_as, limit))
    {
        Some(Ok(group)) => (Some(group), None),
        Some(Err(error)) => (None, Some(format!("No memory limit: {error}"))),
        None => (None, None),
    };
    // From here on this thread, and all that it starts, touch files as the app's user.
    guise::put_on(job);
    for folder in [
        &job.folder.join(LOG_FOLDER),
        &temporary,
        &job.home,
        &job.cache,
    ] {
        fs::create_dir_all(folder)
            .map_err(|error| internal(&format!("make the folder {}", folder.display()), &error))?;
    }
    let stop = Arc::new(Stop::new().map_err(|error| internal("make an event descriptor", &error))?);
    let watch = CancelWatch::start(&job.folder, Arc::clone(&stop))
        .map_err(|error| internal("watch for a cancel", &error))?;
    let mut notes = checkout::checkout(job)?;
    let checked_out = started.elapsed();
    let checked_out_at = SystemTime::now();
    if let Some(StopReason::Cancelled(reason)) = stop.reason() {
        return Ok((BuildResult::Aborted, Some(stages::cancelled(&reason))));
    }
    let described = describe::read(&job.tree, job.description.as_deref()).map_err(Problem::from)?;
    let stages = described.plan.infos();
    let mut secrets = environment::secrets(job);
    if let Some(jenkinsfile) = &described.jenkinsfile {
        secrets.extend(script::secrets(&jenkinsfile.text, &job.env));
        for parameter in &jenkinsfile.parameters {
            if let ParameterKind::Password { default } = &parameter.kind {
                let given = job.parameters.get(&parameter.name).unwrap_or(default);
                secrets.push(given.as_str());
            }
        }
    }
    let credentials = Credentials::new(credentials, &temporary);
    let bound = credentials.secrets();
    let mask = Arc::new(Mask::with_words(secrets, bound.iter().map(String::as_str)));
    spool.hide(Arc::clone(&mask));
    let scripts = described
        .jenkinsfile
        .clone()
        .map(|jenkinsfile| Scripts::new(jenkinsfile, &job.env, &job.parameters));
    let mut environment = environment::of_build(job, Some(&described.spec), &temporary);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let plan = &described.plan;
    let units_folder = units::make_folder(&temporary)
        .map_err(|error| internal("make the pipes of stand-ins", &error))?;
    let own = stand_ins::make(
        &plan.units,
        &plan.aliases,
        &temporary.join("bin"),
        &units_folder,
        &inherited,
    )
    .map_err(|error| internal("make the stand-ins of commands", &error))?;
    if let (Some(own), Some(path)) = (own, environment.get_mut("PATH")) {
        *path = format!("{}:{path}", own.display());
    }
    for (name, value) in scripts.iter().flat_map(Scripts::parameters) {
        environment.entry(name).or_insert(value);
    }
    environment.extend(job.parameters.clone());
    if let Some(jenkinsfile) = &described.jenkinsfile {
        let path = environment.get("PATH").cloned().unwrap_or_default();
        notes.extend(preflight::check(jenkinsfile, path.as_ref())?);
    }
    let mut words = described.words.clone();
    words.extend(notes.iter().cloned());
    spool.emit(RunnerEventKind::Planned {
        spec: Box::new(described.spec.clone()),
        words: words.iter().map(|line| mask.text(line)).collect(),
        stages,
        triggers: described.triggers.clone(),
    });
    let limit_ms = described
        .plan
        .options
        .timeout_ms
        .map_or(job.timeout_ms, |own| own.min(job.timeout_ms));
    let build = Build {
        job,
        spool,
        mask,
        stop,
        deadline: Deadline::new("the build", limit_ms.max(1)),
        environment,
        credentials,
        last: last_result(job),
        scripts,
        doors: surroundings.outside.map(|outside| Doors {
            tree: (job.tree.clone(), outside.tree),
            cache: (job.cache.clone(), outside.cache),
        }),
        started,
        temporary,
        lingering: Mutex::new(Lingering::default()),
        permits: Permits::new(job.parallel),
        tests: Mutex::new(BTreeMap::new()),
        changed: OnceLock::new(),
        problems: Mutex::new(BTreeMap::new()),
        scanned: AtomicBool::new(false),
        checked_out_at,
        asked: AtomicU32::new(0),
        seeds: Mutex::new(None),
        recording: Mutex::new(()),
    };
    notes.extend(without);
    build.introduce(&described, &notes, checked_out);
    let kept = Seeds::keep(
        &job.tree,
        &build.temporary.join("persist"),
        &described.spec.persist,
    )
    .map_err(|error| internal("keep the persistent files aside", &error))?;
    *build.seeds.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    let mut result = run_with_units(&build, &described.plan, &units_folder);
    if result <= BuildResult::Failure && described.plan.reports.is_empty() {
        result = results::find_unnamed_reports(&build, result);
    }
    processes::end_all();
    checkout::take_repository_back(job);
    if let Err(error) = build.put_seeds_back() {
        let problem =
            Problem::failed("the persistent files of the commit cannot be put back").cause(error);
        build.remember(BuildResult::Failure, problem);
        result = stages::worse(result, BuildResult::Failure);
    }
    drop(watch);
    if result == BuildResult::Aborted
        && let Some(StopReason::Cancelled(reason)) = build.stop.reason()
    {
        // Cancelled between two stages, it stopped none of them that could tell.
        build.remember(result, stages::cancelled(&reason));
    }
    remember_result(job, result);
    let mut problem = build.problem(result);
    if let (Some(problem), Some(group)) =
        (&mut problem, memory.as_ref().filter(|group| group.killed()))
    {
        let limit = describe::quantity::show_bytes(group.limit());
        problem.causes.push(format!(
            "a process was killed, since the build met its memory limit of {limit}"
        ));
    }
    drop(memory);
    let Build {
        lingering,
        temporary,
        ..
    } = build;
    lingering
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .join();
    let _ = fs::remove_dir_all(&temporary);
    Ok((result, problem))
}

/// Runs the plan while the stand-ins of the app's units are answered.
fn run_with_units(build: &Build<'_>, plan: &Plan, folder: &Path) -> BuildResult {
    if plan.units.is_empty() {
        return stages::run_plan(build, plan);
    }
    std::thread::scope(|scope| match Desk::open(scope, build, folder) {
        Ok(desk) => {
            let result = stages::run_plan(build, plan);
            desk.close();
            result
        }
        Err(error) => {
            let problem = Problem::internal("cannot answer the stand-ins of the app's units");
            build.remember(BuildResult::Failure, problem.cause(error));
            BuildResult::Failure
        }
    })
}

impl Build<'_> {
    /// Puts the persistent files back to what the commit has: the tree is about to become a release.
    pub(crate) fn put_seeds_back(&self) -> io::Result<()> {
        let seeds = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
        seeds
            .as_ref()
            .map_or(Ok(()), |seeds| seeds.put_back(&self.job.tree))
    }

    /// The tree's persistent paths lead to the live files now and are not to be touched again.
    pub(crate) fn forget_seeds(&self) {
        *self.seeds.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The log of a stage.
    pub(crate) fn log(&self, stage: StageId) -> io::Result<StageLog> {
        StageLog::open(&log_path(&self.job.folder, stage), Arc::clone(&self.mask))
    }

    /// Keeps the first problem of a result.
    pub(crate) fn remember(&self, result: BuildResult, problem: Problem) {
        self.problems
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(result)
            .or_insert_with(|| masked(problem, &self.mask));
    }

    fn problem(&self, result: BuildResult) -> Option<Problem> {
        if result == BuildResult::Success {
            return None;
        }
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems
            .get(&result)
            .or_else(|| problems.values().next())
            .cloned()
    }

    /// Writes the checkout's words to the first stage's log.
    fn introduce(&self, described: &Described, notes: &[String], checked_out: std::time::Duration) {
        if described.plan.stages.is_empty() {
            return;
        }
        let Ok(log) = self.log(StageId(0)) else {
            return;
        };
        let branch = self
            .job
            .branch
            .as_ref()
            .map(|branch| format!(" of {branch}"))
            .unwrap_or_default();
        log.say(&format!(
            "Checked out {}{branch} in {} ms",
            &self.job.commit[..12],
            checked_out.as_millis()
        ));
        for note in notes {
            log.say(note);
        }
        for path in &described.spec.persist {
            if self.job.tree.join(path).exists() {
                log.say(&format!(
                    "{path} is kept across releases; this build sees the commit's copy, never the live one"
                ));
            }
        }
    }
}

/// Where the result of a branch's last build is kept, for `fixed`, `changed` and `regression`.
fn last_result_file(job: &RunnerJob) -> PathBuf {
    kept_for_branch(job, "results")
}

/// The file in a folder of the cache that keeps something for the branch's next build.
pub(crate) fn kept_for_branch(job: &RunnerJob, folder: &str) -> PathBuf {
    job.cache
        .join(folder)
        .join(format!("{}.json", branch_key(job)))
}

/// The branch as a file's name.
pub(crate) fn branch_key(job: &RunnerJob) -> String {
    job.branch
        .iter()
        .flat_map(|branch| branch.chars())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(100)
        .collect()
}

fn last_result(job: &RunnerJob) -> Option<BuildResult> {
    serde_json::from_slice(&fs::read(last_result_file(job)).ok()?).ok()
}

fn remember_result(job: &RunnerJob, result: BuildResult) {
    let file = last_result_file(job);
    let written = file
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&file, serde_json::to_vec(&result).unwrap_or_default()));
    if let Err(error) = written {
        tracing::debug!(%error, "the build's result cannot be kept for the next one");
    }
}

/// A problem without secrets.
pub(crate) fn masked(mut problem: Problem, mask: &Mask) -> Problem {
    problem.message = mask.text(&problem.message);
    for text in problem.causes.iter_mut().chain(&mut problem.output) {
        *text = mask.text(text);
    }
    problem.hint = problem.hint.map(|hint| mask.text(&hint));
    problem
}
