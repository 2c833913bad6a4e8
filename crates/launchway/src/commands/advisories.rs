//! `launchway advisories`

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use launchway_scanner::database::Database;
use serde::Serialize;

use super::scan::{Fetch, fetch};
use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// Show and fetch the advisories that dependencies are checked against.
#[derive(Debug, clap::Args)]
pub(crate) struct Advisories {
    #[command(subcommand)]
    what: Option<What>,
    /// Where they are [default: advisories/ in the installation's folder]
    #[arg(long, global = true, value_name = "PATH")]
    db: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what there is, and of when (as without a word)
    Show,
    /// Fetch what is new, and what is missing of the ecosystems named
    ///
    /// A server fetches again every day once this was done; `launchway control --advisories-every 0` keeps it from that.
    Update {
        #[command(flatten)]
        fetch: Fetch,
        /// Leave the processor to everything else
        #[arg(long, hide = true)]
        background: bool,
    },
}

/// The advisories of one ecosystem.
#[derive(Debug, Serialize)]
struct Of {
    ecosystem: String,
    records: u32,
    as_of: Timestamp,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Advisories) -> anyhow::Result<ExitCode> {
    let database = match args.db {
        Some(database) => database,
        None => context.settings()?.home().advisories(),
    };
    if let Some(What::Update {
        fetch: options,
        background,
    }) = args.what
    {
        if background {
            let _ = rustix::process::nice(19);
        }
        let failed = fetch(context, &options, database.clone())?;
        if failed > 0 {
            return Ok(ExitCode::FAILURE);
        }
        if background {
            return Ok(ExitCode::SUCCESS);
        }
    }
    show(context, &database)
}

fn show(context: &Context, database: &std::path::Path) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let opened = Database::open(database, None, now.as_second());
    for note in &opened.notes {
        context.output.note(note);
    }
    let all: Vec<Of> = opened
        .index
        .iter()
        .flat_map(|index| index.ecosystems())
        .map(|data| Of {
            ecosystem: data.bucket.clone(),
            records: data.records,
            as_of: Timestamp::from_second(data.as_of()).unwrap_or_default(),
        })
        .collect();
    context.output.result(&all, |output| {
        if all.is_empty() {
            output.note("`launchway advisories update` fetches advisories.");
            return Ok(());
        }
        let mut table = Table::new(&["ecosystem", "advisories", "of", "age"]);
        for of in &all {
            table.row([
                of.ecosystem.clone(),
                of.records.to_string(),
                of.as_of.strftime("%Y-%m-%d %H:%M UTC").to_string(),
                words::age(of.as_of, now),
            ]);
        }
        Ok(output.table(&table)?)
    })?;
    Ok(if all.is_empty() {
        ExitCode::from(launchway_scanner::ExitCode::NoData.code())
    } else {
        ExitCode::SUCCESS
    })
}
