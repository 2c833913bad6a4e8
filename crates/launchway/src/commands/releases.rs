//! `launchway releases`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::deploy::{Release, ReleaseState};
use launchway_model::scan::ScanBrief;

use super::OfApp;
use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// List an app's releases, newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Releases {
    #[command(flatten)]
    of: OfApp,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Releases) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let releases: Vec<Release> =
        client.get(&args.of.path(&format!("releases?limit={}", args.limit))?)?;
    // Releases of one build share its tree, and so its scan.
    let scans: Vec<ScanBrief> = client.get(&args.of.path("scans?limit=1000")?)?;
    context.output.result(&releases, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&[
            "release",
            "state",
            "commit",
            "build",
            "vulnerabilities",
            "cause",
            "age",
            "subject",
        ]);
        for release in &releases {
            let state = match &release.state {
                ReleaseState::Created => "created".to_owned(),
                ReleaseState::Serving => "serving".to_owned(),
                ReleaseState::Superseded => "superseded".to_owned(),
                ReleaseState::Refused { problem } => format!("refused: {}", problem.message),
            };
            table.row([
                release.number.to_string(),
                state,
                words::short(&release.commit).to_owned(),
                release.build.to_string(),
                scans
                    .iter()
                    .find(|scan| scan.build == release.build)
                    .map_or_else(|| "not scanned".to_owned(), |scan| scan.words.clone()),
                release.cause.clone(),
                words::age(release.created, now),
                release.subject.clone(),
            ]);
        }
        Ok(output.table(&table)?)
    })?;
    Ok(ExitCode::SUCCESS)
}
