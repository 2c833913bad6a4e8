//! `launchway stop`

use std::process::ExitCode;

use launchway_model::api::ChangeAccepted;

use super::{OfApp, await_change};
use crate::cli::Context;

/// Stop an app: its instances end, and its addresses answer 503 until `start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    of: OfApp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Stop) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let change: ChangeAccepted = client.post(&args.of.path("stop")?, &serde_json::json!({}))?;
    await_change(context, &client, &change, "stopped")?;
    Ok(ExitCode::SUCCESS)
}
