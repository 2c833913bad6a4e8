//! `launchway logs`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::api::AppLogLine;
use launchway_model::runner::LogSource;
use launchway_model::{InstanceId, ProcessType};

use super::OfApp;
use crate::cli::Context;
use crate::client::segment;
use crate::output::{Output, Tone};

/// Print what an app's instances wrote.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    of: OfApp,
    /// Go on with new lines until interrupted
    #[arg(short, long)]
    follow: bool,
    /// This process type alone
    #[arg(short, long, value_name = "TYPE")]
    process: Option<ProcessType>,
    /// This instance alone, as `ps` names it
    #[arg(short, long, value_name = "ID")]
    instance: Option<InstanceId>,
    /// How many of the last lines
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: u32,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Logs) -> anyhow::Result<ExitCode> {
    let mut path = args
        .of
        .path(&format!("logs?lines={}&follow={}", args.lines, args.follow))?;
    if let Some(process) = &args.process {
        path = format!("{path}&process={}", segment(process.as_str()));
    }
    if let Some(instance) = &args.instance {
        path = format!("{path}&instance={}", segment(&instance.to_string()));
    }
    let mut stream = context.client()?.stream(&path)?;
    while let Some(line) = stream.next::<AppLogLine>()? {
        print(context.output, &line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(output: Output, line: &AppLogLine) -> anyhow::Result<()> {
    if output.is_json() {
        return output.record(line);
    }
    let at = Timestamp::from_millisecond(line.millis).map_or_else(
        |_| String::new(),
        |at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%H:%M:%S%.3f")
                .to_string()
        },
    );
    let who = format!("{}.{}", line.instance.process(), line.instance.serial());
    let head = output.tone(Tone::Faint, format!("{at} {who:<10}"));
    let text = match line.source {
        LogSource::Out => line.text.clone(),
        LogSource::Err => output.tone(Tone::Warning, &line.text),
        LogSource::Launchway => output.tone(Tone::Faint, &line.text),
    };
    output.line(format!("{head} {text}"))?;
    Ok(())
}
