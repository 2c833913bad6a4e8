//! The steps by their names in a Jenkinsfile.

use std::sync::Arc;

use launchway_model::Problem;
use launchway_model::build::BuildResult;

use super::super::command::How;
use super::super::failure;
use super::super::stages::{Context, stopped_words, timed_out};
use super::super::steps::{self as engine, Interrupt};
use super::super::stop::{Deadline, Stop, StopReason};
use super::host::ScriptHost;
use super::ssh_agent::Agent;
use super::{asked, credentials, dependency_check, files, notices, publish, result_of, scm};
use crate::groovy::{Args, Closure, Interpreter, STACK, Span, Thrown, Value};
use crate::jenkinsfile::steps::ISSUE_TOOLS;
use crate::plan::{Step, Text};

/// Steps of other systems that change nothing of a build here.
const WITHOUT_EFFECT: [&str; 3] = ["properties", "setGitHubPullRequestStatus", "fingerprint"];

/// Calls that only describe something to the step that they are given to.
const DESCRIBE: [&str; 13] = [
    "scmGit",
    "gitSCM",
    "cloneOption",
    "submodule",
    "relativeTargetDirectory",
    "cleanBeforeCheckout",
    "localBranch",
    "requestor",
    "developers",
    "culprits",
    "brokenBuildSuspects",
    "brokenTestsSuspects",
    "buildUser",
];

/// Runs a step; `None` where no step has that name.
pub(super) fn call(
    host: &ScriptHost<'_>,
    interpreter: &Interpreter<'_>,
    name: &str,
    mut args: Args,
    span: Span,
) -> Option<Result<Value, Thrown>> {
    if let Some(done) = files::call(host, name, &args, span) {
        return Some(done);
    }
    if let Some(done) = dependency_check::call(host, name, &args, span) {
        return Some(done);
    }
    if let Some(done) = simple(host, name, &args, span) {
        return Some(done);
    }
    if name == "parallel" {
        return Some(parallel(host, &args, span));
    }
    let closure = args.take_closure();
    let run = |context: &Context<'_>| match &closure {
        Some(closure) => host.block(interpreter, context, closure),
        None => Ok(Value::Null),
    };
    around(host, name, &args, &run, span)
}

/// Steps without a block.
fn simple(
    host: &ScriptHost<'_>,
    name: &str,
    args: &Args,
    span: Span,
) -> Option<Result<Value, Thrown>> {
    let message = || files::main(host, args, "message", span);
    let flag = |name: &str| args.get(name).is_some_and(Value::is_true);
    let text = |name: &str| args.get(name).map(Value::to_text);
    let step = |step: Step| host.step(&step, span);
    Some(match name {
        "sh" => shell(host, args, span),
        "echo" | "println" | "print" => {
            let line = args.main("message").map_or(String::new(), Value::to_text);
            step(Step::Echo(Text::Plain(line)))
        }
        "error" => message().and_then(|message| step(Step::Fail(Text::Plain(message)))),
        "unstable" => message().and_then(|message| step(Step::Unstable(Text::Plain(message)))),
        "sleep" => milliseconds(host, args, "seconds", span).and_then(|ms| step(Step::Sleep(ms))),
        "checkout" => scm::checkout(host, args, span),
        "git" => scm::git(host, args, span),
        "mail" | "emailext" => notices::mail(host, args, span),
        "slackSend" => notices::slack(host, args, span),
        "publishHTML" => publish::html(host, args, span),
        "recordIssues" => publish::issues(host, args, span),
        "milestone" => milestone(host, args, span),
        "input" => asked::input(host, args, span),
        "build" => asked::build(host, args, span),
        "junit" => files::main(host, args, "testResults", span).and_then(|reports| {
            step(Step::Tests {
                reports: vec![reports],
                allow_empty: flag("allowEmptyResults"),
            })
        }),
        "archiveArtifacts" => files::main(host, args, "artifacts", span).and_then(|files| {
            step(Step::Archive {
                files: vec![files],
                except: text("excludes").into_iter().collect(),
                allow_empty: flag("allowEmptyArchive"),
            })
        }),
        "cleanWs" | "deleteDir" => {
            if host.context.folder == host.context.build.job.tree {
                host.context.log.say("Nothing is deleted: every build has a fresh folder, and this one becomes the release");
                return Some(Ok(Value::Null));
            }
            step(Step::DeleteFolder)
        }
        "pwd" if flag("tmp") => Ok(host.context.build.temporary.display().to_string().into()),
        "pwd" => Ok(host.context.folder.display().to_string().into()),
        "isUnix" => Ok(true.into()),
        "credentials" => files::main(host, args, "id", span)
            .and_then(|id| credentials::value(host, &id, span))
            .map(Value::text),
        "string"
        | "choice"
        | "text"
        | "password"
        | "booleanParam"
        | "usernamePassword"
        | "usernameColonPassword"
        | "file"
        | "sshUserPrivateKey" => {
            let kind = ("$class".into(), name.into());
            Ok(Value::map(
                args.named
                    .iter()
                    .map(|(name, value)| (name.as_str().into(), value.clone()))
                    .chain([kind]),
            ))
        }
        name if DESCRIBE.contains(&name)
            || ISSUE_TOOLS.iter().any(|(tool, _, _)| *tool == name) =>
        {
            let kind = ("$class".into(), name.into());
            let positional = args
                .positional
                .first()
                .map(|value| ("value".into(), value.clone()));
            Ok(Value::map(
                args.named
                    .iter()
                    .map(|(name, value)| (name.as_str().into(), value.clone()))
                    .chain(positional)
                    .chain([kind]),
            ))
        }
        "tool" => {
            let name = files::main(host, args, "name", span);
            name.map(|name| {
                host.context
                    .log
                    .say(&format!("The tool `{name}` is the one on the PATH"));
                Value::text("/usr")
            })
        }
        name if WITHOUT_EFFECT.contains(&name) => {
            host.context
                .log
                .say(&format!("`{name}` has no effect here"));
            Ok(Value::Null)
        }
        _ => return None,
    })
}

