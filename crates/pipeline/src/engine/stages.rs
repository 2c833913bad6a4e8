//! Stages: their order, their conditions, their results, what follows them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use launchway_model::Problem;
use launchway_model::build::{BuildResult, StageId};
use launchway_model::runner::RunnerEventKind;

use super::build::Build;
use super::command::{How, Shell};
use super::condition;
use super::environment::Environment;
use super::input;
use super::log::StageLog;
use super::script;
use super::services;
use super::steps::{self, Interrupt};
use super::stop::{Deadline, Stop, StopReason};
use crate::plan::{Agent, Body, Options, Plan, Post, PostWhen, Stage, Text, Variable};

/// What follows a cancelled or timed-out stage may take this long.
const POST_LIMIT_MS: u64 = 30_000;

/// Where a step is: the stage, its log, its variables, its folder, and what may stop it.
#[derive(Debug, Clone)]
pub(crate) struct Context<'a> {
    pub(crate) build: &'a Build<'a>,
    pub(crate) stage: StageId,
    /// The stage's name.
    pub(crate) name: String,
    pub(crate) log: StageLog,
    pub(crate) environment: Environment,
    pub(crate) folder: PathBuf,
    pub(crate) stops: Vec<Arc<Stop>>,
    pub(crate) deadlines: Vec<Deadline>,
    pub(crate) fail_fast: bool,
    pub(crate) stop_on_unstable: bool,
    /// Variables that the plan, a stage or a step set: what a script sets for the whole build does not change them.
    pub(crate) pinned: BTreeSet<String>,
    /// The result that the stage shows, where a caught error makes it worse than what it counts for in the build.
    pub(crate) shown: Arc<Mutex<BuildResult>>,
}

/// The worse of two results; what was left out makes nothing worse.
pub(crate) fn worse(a: BuildResult, b: BuildResult) -> BuildResult {
    match (a, b) {
        (BuildResult::NotBuilt, other) | (other, BuildResult::NotBuilt) => other,
        (a, b) => a.max(b),
    }
}

/// Runs a plan and gives the build's result.
pub(crate) fn run_plan(build: &Build<'_>, plan: &Plan) -> BuildResult {
    let log = match build.log(StageId(0)) {
        Ok(log) => log,
        Err(error) => {
            build.remember(BuildResult::Failure, no_log(&error));
            return BuildResult::Failure;
        }
    };
    let mut context = Context {
        build,
        stage: StageId(0),
        name: "build".to_owned(),
        log,
        environment: build.environment.clone(),
        folder: build.job.tree.clone(),
        stops: vec![Arc::clone(&build.stop)],
        deadlines: vec![build.deadline.clone()],
        fail_fast: plan.options.fail_fast,
        stop_on_unstable: plan.options.stop_on_unstable,
        pinned: BTreeSet::new(),
        shown: Arc::new(Mutex::new(BuildResult::Success)),
    };
    if let Err(interrupt) = script::load(&context) {
        return settle(&context, interrupt);
    }
    if let Err(interrupt) = context.add_variables(&plan.env) {
        return settle(&context, interrupt);
    }
    let attempts = plan.options.attempts.unwrap_or(1).max(1);
    let mut result = BuildResult::Success;
    for attempt in 1..=attempts {
        result = sequence(&context, &plan.stages, 0);
        if result != BuildResult::Failure || attempt == attempts {
            break;
        }
        context
            .log
            .say(&format!("Trying again ({} of {attempts})", attempt + 1));
    }
    if let Some(last) = plan
        .stages
        .len()
        .checked_sub(1)
        .filter(|_| !plan.post.is_empty())
    {
        // What follows the whole build is written to the log of its last stage.
        let id = plan.stages[..last].iter().map(Stage::size).sum();
        if let Ok(log) = build.log(StageId(id)) {
            context.log = log;
        }
    }
    if let Some(scripts) = &build.scripts {
        scripts.set_reached(result);
        result = worse(result, scripts.result());
    }
    after(&context, &plan.post, result)
}

