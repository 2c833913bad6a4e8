//! `launchway completions`

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Context};

/// Print completions for a shell.
///
/// For bash: `launchway completions bash > ~/.local/share/bash-completion/completions/launchway`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Completions) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "launchway", &mut text);
    context
        .output
        .line(String::from_utf8_lossy(&text).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
