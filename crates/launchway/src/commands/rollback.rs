//! `launchway rollback`

use std::process::ExitCode;

use launchway_model::ReleaseNumber;
use launchway_model::api::{ChangeAccepted, RollbackRequest};

use super::{OfApp, await_change};
use crate::cli::Context;

/// Put an earlier release back into service.
///
/// The rollback is a new release with the old one's tree and processes, and the configuration that holds now.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The release, as `v3` or `3` [default: the one that served before]
    release: Option<ReleaseNumber>,
    #[command(flatten)]
    of: OfApp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Rollback) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let change: ChangeAccepted = client.post(
        &args.of.path("rollback")?,
        &RollbackRequest {
            release: args.release,
        },
    )?;
    await_change(context, &client, &change, "nothing to roll back")?;
    Ok(ExitCode::SUCCESS)
}