/// Runs stages one after the other; once one failed, the rest is left out.
fn sequence(context: &Context<'_>, stages: &[Stage], first: u32) -> BuildResult {
    let mut result = BuildResult::Success;
    let mut id = first;
    for stage in stages {
        let stop = result > BuildResult::Unstable
            || (context.stop_on_unstable && result == BuildResult::Unstable);
        if stop {
            leave_out(context, stage, id);
        } else {
            result = worse(result, run_stage(context, stage, id));
        }
        id += stage.size();
    }
    result
}

/// Runs stages side by side.
fn parallel(context: &Context<'_>, stages: &[Stage], first: u32, fail_fast: bool) -> BuildResult {
    let group = match Stop::new() {
        Ok(stop) => Arc::new(stop),
        Err(error) => {
            return settle(
                context,
                Interrupt::Failed(
                    Problem::internal("cannot make an event descriptor").cause(error),
                ),
            );
        }
    };
    let mut context = context.clone();
    context.stops.push(Arc::clone(&group));
    let fail_fast = fail_fast || context.fail_fast;
    let (context, group) = (&context, &group);
    let results: Vec<BuildResult> = std::thread::scope(|scope| {
        let mut id = first;
        let threads: Vec<_> = stages
            .iter()
            .map(|stage| {
                let own = id;
                id += stage.size();
                scope.spawn(move || {
                    let result = run_stage(context, stage, own);
                    if fail_fast
                        && result >= BuildResult::Failure
                        && result != BuildResult::NotBuilt
                    {
                        group.stop(StopReason::Neighbour(stage.name.clone()));
                    }
                    result
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(BuildResult::Failure))
            .collect()
    });
    // Neighbours that were stopped for a failure do not make an abort of it.
    let failed = results.contains(&BuildResult::Failure) && group.reason().is_some();
    results.into_iter().fold(BuildResult::Success, |all, one| {
        if failed && one == BuildResult::Aborted && context.build.stop.reason().is_none() {
            all
        } else {
            worse(all, one)
        }
    })
}

/// Tells that a stage and all within it do not run.
fn leave_out(context: &Context<'_>, stage: &Stage, id: u32) {
    for id in id..id + stage.size() {
        let stage = StageId(id);
        context
            .build
            .spool
            .emit(RunnerEventKind::StageStarted { stage });
        context.build.spool.emit(RunnerEventKind::StageFinished {
            stage,
            result: BuildResult::NotBuilt,
        });
    }
}

/// Runs one stage with all that belongs to it.
fn run_stage(parent: &Context<'_>, stage: &Stage, id: u32) -> BuildResult {
    // Only a stage of steps takes a place: a stage of stages would hold one while its own wait.
    let permit = matches!(stage.body, Body::Steps(_)).then(|| parent.build.permits.take());
    if parent.stopped().is_some() {
        leave_out(parent, stage, id);
        return BuildResult::Aborted;
    }
    let build = parent.build;
    let number = StageId(id);
    build
        .spool
        .emit(RunnerEventKind::StageStarted { stage: number });
    let mut context = parent.clone();
    context.stage = number;
    context.name.clone_from(&stage.name);
    context.shown = Arc::new(Mutex::new(BuildResult::Success));
    let result = match build.log(number) {
        Ok(log) => {
            context.log = log;
            context.in_stage(stage, id)
        }
        Err(error) => settle(&context, Interrupt::Failed(no_log(&error))),
    };
    if result == BuildResult::NotBuilt {
        for inner in id + 1..id + stage.size() {
            let stage = StageId(inner);
            build.spool.emit(RunnerEventKind::StageStarted { stage });
            build
                .spool
                .emit(RunnerEventKind::StageFinished { stage, result });
        }
    }
    let shown = *context.shown.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = if shown == BuildResult::Success {
        result
    } else {
        worse(result, shown)
    };
    build.spool.emit(RunnerEventKind::StageFinished {
        stage: number,
        result: shown,
    });
    drop(permit);
    result
}

impl Context<'_> {
    fn in_stage(&mut self, stage: &Stage, id: u32) -> BuildResult {
        self.environment
            .insert("STAGE_NAME".to_owned(), stage.name.clone());
        if let Err(interrupt) = self.add_variables(&stage.env) {
            return settle(self, interrupt);
        }
        self.apply(&stage.options, &stage.name);
        if let Some(Agent::Label(label)) = &stage.agent {
            self.log.say(&format!(
                "Asked for a machine with `{label}`; it runs on this one"
            ));
        }
        if let Some(input) = stage.input.as_ref().filter(|input| !input.after_when)
            && let Err(interrupt) = input::of_stage(self, input)
        {
            return settle(self, interrupt);
        }
        if let Some(condition) = &stage.when {
            match condition::holds(self, condition) {
                Ok(true) => {}
                Ok(false) => {
                    self.log.say("Left out: its condition does not hold");
                    return BuildResult::NotBuilt;
                }
                Err(problem) => return settle(self, Interrupt::Failed(problem)),
            }
        }
        if let Some(input) = stage.input.as_ref().filter(|input| input.after_when)
            && let Err(interrupt) = input::of_stage(self, input)
        {
            return settle(self, interrupt);
        }
        let ran = services::beside(self, &stage.services, |context| context.attempts(stage, id));
        let result = ran.unwrap_or_else(|interrupt| settle(self, interrupt));
        after(self, &stage.post, result)
    }

    /// Runs a stage's body as often as its options say.
    fn attempts(&self, stage: &Stage, id: u32) -> BuildResult {
        let attempts = stage.options.attempts.unwrap_or(1).max(1);
        let mut result = BuildResult::Success;
        for attempt in 1..=attempts {
            result = match &stage.body {
                Body::Steps(steps) => self.last_attempt(steps, attempt == attempts),
                Body::Stages(stages) => sequence(self, stages, id + 1),
                Body::Parallel { stages, fail_fast } => parallel(self, stages, id + 1, *fail_fast),
            };
            if result != BuildResult::Failure || attempt == attempts || self.stopped().is_some() {
                break;
            }
            self.log
                .say(&format!("Trying again ({} of {attempts})", attempt + 1));
        }
        result
    }

    /// Runs a stage's steps; a failure becomes the build's problem only when no attempt is left.
    fn last_attempt(&self, steps: &[crate::plan::Step], last: bool) -> BuildResult {
        let outcome = steps::Outcome::default();
        match steps::run_all(self, &outcome, steps) {
            Ok(()) => outcome.get(),
            Err(Interrupt::Failed(problem)) if !last => {
                self.say_problem(&problem);
                BuildResult::Failure
            }
            Err(interrupt) => worse(outcome.get(), settle(self, interrupt)),
        }
    }

    fn apply(&mut self, options: &Options, name: &str) {
        if let Some(ms) = options.timeout_ms {
            self.deadlines
                .push(Deadline::new(format!("stage `{name}`"), ms));
        }
        self.fail_fast |= options.fail_fast;
        self.stop_on_unstable |= options.stop_on_unstable;
    }

    /// What stops this stage, if something does.
    pub(crate) fn stopped(&self) -> Option<Interrupt> {
        if let Some(reason) = self.stops.iter().find_map(|stop| stop.reason()) {
            return Some(Interrupt::Aborted(stopped_words(&self.name, &reason)));
        }
        let now = std::time::Instant::now();
        let met = self.deadlines.iter().find(|deadline| deadline.at <= now);
        met.map(|deadline| Interrupt::Aborted(timed_out(deadline)))
    }

    /// Adds variables in order; a value may use those before it as `$NAME` or `${NAME}`.
    pub(crate) fn add_variables(&mut self, variables: &[Variable]) -> Result<(), Interrupt> {
        for variable in variables {
            let value = match &variable.value {
                Text::Plain(value) => expand(value, &self.environment),
                Text::Script(script) => {
                    let value = self.script_text(script)?;
                    self.add_credential_parts(&variable.name, &value, script);
                    value
                }
            };
            self.pinned.insert(variable.name.clone());
            self.environment.insert(variable.name.clone(), value);
        }
        Ok(())
    }

    /// A text, once its script (if it is one) was run.
    pub(crate) fn text(&self, text: &Text) -> Result<String, Problem> {
        match text {
            Text::Plain(text) => Ok(text.clone()),
            Text::Script(script) => match self.script_text(script) {
                Ok(text) => Ok(text),
                Err(Interrupt::Failed(problem) | Interrupt::Aborted(problem)) => Err(problem),
            },
        }
    }

    fn script_text(&self, script: &crate::plan::Script) -> Result<String, Interrupt> {
        script::run(self, &steps::Outcome::default(), script).map(|value| value.to_text())
    }

    /// `X = credentials('…')` of a user and a password sets `X_USR` and `X_PSW` too.
    fn add_credential_parts(&mut self, name: &str, value: &str, script: &crate::plan::Script) {
        if !script.text.trim_start().starts_with("credentials") {
            return;
        }
        let credentials = &self.build.credentials;
        let parts = match credentials.parts_of(value) {
            Some(parts) => Some(parts),
            // A stored text or file has no parts, whatever characters it holds.
            None if credentials.holds(value) => None,
            None => value
                .split_once(':')
                .map(|(user, password)| (user.to_owned(), password.to_owned())),
        };
        if let Some((user, password)) = parts {
            for (part, value) in [("USR", user), ("PSW", password)] {
                let name = format!("{name}_{part}");
                self.pinned.insert(name.clone());
                self.environment.insert(name, value);
            }
        }
    }

    /// The variables with what scripts set for the whole build.
    pub(crate) fn effective(&self) -> Cow<'_, Environment> {
        let Some(scripts) = &self.build.scripts else {
            return Cow::Borrowed(&self.environment);
        };
        let set = scripts.variables();
        if set.is_empty() {
            return Cow::Borrowed(&self.environment);
        }
        let mut environment = self.environment.clone();
        environment.extend(
            set.into_iter()
                .filter(|(name, _)| !self.pinned.contains(name)),
        );
        Cow::Owned(environment)
    }

    /// Whether a shell command succeeds, with what it writes in the log.
    pub(crate) fn succeeds(&self, script: &str) -> Result<bool, Problem> {
        let ended = self
            .shell(script, false, "-e")
            .run(&self.build.lingering)
            .map_err(|error| Problem::internal("cannot start a shell").cause(error))?;
        match ended.how {
            How::Exited(status) => Ok(status.success()),
            How::Stopped(reason) => Err(stopped_words(&self.name, &reason)),
            How::TimedOut(deadline) => Err(timed_out(&deadline)),
        }
    }

    /// A command in this place.
    pub(crate) fn shell<'b>(&'b self, script: &'b str, capture: bool, flags: &'b str) -> Shell<'b> {
        Shell {
            script,
            environment: self.effective(),
            folder: &self.folder,
            temporary: &self.build.temporary,
            log: &self.log,
            stops: &self.stops,
            deadlines: &self.deadlines,
            user: self.build.job.user.map(|who| (who.user, who.group)),
            capture,
            flags,
        }
    }

    /// Sets a variable that no script of the build changes.
    pub(crate) fn set_pinned(&mut self, name: String, value: String) {
        self.pinned.insert(name.clone());
        self.environment.insert(name, value);
    }

    /// Lets the stage look worse than it counts.
    pub(crate) fn show(&self, result: BuildResult) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = worse(*shown, result);
    }

    /// Writes a problem to the log.
    pub(crate) fn say_problem(&self, problem: &Problem) {
        self.log.say(&problem.to_string());
        if let Some(hint) = &problem.hint {
            self.log.say(hint);
        }
    }
}

