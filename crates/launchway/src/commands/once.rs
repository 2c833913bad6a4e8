//! `launchway once`

use std::process::ExitCode;

use launchway_model::api::SettleOnce;
use launchway_model::deploy::{OnceRecord, OnceState};
use ureq::http::Method;

use super::OfApp;
use crate::cli::Context;

/// Say what became of the command that runs once in an app's life.
///
/// `once = "COMMAND"` in launchway.toml fills the database and the like: it runs with the first deploy that gets there, and
/// never again. Where it failed by itself, the next deploy tries again. Where it was killed, nobody knows how far it came:
/// deploys are refused until a person has looked and says `done` or `reset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Once {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show where it stands
    Status {
        #[command(flatten)]
        of: OfApp,
    },
    /// Its work is done: it is never run again
    Done {
        #[command(flatten)]
        of: OfApp,
    },
    /// Its work is not done: the next deploy runs it
    Reset {
        #[command(flatten)]
        of: OfApp,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Once) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let settle = |of: &OfApp, done: bool| {
        client.send(Method::PUT, &of.path("once")?, Some(&SettleOnce { done }))
    };
    match args.what {
        What::Status { of } => {
            let record: Option<OnceRecord> = client.get(&of.path("once")?)?;
            context.output.result(&record, |output| {
                output.line(match &record {
                    None => "it has not been run".to_owned(),
                    Some(record) => in_words(record),
                })?;
                Ok(())
            })?;
        }
        What::Done { of } => {
            settle(&of, true)?;
            context.output.note("it is done and is never run again");
        }
        What::Reset { of } => {
            settle(&of, false)?;
            context.output.note("the next deploy runs it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(record: &OnceRecord) -> String {
    let state = match record.state {
        OnceState::Running => "it runs",
        OnceState::Done => "it is done",
        OnceState::Failed => "it failed, and is run again with the next deploy",
        OnceState::Unknown => "nobody knows how far it came; `done` or `reset` says so",
    };
    let mut words = state.to_owned();
    if !record.detail.is_empty() {
        words += &format!(" ({})", record.detail);
    }
    if !record.command.is_empty() {
        words += &format!(": {}", record.command);
    }
    words
}
