//! `launchway scan`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::Context;

/// Check a folder's dependencies against known vulnerabilities, offline.
#[derive(Debug, clap::Args)]
pub(crate) struct Scan {
    /// The folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Scan) -> anyhow::Result<ExitCode> {
    let _ = (context, args.path);
    anyhow::bail!("the scanner is not wired yet")
}
