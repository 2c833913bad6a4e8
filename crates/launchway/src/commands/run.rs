//! `launchway run`

mod terminal;

use std::io::IsTerminal;
use std::process::ExitCode;

use launchway_model::api::{RunOutput, RunRequest};
use launchway_model::runner::LogSource;
use launchway_model::{AppName, Problem};

use super::app_path;
use crate::cli::Context;
use crate::repository;

/// Run a command once in the release that serves, with its environment and files.
///
/// Where standard input and output are a terminal the command gets one too, with the window's size, so that shells, editors
/// and prompts work; Ctrl-C goes to the command. The exit code is the command's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The app [default: of the repository around the current folder]
    pub(crate) app: Option<AppName>,
    /// Let it go on by itself: print the instance whose log has its output, and return
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Give it no terminal, though there is one
    #[arg(short = 'T', long)]
    pub(crate) no_terminal: bool,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Run) -> anyhow::Result<ExitCode> {
    let app = repository::app(args.app.as_ref())?;
    let client = context.client()?;
    let mut request = RunRequest {
        command: args.command,
        detach: args.detach,
        terminal: None,
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if terminal && !args.no_terminal && !args.detach && !context.output.is_json() {
        request.terminal = Some(terminal::size());
        return terminal::run(client.server(), &app, &request);
    }
    let mut stream = client.post_stream(&app_path(&app, "run"), &request)?;
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
            RunOutput::Detached { instance } => {
                if !context.output.is_json() {
                    context.output.line(instance.to_string())?;
                    context.output.note(format!(
                        "it goes on; `launchway logs --app {app} --instance {instance}` has its output"
                    ));
                }
                return Ok(ExitCode::SUCCESS);
            }
            RunOutput::Exited { code } => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
        }
    }
    Err(Problem::unavailable("the connection ended before the command did").into())
}
