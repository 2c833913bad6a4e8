//! `launchway run`

use std::process::ExitCode;

use launchway_model::api::{RunOutput, RunRequest};
use launchway_model::runner::LogSource;
use launchway_model::{AppName, Problem};

use super::app_path;
use crate::cli::Context;
use crate::repository;

/// Run a command once in the release that serves, with its environment and files.
///
/// The exit code is the command's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The app [default: of the repository around the current folder]
    pub(crate) app: Option<AppName>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Run) -> anyhow::Result<ExitCode> {
    let app = repository::app(args.app.as_ref())?;
    let mut stream = context.client()?.post_stream(
        &app_path(&app, "run"),
        &RunRequest {
            command: args.command,
        },
    )?;
    while let Some(event) = stream.next::<RunOutput>()? {
        if context.output.is_json() {
            context.output.record(&event)?;
        }
        match event {
            RunOutput::Line { .. } if context.output.is_json() => {}
            RunOutput::Line {
                source: LogSource::Out,
                text,
            } => context.output.line(text)?,
            RunOutput::Line { text, .. } => context.output.note(text),
            RunOutput::Exited { code } => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
        }
    }
    Err(Problem::unavailable("the connection ended before the command did").into())
}
