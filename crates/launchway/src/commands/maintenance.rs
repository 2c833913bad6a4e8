//! `launchway maintenance`

use std::process::ExitCode;

use launchway_model::api::MaintenanceState;
use launchway_model::route::Maintenance;

use super::OfApp;
use crate::cli::Context;

/// Put an app into maintenance: its addresses answer 503 with a page, until it is off again.
#[derive(Debug, clap::Args)]
pub(crate) struct MaintenanceCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the page in place of the app
    On {
        /// What the page says
        #[arg(
            short,
            long,
            default_value = "We are working on it. Please come back in a few minutes."
        )]
        message: String,
        /// Addresses or ranges whose requests reach the app all the same, such as 203.0.113.7
        #[arg(long, value_name = "RANGE")]
        allow: Vec<String>,
        #[command(flatten)]
        of: OfApp,
    },
    /// Let the app answer again
    Off {
        #[command(flatten)]
        of: OfApp,
    },
    /// Say whether it is on
    Status {
        #[command(flatten)]
        of: OfApp,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: MaintenanceCommand) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let (of, state) = match args.what {
        What::On { message, allow, of } => (of, Some(Some(Maintenance { message, allow }))),
        What::Off { of } => (of, Some(None)),
        What::Status { of } => (of, None),
    };
    let path = of.path("maintenance")?;
    let now: MaintenanceState = match state {
        Some(maintenance) => client.put(&path, &MaintenanceState { maintenance })?,
        None => client.get(&path)?,
    };
    context.output.result(&now, |output| {
        output.line(match &now.maintenance {
            Some(page) if page.allow.is_empty() => format!("maintenance is on: {}", page.message),
            Some(page) => format!(
                "maintenance is on: {} (but for {})",
                page.message,
                page.allow.join(", ")
            ),
            None => "maintenance is off".to_owned(),
        })?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