/// Steps with a block.
fn around(
    host: &ScriptHost<'_>,
    name: &str,
    args: &Args,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
    span: Span,
) -> Option<Result<Value, Thrown>> {
    let context = host.context;
    Some(match name {
        "script" | "timestamps" | "ansiColor" | "node" | "ws" => run(context),
        "lock" => lock(host, args, run, span),
        "stage" => {
            if let Some(name) = args.main("name") {
                context.log.say(&format!("Stage {}", name.to_text()));
            }
            run(context)
        }
        "dir" => files::main(host, args, "path", span).and_then(|folder| {
            let inner = engine::in_folder(context, &folder)
                .map_err(|interrupt| host.throw(interrupt, span))?;
            run(&inner)
        }),
        "withEnv" => variables(host, args, span)
            .and_then(|variables| run(&with_variables(context, variables))),
        "withCredentials" => bindings(host, args, span).and_then(|bound| {
            // The files are there for as long as the block runs.
            let files = bound.files;
            let value = run(&with_variables(context, bound.variables));
            drop(files);
            value
        }),
        "keepRunning" => run(&with_variables(
            context,
            vec![("JENKINS_NODE_COOKIE".to_owned(), "dontKillMe".to_owned())],
        )),
        "sshagent" => ssh_agent(host, args, span).and_then(|agent| {
            let value = run(&with_variables(context, agent.variables()));
            drop(agent);
            value
        }),
        "retry" => retry(host, args, run, span),
        "timeout" => milliseconds(host, args, "minutes", span).and_then(|ms| {
            let mut inner = context.clone();
            inner.deadlines.push(Deadline::new(
                format!("a step of stage `{}`", context.name),
                ms,
            ));
            run(&inner)
        }),
        "waitUntil" => wait_until(host, run),
        "catchError" => catch_error(host, args, run),
        "warnError" => {
            let message = args.main("message").map(Value::to_text);
            caught(
                host,
                run,
                message,
                BuildResult::Unstable,
                BuildResult::Unstable,
            )
        }
        _ => return None,
    })
}

