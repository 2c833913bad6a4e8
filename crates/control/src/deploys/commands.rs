//! The commands of a deploy: `release` before each switch, `once` in the app's life, `verify` after the switch.
//!
//! Each runs under a shim of its own, so that it outlives control: a deploy that is resumed takes up the command that
//! still runs. What a command said is kept with the deploy.
//!
//! **Once** means: the record is written before the command is started, and a command is started only where there was no
//! record, or where the one before said itself (by its exit code) that it failed. Where it was killed, ran out of time, or
//! the machine went down amid it, nobody knows how far it came: the record says so, deploys are refused, and a person
//! says what holds.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::app::CommandSpec;
use launchway_model::deploy::{DeployPhase, OnceRecord, OnceState};
use launchway_model::instance::Exit;
use launchway_store::StoredDeploy;

use super::change::{Change, process_type};
use super::{failure, journal};
use crate::recipe::Recipe;
use crate::{Control, apps, problem, task};

/// How a command ended.
enum Ended {
    /// By itself, or with its shim.
    Exit(Option<Exit>),
    /// It was stopped, since its time was over.
    TimedOut,
}

/// Runs the release command. A control that ended meanwhile left it running, or its record says that it is done.
pub(super) async fn release(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    command: &CommandSpec,
) -> Result<(), Problem> {
    if went_past(job, DeployPhase::Release) {
        return Ok(());
    }
    let recipe = change
        .bare
        .once(process_type(task::RELEASE)?, command.command.clone());
    let (ended, log) = run(control, job, &recipe, command, DeployPhase::Release).await?;
    match ended {
        Ended::Exit(Some(Exit::Code(0))) => Ok(()),
        Ended::Exit(exit) => {
            Err(failure::command("the release command", &command.command, exit, &log).await)
        }
        Ended::TimedOut => Err(failure::command_hangs(
            "the release command",
            &command.command,
            Duration::from_millis(command.timeout_ms),
            &log,
        )
        .await),
    }
}

/// Whether the once command is still to be run, as far as is known.
pub(super) async fn once_is_due(control: &Control, change: &Change) -> Result<bool, Problem> {
    if change.release.spec.once.is_none() {
        return Ok(false);
    }
    let record = control
        .store
        .once(&change.release.app)
        .await
        .map_err(problem::store)?;
    Ok(record.is_none_or(|record| record.state != OnceState::Done))
}

/// Runs the command that runs once in the app's life.
pub(super) async fn once(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    command: &CommandSpec,
) -> Result<(), Problem> {
    let app = &change.release.app;
    let (begun, record) = control
        .store
        .begin_once(app, &command.command, job.deploy.id, Timestamp::now())
        .await
        .map_err(problem::store)?;
    let recipe = change
        .bare
        .once(process_type(task::ONCE)?, command.command.clone());
    let kept = control
        .deploying
        .has_command(app, change.release.number, task::ONCE);
    match record.state {
        OnceState::Done => return Ok(()),
        OnceState::Running if begun || kept => {}
        OnceState::Running => {
            // Its shim is not there any more. What it left says how it ended, or nothing does.
            match control.deploying.take_ended(app, task::ONCE) {
                Some(exit) => {
                    return finish_once(control, change, command, Ended::Exit(Some(exit)), None)
                        .await;
                }
                None => {
                    return finish_once(control, change, command, Ended::Exit(None), None).await;
                }
            }
        }
        OnceState::Unknown | OnceState::Failed => return Err(undecided(change, &record)),
    }
    let (ended, log) = match run(control, job, &recipe, command, DeployPhase::Once).await {
        Ok(ended) => ended,
        Err(problem) => {
            // It was never started.
            let words = "it could not be started";
            end_once(control, change, OnceState::Failed, words).await?;
            return Err(problem);
        }
    };
    finish_once(control, change, command, ended, Some(log)).await
}

