//! Steps, each in the place that its context gives.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use launchway_model::build::BuildResult;
use launchway_model::{Problem, ProblemKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::command::How;
use super::failure;
use super::make;
use super::results;
use super::script;
use super::stages::{Context, stopped_words, timed_out, worse};
use super::stop::Deadline;
use crate::persist;
use crate::plan::Step;

/// How many lines of a script are shown before it runs.
const MAX_SHOWN: usize = 40;

/// What ends a stage before its last step.
#[derive(Debug)]
pub(crate) enum Interrupt {
    /// A step failed.
    Failed(Problem),
    /// It was cancelled, stopped, or met a time limit.
    Aborted(Problem),
}

/// The result that steps leave without ending: a stage may be unstable and go on.
#[derive(Debug)]
pub(crate) struct Outcome(Mutex<BuildResult>);

impl Default for Outcome {
    fn default() -> Self {
        Self::at(BuildResult::Success)
    }
}

impl Outcome {
    pub(crate) fn at(result: BuildResult) -> Self {
        Self(Mutex::new(result))
    }

    pub(crate) fn get(&self) -> BuildResult {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn worsen(&self, result: BuildResult) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = worse(*held, result);
    }
}

/// Runs steps in order until one ends the stage.
pub(crate) fn run_all(
    context: &Context<'_>,
    outcome: &Outcome,
    steps: &[Step],
) -> Result<(), Interrupt> {
    for step in steps {
        if let Some(interrupt) = context.stopped() {
            return Err(interrupt);
        }
        run(context, outcome, step)?;
    }
    Ok(())
}

/// Runs one step.
pub(crate) fn run(context: &Context<'_>, outcome: &Outcome, step: &Step) -> Result<(), Interrupt> {
    let text = |text| context.text(text).map_err(Interrupt::Failed);
    match step {
        Step::Run { script, label } => {
            let script = text(script)?;
            shell(context, &script, label.as_deref())
        }
        Step::Make(make) => make::run(context, outcome, make),
        Step::Tests {
            reports,
            allow_empty,
        } => results::tests(context, outcome, reports, *allow_empty),
        Step::Archive {
            files,
            except,
            allow_empty,
        } => results::archive(context, outcome, files, except, *allow_empty),
        Step::Echo(message) => {
            context.log.say(&text(message)?);
            Ok(())
        }
        Step::Fail(message) => Err(Interrupt::Failed(Problem::failed(text(message)?))),
        Step::Unstable(message) => {
            let problem = Problem::failed(text(message)?);
            context.say_problem(&problem);
            context.build.remember(BuildResult::Unstable, problem);
            outcome.worsen(BuildResult::Unstable);
            Ok(())
        }
        Step::Sleep(ms) => sleep(context, Duration::from_millis(*ms)),
        Step::Retry { attempts, steps } => retry(context, outcome, *attempts, steps),
        Step::Timeout { ms, steps } => {
            let mut inner = context.clone();
            inner.deadlines.push(Deadline::new(
                format!("a step of stage `{}`", context.name),
                *ms,
            ));
            run_all(&inner, outcome, steps)
        }
        Step::WithEnv { env, steps } => {
            let mut inner = context.clone();
            inner.add_variables(env)?;
            run_all(&inner, outcome, steps)
        }
        Step::InFolder { folder, steps } => {
            let inner = in_folder(context, &text(folder)?)?;
            run_all(&inner, outcome, steps)
        }
        Step::CatchError {
            steps,
            build,
            stage,
            message,
        } => match run_all(context, outcome, steps) {
            Err(Interrupt::Failed(problem)) => {
                if let Some(message) = message {
                    context.log.say(&text(message)?);
                }
                context.say_problem(&problem);
                if *build != BuildResult::Success {
                    context.build.remember(*build, problem);
                }
                outcome.worsen(*build);
                context.show(*stage);
                Ok(())
            }
            other => other,
        },
        Step::DeleteFolder => delete_folder(context),
        Step::Script(script) => script::run(context, outcome, script).map(|_| ()),
    }
}

fn shell(context: &Context<'_>, script: &str, label: Option<&str>) -> Result<(), Interrupt> {
    let shown = label.map_or_else(|| script.trim_end().to_owned(), str::to_owned);
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    for line in lines.iter().take(MAX_SHOWN) {
        context.log.say(&format!("$ {line}"));
    }
    if lines.len() > MAX_SHOWN {
        context
            .log
            .say(&format!("$ … ({} more lines)", lines.len() - MAX_SHOWN));
    }
    let began = Instant::now();
    let ended = context
        .shell(script, false, "-e")
        .run(&context.build.lingering)
        .map_err(|error| Interrupt::Failed(cannot_start(context, script, &error)))?;
    match ended.how {
        How::Exited(status) if status.success() => {
            tracing::debug!(stage = context.name, took = ?began.elapsed(), "a command ended");
            Ok(())
        }
        How::Exited(status) => {
            let path = context.environment.get("PATH").map_or("", String::as_str);
            let name = label.unwrap_or(script);
            Err(Interrupt::Failed(failure::of_command(
                &context.name,
                name,
                status,
                ended.tail,
                path,
            )))
        }
        How::Stopped(reason) => Err(Interrupt::Aborted(
            stopped_words(&context.name, &reason).output(ended.tail),
        )),
        How::TimedOut(deadline) => Err(Interrupt::Aborted(timed_out(&deadline).output(ended.tail))),
    }
}

pub(crate) fn cannot_start(context: &Context<'_>, script: &str, error: &std::io::Error) -> Problem {
    let shown = failure::first_line(script);
    let problem = Problem::new(
        if error.kind() == std::io::ErrorKind::StorageFull {
            ProblemKind::Exhausted
        } else {
            ProblemKind::Failed
        },
        format!("stage `{}`: cannot start `{shown}`", context.name),
    )
    .cause(error);
    match script
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("#!"))
    {
        Some(interpreter) => problem.hint(format!(
            "Its first line names {}, which must exist.",
            interpreter.trim()
        )),
        None => problem,
    }
}