/// `sh`: as Jenkins runs it, with `-xe`, so that each command is seen in the log.
fn shell(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let context = host.context;
    let script = files::main(host, args, "script", span)?;
    let flag = |name: &str| args.get(name).is_some_and(Value::is_true);
    let (stdout, status_wanted) = (flag("returnStdout"), flag("returnStatus"));
    let label = args.get("label").map(Value::to_text);
    if let Some(label) = &label {
        context.log.say(label);
    }
    let ended = context
        .shell(&script, stdout, "-xe")
        .run(&context.build.lingering)
        .map_err(|error| {
            host.throw(
                Interrupt::Failed(engine::cannot_start(context, &script, &error)),
                span,
            )
        })?;
    match ended.how {
        How::Exited(status) if status_wanted => {
            use std::os::unix::process::ExitStatusExt;
            let code = status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Ok(Value::Int(code.into()))
        }
        How::Exited(status) if status.success() => {
            if stdout {
                return Ok(Value::text(
                    String::from_utf8_lossy(&ended.captured).into_owned(),
                ));
            }
            Ok(Value::Null)
        }
        How::Exited(status) => {
            let path = context.environment.get("PATH").map_or("", String::as_str);
            let name = label.as_deref().unwrap_or(&script);
            let mut problem = failure::of_command(&context.name, name, status, ended.tail, path);
            problem.place = Some(crate::error::place_of(
                crate::jenkinsfile::FILE,
                &host.scripts.jenkinsfile.text,
                span.start,
            ));
            let code = status.code().unwrap_or(-1);
            let thrown = host.throw(Interrupt::Failed(problem), span);
            // Scripts compare this message, as Jenkins words it.
            let exception = Arc::new(crate::groovy::Exception {
                class: thrown.exception.class.clone(),
                message: Some(format!("script returned exit code {code}")),
            });
            if let Some(interrupt) = host.failures.take(&thrown.exception) {
                host.failures.add(Arc::clone(&exception), interrupt);
            }
            Err(Thrown {
                exception,
                ..thrown
            })
        }
        How::Stopped(reason) => Err(host.throw(
            Interrupt::Aborted(stopped_words(&context.name, &reason).output(ended.tail)),
            span,
        )),
        How::TimedOut(deadline) => Err(host.throw(
            Interrupt::Aborted(timed_out(&deadline).output(ended.tail)),
            span,
        )),
    }
}

fn with_variables<'a>(context: &Context<'a>, variables: Vec<(String, String)>) -> Context<'a> {
    let mut inner = context.clone();
    for (name, value) in variables {
        inner.pinned.insert(name.clone());
        inner.environment.insert(name, value);
    }
    inner
}

/// The list of `withEnv(['A=1', 'PATH+X=/opt/x'])`.
fn variables(
    host: &ScriptHost<'_>,
    args: &Args,
    span: Span,
) -> Result<Vec<(String, String)>, Thrown> {
    let effective = host.context.effective();
    list(args.main("overrides"))
        .iter()
        .map(|entry| {
            let entry = entry.to_text().replace('\0', "");
            let Some((name, value)) = entry.split_once('=') else {
                return Err(host.fail(format!("`{entry}` is not of the form NAME=VALUE"), span));
            };
            // `PATH+ANYTHING=x` puts x before what is there.
            match name.split_once('+') {
                Some((name, _)) => {
                    let old = effective.get(name).map_or("", String::as_str);
                    let joined = if old.is_empty() {
                        value.to_owned()
                    } else {
                        format!("{value}:{old}")
                    };
                    Ok((name.to_owned(), joined))
                }
                None => Ok((name.to_owned(), value.to_owned())),
            }
        })
        .collect()
}

fn bindings(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<credentials::Bound, Thrown> {
    let mut bound = credentials::Bound::default();
    for binding in list(args.main("bindings")) {
        credentials::bind(host, &binding, &mut bound, span)?;
    }
    Ok(bound)
}

/// An agent with the keys that `sshagent` names; with `ignoreMissing` without those that are not stored.
fn ssh_agent(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Agent, Thrown> {
    let mut ids: Vec<String> = list(args.main("credentials"))
        .iter()
        .map(Value::to_text)
        .collect();
    if args.get("ignoreMissing").is_some_and(Value::is_true) {
        ids.retain(|id| host.context.build.credentials.get(id).is_some());
    }
    Agent::start(host, &ids, span)
}

pub(super) fn list(value: Option<&Value>) -> Vec<Value> {
    match value {
        Some(Value::List(items)) => items
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one.clone()],
    }
}

/// A time with its unit, in milliseconds.
fn milliseconds(
    host: &ScriptHost<'_>,
    args: &Args,
    usual: &str,
    span: Span,
) -> Result<u64, Thrown> {
    let text = files::main(host, args, "time", span)?;
    let unit = args
        .get("unit")
        .map_or_else(|| usual.to_owned(), Value::to_text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "nanoseconds" | "microseconds" => 0.001,
        "milliseconds" => 1.0,
        "seconds" => 1_000.0,
        "minutes" => 60_000.0,
        "hours" => 3_600_000.0,
        "days" => 86_400_000.0,
        _ => {
            return Err(host.fail(
                format!("`{unit}` is no unit of time: SECONDS, MINUTES, HOURS, DAYS"),
                span,
            ));
        }
    };
    match text.trim().parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the bounds keep it within ten years of milliseconds"
        )]
        Ok(time) if (0.0..=3_650.0 * 86_400_000.0).contains(&(time * factor)) => {
            Ok((time * factor).max(1.0) as u64)
        }
        _ => Err(host.fail(format!("`{text}` is no time"), span)),
    }
}