async fn finish_once(
    control: &Control,
    change: &Change,
    command: &CommandSpec,
    ended: Ended,
    log: Option<PathBuf>,
) -> Result<(), Problem> {
    let log = log.unwrap_or_default();
    match ended {
        Ended::Exit(Some(Exit::Code(0))) => {
            end_once(control, change, OnceState::Done, "exit code 0").await
        }
        Ended::Exit(Some(exit @ Exit::Code(_))) => {
            end_once(control, change, OnceState::Failed, &exit.to_string()).await?;
            let failed =
                failure::command("the once command", &command.command, Some(exit), &log).await;
            Err(failed.hint(
                "It is run again with the next deploy, since it said itself that it failed. Let it undo what it began, or find what is there already.",
            ))
        }
        other => {
            let words = match other {
                Ended::TimedOut => "it ran out of time and was stopped".to_owned(),
                Ended::Exit(Some(exit)) => exit.to_string(),
                Ended::Exit(None) => {
                    "it was killed, or the machine went down, before it ended".to_owned()
                }
            };
            end_once(control, change, OnceState::Unknown, &words).await?;
            let record = control
                .store
                .once(&change.release.app)
                .await
                .map_err(problem::store)?;
            match record {
                Some(record) => Err(undecided(change, &record)),
                None => Err(Problem::internal("the once command's record is gone")),
            }
        }
    }
}

async fn end_once(
    control: &Control,
    change: &Change,
    state: OnceState,
    detail: &str,
) -> Result<(), Problem> {
    control
        .store
        .end_once(&change.release.app, state, detail, Timestamp::now())
        .await
        .map_err(problem::store)
}

fn undecided(change: &Change, record: &OnceRecord) -> Problem {
    let app = &change.release.app;
    Problem::failed("nobody knows how far the once command came, so it is not run again by itself")
        .cause(format!("the command is `{}`", record.command))
        .cause(format!("it began at {} and {}", record.began, record.detail))
        .hint(format!(
            "Look at what it did. Then say so: `launchway once done --app {app}` where its work is done, `launchway once reset --app {app}` to have it run with the next deploy."
        ))
}

/// Runs the command that says whether the release does well.
pub(super) async fn verify(
    control: &Control,
    job: &StoredDeploy,
    change: &Change,
    command: &CommandSpec,
    new: &[launchway_model::InstanceId],
) -> Result<(), Problem> {
    let mut recipe = change
        .bare
        .once(process_type(task::VERIFY)?, command.command.clone());
    let app = control.app(&change.release.app).await?;
    if let Some(url) = apps::urls(control, &app, Some(&change.release)).pop() {
        recipe.env.insert("LAUNCHWAY_URL".to_owned(), url);
    }
    let addresses: Vec<String> = {
        let observed = control.observed.borrow();
        let ports = new.iter().filter_map(|id| observed.instances.get(id)?.port);
        ports
            .map(|port| format!("http://127.0.0.1:{port}"))
            .collect()
    };
    recipe
        .env
        .insert("LAUNCHWAY_INSTANCES".to_owned(), addresses.join(" "));
    let (ended, log) = run(control, job, &recipe, command, DeployPhase::Verify).await?;
    match ended {
        Ended::Exit(Some(Exit::Code(0))) => Ok(()),
        Ended::Exit(exit) => {
            Err(failure::command("the verify command", &command.command, exit, &log).await)
        }
        Ended::TimedOut => Err(failure::command_hangs(
            "the verify command",
            &command.command,
            Duration::from_millis(command.timeout_ms),
            &log,
        )
        .await),
    }
}

/// Whether a deploy that is resumed had ended a phase and begun a later one.
fn went_past(job: &StoredDeploy, phase: DeployPhase) -> bool {
    let ended = |record: &launchway_model::deploy::PhaseRecord| {
        record.phase == phase && record.millis.is_some()
    };
    let phases = &job.deploy.phases;
    phases.iter().any(ended) && phases.iter().any(|record| record.phase > phase)
}

/// Runs a command, or takes up the one that a control before left running, and keeps what it said.
async fn run(
    control: &Control,
    job: &StoredDeploy,
    recipe: &Recipe,
    command: &CommandSpec,
    phase: DeployPhase,
) -> Result<(Ended, PathBuf), Problem> {
    let kept = control
        .deploying
        .take_command(&recipe.app, recipe.release, recipe.process.as_str());
    let shim = match kept {
        Some(shim) => shim,
        None => task::start(control, recipe).await?,
    };
    let limit = Duration::from_millis(command.timeout_ms);
    let log = task::log(control, &shim);
    let ended = match tokio::time::timeout(limit, task::finished(control, &shim)).await {
        Ok(exit) => Ended::Exit(exit),
        Err(_) => {
            task::stop(control, &shim).await;
            Ended::TimedOut
        }
    };
    journal::keep_output(control, job.deploy.id, phase, &log).await;
    Ok((ended, log))
}