/// The context in a folder below the present one, which is made where it is missing.
pub(crate) fn in_folder<'a>(context: &Context<'a>, folder: &str) -> Result<Context<'a>, Interrupt> {
    let mut inner = context.clone();
    if folder == "." {
        return Ok(inner);
    }
    let tree = &context.build.job.tree;
    let outside = || {
        Interrupt::Failed(
            Problem::failed(format!(
                "the folder `{folder}` is not inside the build's tree"
            ))
            .hint("Name a folder relative to the repository's root, without `..`."),
        )
    };
    let relative = std::path::Path::new(folder)
        .strip_prefix(tree)
        .ok()
        .and_then(std::path::Path::to_str);
    let relative = relative.unwrap_or(folder);
    inner.folder = if relative.is_empty() {
        tree.clone()
    } else {
        if !persist::is_inside(relative) {
            return Err(outside());
        }
        if relative == folder {
            context.folder.join(relative)
        } else {
            tree.join(relative)
        }
    };
    fs::create_dir_all(&inner.folder).map_err(|error| {
        Interrupt::Failed(
            Problem::failed(format!("cannot make the folder `{folder}`")).cause(error),
        )
    })?;
    let real = inner.folder.canonicalize().ok();
    if !real
        .zip(tree.canonicalize().ok())
        .is_some_and(|(real, tree)| real.starts_with(tree))
    {
        return Err(outside());
    }
    Ok(inner)
}

fn retry(
    context: &Context<'_>,
    outcome: &Outcome,
    attempts: u32,
    steps: &[Step],
) -> Result<(), Interrupt> {
    let attempts = attempts.max(1);
    let mut attempt = 1;
    loop {
        match run_all(context, outcome, steps) {
            Err(Interrupt::Failed(problem)) if attempt < attempts => {
                context.say_problem(&problem);
                attempt += 1;
                context
                    .log
                    .say(&format!("Trying again ({attempt} of {attempts})"));
            }
            other => return other,
        }
    }
}

pub(crate) fn sleep(context: &Context<'_>, duration: Duration) -> Result<(), Interrupt> {
    let end = Instant::now() + duration;
    loop {
        if let Some(interrupt) = context.stopped() {
            return Err(interrupt);
        }
        let now = Instant::now();
        if now >= end {
            return Ok(());
        }
        let wake = context
            .deadlines
            .iter()
            .map(|deadline| deadline.at)
            .min()
            .map_or(end, |at| at.min(end));
        let left = wake.saturating_duration_since(now);
        let mut fds: Vec<PollFd<'_>> = context
            .stops
            .iter()
            .map(|stop| PollFd::new(&**stop, PollFlags::IN))
            .collect();
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let _ = poll(&mut fds, Some(&timeout));
    }
}

fn delete_folder(context: &Context<'_>) -> Result<(), Interrupt> {
    let failed = |error: std::io::Error| {
        Interrupt::Failed(
            Problem::failed(format!("cannot empty {}", context.folder.display())).cause(error),
        )
    };
    for entry in fs::read_dir(&context.folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            fs::remove_dir_all(path).map_err(failed)?;
        } else {
            fs::remove_file(path).map_err(failed)?;
        }
    }
    Ok(())
}