fn retry(
    host: &ScriptHost<'_>,
    args: &Args,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
    span: Span,
) -> Result<Value, Thrown> {
    let count: u32 = files::main(host, args, "count", span)?
        .trim()
        .parse()
        .unwrap_or(1)
        .clamp(1, 1_000);
    let mut attempt = 1;
    loop {
        match run(host.context) {
            Err(thrown) if !thrown.fatal && attempt < count => {
                attempt += 1;
                host.context.log.say(&format!(
                    "{}; trying again ({attempt} of {count})",
                    thrown.message()
                ));
            }
            other => return other,
        }
    }
}

/// `lock('x') { … }`: no two builds of an app, and no two branches of a build, are in it at the same time.
fn lock(
    host: &ScriptHost<'_>,
    args: &Args,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
    span: Span,
) -> Result<Value, Thrown> {
    let resource = args
        .main("resource")
        .or_else(|| args.get("label"))
        .map_or_else(|| "lock".to_owned(), Value::to_text);
    let name: String = resource
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(100)
        .collect();
    let folder = host.context.build.job.cache.join("locks");
    let file = std::fs::create_dir_all(&folder)
        .and_then(|()| {
            std::fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.join(name))
        })
        .map_err(|error| {
            host.fail(
                format!("the lock `{resource}` cannot be made: {error}"),
                span,
            )
        })?;
    let mut told = false;
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if !told {
            told = true;
            host.context
                .log
                .say(&format!("Waiting for the lock `{resource}`"));
        }
        let waited = engine::sleep(host.context, std::time::Duration::from_millis(100));
        host.done(waited, span)?;
    }
    // The lock ends with the file.
    let done = run(host.context);
    drop(file);
    done
}

/// Runs the block until it is true, with a growing pause in between, as Jenkins does: from a quarter of a second to 15.
fn wait_until(
    host: &ScriptHost<'_>,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
) -> Result<Value, Thrown> {
    let mut pause = 250;
    loop {
        if run(host.context)?.is_true() {
            return Ok(Value::Null);
        }
        let slept = engine::sleep(host.context, std::time::Duration::from_millis(pause));
        host.done(slept, Span::default())?;
        pause = (pause * 6 / 5).min(15_000);
    }
}

fn catch_error(
    host: &ScriptHost<'_>,
    args: &Args,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
) -> Result<Value, Thrown> {
    let result = |name: &str| {
        args.get(name)
            .map(|value| result_of(&value.to_text()).unwrap_or(BuildResult::Success))
    };
    let build = result("buildResult").unwrap_or(BuildResult::Failure);
    let stage = result("stageResult").unwrap_or(build);
    let message = args.main("message").map(Value::to_text);
    caught(host, run, message, build, stage)
}