/// Writes what ended a stage to its log, keeps it for the build, and gives the result.
fn settle(context: &Context<'_>, interrupt: Interrupt) -> BuildResult {
    let (result, problem) = match interrupt {
        Interrupt::Failed(problem) => (BuildResult::Failure, problem),
        Interrupt::Aborted(problem) => (BuildResult::Aborted, problem),
    };
    context.say_problem(&problem);
    context.build.remember(result, problem);
    result
}

/// Runs what follows, in Jenkins' order, and gives the result that it leaves.
fn after(context: &Context<'_>, post: &[Post], result: BuildResult) -> BuildResult {
    if post.is_empty() {
        return result;
    }
    let mut context = context.clone();
    if context.stopped().is_some() {
        // What follows an abort still runs, but not for long, and not to be stopped again by the same word.
        context.stops.clear();
        context.deadlines = vec![Deadline::new(
            "what follows a stage that was stopped",
            POST_LIMIT_MS,
        )];
    }
    let mut result = result;
    for when in PostWhen::ORDER {
        for post in post.iter().filter(|post| post.when == when) {
            if let Some(scripts) = &context.build.scripts {
                result = worse(result, scripts.result());
            }
            if !when.applies(result, context.build.last) {
                continue;
            }
            let outcome = steps::Outcome::at(result);
            if let Err(interrupt) = steps::run_all(&context, &outcome, &post.steps) {
                result = worse(result, settle(&context, interrupt));
            }
            result = worse(result, outcome.get());
        }
    }
    result
}

