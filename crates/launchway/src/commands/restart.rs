//! `launchway restart`

use std::process::ExitCode;

use launchway_model::ProcessType;
use launchway_model::api::ChangeAccepted;

use super::{OfApp, await_change};
use crate::cli::Context;
use crate::client::segment;

/// Replace an app's instances by new ones of the same release, without a failed request.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    of: OfApp,
    /// This process type alone
    #[arg(short, long, value_name = "TYPE")]
    process: Option<ProcessType>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Restart) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let mut path = args.of.path("restart")?;
    if let Some(process) = &args.process {
        path = format!("{path}?process={}", segment(process.as_str()));
    }
    let change: ChangeAccepted = client.post(&path, &serde_json::json!({}))?;
    await_change(context, &client, &change, "restarted")?;
    Ok(ExitCode::SUCCESS)
}
