//! What a build asks of control: it writes the question to the spool and waits for the answer's file.
//!
//! The file is looked for with a growing pause rather than watched: a person's answer takes minutes, and a look costs a
//! microsecond. A build that is stopped meanwhile says that it waits no more.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use launchway_model::Problem;
use launchway_model::request::{Answer, AnswerOutcome, Ask, answer_path};
use launchway_model::runner::RunnerEventKind;

use super::build::Build;
use super::stages::Context;
use super::steps::{self, Interrupt};

/// The first and the longest pause between two looks.
const LOOK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Asks, and waits for the answer for as long as the stage is not stopped. An answer of failure is a failure.
pub(crate) fn ask(context: &Context<'_>, ask: Ask) -> Result<Answer, Interrupt> {
    let answer = with(context.build, ask, |pause| steps::sleep(context, pause))?;
    match (&answer.outcome, &answer.problem) {
        (AnswerOutcome::Failed, problem) => Err(Interrupt::Failed(
            problem
                .clone()
                .unwrap_or_else(|| Problem::failed("it could not be done")),
        )),
        _ => Ok(answer),
    }
}

/// Asks, and waits with `pause`, whose error ends the waiting.
pub(crate) fn with<E: From<Interrupt>>(
    build: &Build<'_>,
    ask: Ask,
    mut pause: impl FnMut(Duration) -> Result<(), E>,
) -> Result<Answer, E> {
    let number = build.asked.fetch_add(1, Ordering::Relaxed);
    let path = answer_path(&build.job.folder, number);
    build.spool.emit(RunnerEventKind::Asked {
        number,
        ask: Box::new(ask),
    });
    let mut look = LOOK.0;
    let answer = loop {
        match fs::read(&path) {
            Ok(text) => {
                break serde_json::from_slice(&text).map_err(|error| {
                    let problem = Problem::internal("an answer to the build cannot be read");
                    E::from(Interrupt::Failed(problem.cause(error)))
                });
            }
            // In the moment in which it appears its rights may not be the runner's yet.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => {
                let problem = Problem::internal("an answer to the build cannot be read");
                break Err(E::from(Interrupt::Failed(problem.cause(error))));
            }
        }
        if let Err(stopped) = pause(look) {
            break Err(stopped);
        }
        look = (look * 2).min(LOOK.1);
    };
    build.spool.emit(RunnerEventKind::Settled { number });
    answer
}