/// A value with `$NAME` and `${NAME}` replaced by what is known; what is not known stays as it is.
fn expand(value: &str, environment: &Environment) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        shown.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = match after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match environment.get(name) {
            Some(value) if !name.is_empty() => {
                shown.push_str(value);
                rest = &after[length..];
            }
            _ => {
                shown.push('$');
                rest = after;
            }
        }
    }
    shown.push_str(rest);
    shown
}

fn no_log(error: &io::Error) -> Problem {
    Problem::internal("a stage's log cannot be made").cause(error)
}

/// The problem of a build that somebody cancelled.
pub(crate) fn cancelled(reason: &str) -> Problem {
    let problem = Problem::failed("the build was cancelled");
    if reason.is_empty() {
        problem
    } else {
        problem.cause(reason)
    }
}

pub(crate) fn stopped_words(stage: &str, reason: &StopReason) -> Problem {
    match reason {
        StopReason::Cancelled(reason) => cancelled(reason),
        StopReason::Neighbour(other) => Problem::failed(format!(
            "stage `{stage}` was stopped, since `{other}` beside it failed"
        )),
    }
}

pub(crate) fn timed_out(deadline: &Deadline) -> Problem {
    let limit = crate::describe::quantity::show_ms(deadline.limit_ms);
    Problem::failed(format!("{} met its time limit of {limit}", deadline.what)).hint(
        "Give it more time with `timeout = \"…\"`, or look in its log for what it waited for.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_use_earlier_ones() {
        let environment: Environment = [
            ("A".to_owned(), "1".to_owned()),
            ("B_C".to_owned(), "2".to_owned()),
        ]
        .into();
        assert_eq!(expand("$A-${B_C}$A", &environment), "1-21");
        assert_eq!(expand("$X ${Y} $ ${A", &environment), "$X ${Y} $ ${A");
        assert_eq!(expand("ä$A", &environment), "ä1");
    }

    #[test]
    fn results_are_ordered() {
        use BuildResult::{Aborted, Failure, NotBuilt, Success, Unstable};
        assert_eq!(worse(Success, Unstable), Unstable);
        assert_eq!(worse(Failure, NotBuilt), Failure);
        assert_eq!(worse(NotBuilt, Success), Success);
        assert_eq!(worse(Failure, Aborted), Aborted);
    }
}
