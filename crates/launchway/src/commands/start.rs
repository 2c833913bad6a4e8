//! `launchway start`

use std::process::ExitCode;

use launchway_model::api::ChangeAccepted;

use super::{OfApp, await_change};
use crate::cli::Context;

/// Start an app that was stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    of: OfApp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Start) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let change: ChangeAccepted = client.post(&args.of.path("start")?, &serde_json::json!({}))?;
    await_change(context, &client, &change, "started")?;
    Ok(ExitCode::SUCCESS)
}
