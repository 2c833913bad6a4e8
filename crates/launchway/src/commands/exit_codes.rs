//! `launchway help exit-codes`

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Context};

/// What the exit codes mean.
///
///   0  it worked
///   1  a build, a deploy or one of its checks failed; what was serving goes on serving
///   2  the request, an argument or a file is wrong
///   3  there is nothing of that name
///   4  it exists already, or its state does not allow this now
///   5  no valid token
///   6  Launchway cannot be reached, or a part of it
///   7  a limit was met: disk, memory, a budget
///  70  a fault of Launchway itself
///
/// `launchway run` exits with its command's own code.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExitCodes {}

/// Runs the command.
pub(crate) fn run(context: &Context, _: ExitCodes) -> anyhow::Result<ExitCode> {
    let command = Cli::command();
    if let Some(help) = command
        .find_subcommand("exit-codes")
        .and_then(|this| this.get_long_about())
    {
        context.output.line(help)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use launchway_model::ProblemKind;

    use super::*;

    #[test]
    fn every_kind_of_problem_is_documented() {
        let command = Cli::command();
        let help = command
            .find_subcommand("exit-codes")
            .unwrap()
            .get_long_about()
            .unwrap()
            .to_string();
        for kind in [
            ProblemKind::Failed,
            ProblemKind::Invalid,
            ProblemKind::NotFound,
            ProblemKind::Conflict,
            ProblemKind::Unauthenticated,
            ProblemKind::Unavailable,
            ProblemKind::Exhausted,
            ProblemKind::Internal,
        ] {
            let code = format!("{:>3}  ", kind.exit_code());
            assert!(
                help.lines()
                    .any(|line| line.trim_start().starts_with(code.trim_start())),
                "{code} is missing in {help}"
            );
        }
    }
}
