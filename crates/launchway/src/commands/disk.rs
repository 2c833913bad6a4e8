//! `launchway disk`

use std::process::ExitCode;

use launchway_model::disk::DiskUsage;

use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// Show what takes the disk, by kind and app, and what each is kept within.
///
/// Builds, logs and caches are swept by themselves; what a rollback needs and what apps wrote is never removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Disk {}

/// Runs the command.
pub(crate) fn run(context: &Context, _: Disk) -> anyhow::Result<ExitCode> {
    let usage: DiskUsage = context.client()?.get("/disk")?;
    context.output.result(&usage, |output| {
        output.line(format!(
            "{} free of {}, {} in reserve",
            words::size(usage.free_bytes),
            words::size(usage.total_bytes),
            words::size(usage.reserve_bytes)
        ))?;
        let mut table = Table::new(&["kind", "app", "takes", "budget"]);
        for kind in &usage.kinds {
            let budget = kind
                .budget_bytes
                .map_or_else(|| "-".to_owned(), words::size);
            let each = if kind.apps.len() > 1 && kind.budget_bytes.is_some() {
                " each"
            } else {
                ""
            };
            table.row([
                kind.kind.clone(),
                String::new(),
                words::size(kind.bytes),
                format!("{budget}{each}"),
            ]);
            for (app, bytes) in kind.apps.iter().filter(|(_, bytes)| **bytes > 0) {
                table.row([
                    String::new(),
                    app.to_string(),
                    words::size(*bytes),
                    String::new(),
                ]);
            }
        }
        Ok(output.table(&table)?)
    })?;
    Ok(ExitCode::SUCCESS)
}