/// Runs a block; what it throws gives the build and the stage these results, and the script goes on.
fn caught(
    host: &ScriptHost<'_>,
    run: &dyn Fn(&Context<'_>) -> Result<Value, Thrown>,
    message: Option<String>,
    build: BuildResult,
    stage: BuildResult,
) -> Result<Value, Thrown> {
    match run(host.context) {
        Err(thrown) if !thrown.fatal => {
            if let Some(message) = message {
                host.context.log.say(&message);
            }
            let problem = match host.failures.take(&thrown.exception) {
                Some(Interrupt::Failed(problem) | Interrupt::Aborted(problem)) => problem,
                None => Problem::failed(thrown.message()),
            };
            host.context.say_problem(&problem);
            if build != BuildResult::Success {
                host.context.build.remember(build, problem);
            }
            host.outcome.worsen(build);
            host.context.show(stage);
            Ok(Value::Null)
        }
        other => other,
    }
}

/// `parallel(a: { … }, b: { … }, failFast: true)`: each block in a thread of its own.
fn parallel(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let mut branches: Vec<(String, Arc<Closure>)> = Vec::new();
    let mut fail_fast = host.context.fail_fast;
    let mut entries: Vec<(String, Value)> = args.named.clone();
    if let Some(Value::Map(map)) = args.positional.first() {
        let map = map
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        entries.extend(
            map.iter()
                .map(|(name, value)| (name.to_text(), value.clone())),
        );
    }
    for (name, value) in entries {
        match value {
            Value::Closure(closure) => branches.push((name, closure)),
            value if name == "failFast" => fail_fast |= value.is_true(),
            _ => {
                return Err(host.fail(
                    format!("`parallel` takes blocks, but `{name}` is none"),
                    span,
                ));
            }
        }
    }
    let group = match Stop::new() {
        Ok(stop) => Arc::new(stop),
        Err(error) => {
            return Err(host.fail(format!("cannot make an event descriptor: {error}"), span));
        }
    };
    let mut context = host.context.clone();
    context.stops.push(Arc::clone(&group));
    let (context, group) = (&context, &group);
    let results: Vec<Result<Value, Thrown>> = std::thread::scope(|scope| {
        let threads: Vec<_> = branches
            .iter()
            .map(|(name, closure)| {
                let thread = std::thread::Builder::new()
                    .name("branch".to_owned())
                    .stack_size(STACK);
                let scripts = host.scripts;
                let spawned = thread.spawn_scoped(scope, move || {
                    context.log.say(&format!("[{name}] begins"));
                    let own = host.within(context);
                    let done = scripts
                        .session
                        .interpreter(&own)
                        .call_closure(closure, Vec::new());
                    if done.is_err() && fail_fast {
                        group.stop(StopReason::Neighbour(name.clone()));
                    }
                    context.log.say(&format!(
                        "[{name}] {}",
                        if done.is_ok() { "ended" } else { "failed" }
                    ));
                    done
                });
                spawned.map_err(|error| host.fail(format!("cannot start a thread: {error}"), span))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread?.join() {
                Ok(done) => done,
                Err(_) => Err(host.fail("a branch ended by a fault of Launchway's", span)),
            })
            .collect()
    });
    let mut values = Vec::new();
    let mut first: Option<Thrown> = None;
    for ((name, _), result) in branches.iter().zip(results) {
        match result {
            Ok(value) => values.push((Value::text(name.as_str()), value)),
            // A branch that was stopped for another one's failure is not why it failed.
            Err(thrown)
                if first.is_none()
                    || first
                        .as_ref()
                        .is_some_and(|first| first.fatal && !thrown.fatal) =>
            {
                first = Some(thrown);
            }
            Err(_) => {}
        }
    }
    match first {
        Some(thrown) => Err(Thrown {
            fatal: thrown.fatal && host.is_stopped(),
            ..thrown
        }),
        None => Ok(Value::map(values)),
    }
}

/// `milestone 1`: a build that comes here after a newer one of its branch has passed is of no use any more.
fn milestone(host: &ScriptHost<'_>, args: &Args, span: Span) -> Result<Value, Thrown> {
    let job = host.context.build.job;
    let ordinal = args
        .main("ordinal")
        .map_or_else(|| "0".to_owned(), Value::to_text);
    let label = args
        .get("label")
        .map(Value::to_text)
        .unwrap_or_else(|| ordinal.clone());
    let folder = job.cache.join("milestones");
    let key: String = ordinal.chars().filter(char::is_ascii_digit).collect();
    let file = folder.join(format!("{}-{key}", crate::engine::build::branch_key(job)));
    let passed: u64 = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    if passed > job.build.0 {
        let problem = Problem::failed(format!(
            "build #{passed}, which is newer, has passed the milestone {label} already"
        ));
        return Err(host.throw(Interrupt::Aborted(problem), span));
    }
    let kept = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&file, job.build.0.to_string()));
    if let Err(error) = kept {
        tracing::debug!(%error, "a milestone cannot be kept");
    }
    host.context
        .log
        .say(&format!("Passed the milestone {label}"));
    Ok(Value::Null)
}
