//! How a command fails: the problem on standard error, the exit code for scripts.

use std::io::ErrorKind;
use std::process::ExitCode;

use launchway_model::{Problem, ProblemKind};

use crate::output::Output;

/// Prints an error and gives the exit code that stands for it.
pub(crate) fn report(output: &Output, error: &anyhow::Error) -> ExitCode {
    if reader_went_away(error) {
        // `launchway logs | head` is not an error.
        return ExitCode::SUCCESS;
    }
    let problem = problem_of(error);
    output.problem(&problem);
    ExitCode::from(problem.kind.exit_code())
}

/// The problem in an error: the one that it carries, or one made of its messages.
fn problem_of(error: &anyhow::Error) -> Problem {
    if let Some(problem) = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Problem>())
    {
        return problem.clone();
    }
    let mut chain = error.chain().map(ToString::to_string);
    let mut problem = Problem::new(ProblemKind::Failed, chain.next().unwrap_or_default());
    problem.causes = chain.collect();
    problem
}

fn reader_went_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
}
