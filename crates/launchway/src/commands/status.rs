//! `launchway status`

use std::process::ExitCode;

use launchway_model::api;

use crate::cli::Context;
use crate::output::{Table, Tone};

/// Show what runs: version, addresses, apps, builds.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

/// Runs the command.
pub(crate) fn run(context: &Context, _: Status) -> anyhow::Result<ExitCode> {
    let status: api::Status = context.client()?.get("/status")?;
    context.output.result(&status, |output| {
        output.line(output.tone(Tone::Strong, format!("Launchway {}", status.version)))?;
        let mut table = Table::facts();
        table.row(["pages and API".to_owned(), status.url.clone()]);
        table.row([
            "proxy".to_owned(),
            if status.proxy.is_empty() {
                "cannot be reached".to_owned()
            } else {
                status.proxy.join(", ")
            },
        ]);
        table.row(["control".to_owned(), format!("process {}", status.pid)]);
        table.row(["apps".to_owned(), status.apps.to_string()]);
        table.row(["active builds".to_owned(), status.active_builds.to_string()]);
        Ok(output.table(&table)?)
    })?;
    Ok(ExitCode::SUCCESS)
}
