//! `launchway branches`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::trigger::Branch;

use super::OfApp;
use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// List an app's branches, tags and pull requests with their last builds.
#[derive(Debug, clap::Args)]
pub(crate) struct Branches {
    #[command(flatten)]
    of: OfApp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Branches) -> anyhow::Result<ExitCode> {
    let branches: Vec<Branch> = context.client()?.get(&args.of.path("branches")?)?;
    context.output.result(&branches, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&["name", "commit", "build", "result", "changed", "notes"]);
        for branch in &branches {
            let mut notes: Vec<String> = Vec::new();
            if let Some(change) = &branch.change {
                notes.push(format!(
                    "{} → {}: {}",
                    change.branch, change.target, change.title
                ));
                if let Some(fork) = &change.fork {
                    notes.push(format!("from {fork}"));
                }
            }
            if let Some(preview) = &branch.preview {
                notes.push(format!("preview {preview}"));
            }
            notes.extend(branch.skipped.clone());
            if let Some(next) = branch.next {
                notes.push(format!("next by its schedule at {next}"));
            }
            table.row([
                branch.name.clone(),
                branch.head.chars().take(10).collect(),
                branch
                    .build
                    .map_or_else(|| "-".to_owned(), |build| build.to_string()),
                branch.result.clone().unwrap_or_else(|| "-".to_owned()),
                words::age(branch.changed, now),
                notes.join("; "),
            ]);
        }
        Ok(output.table(&table)?)
    })?;
    Ok(ExitCode::SUCCESS)
}
