//! `launchway dependency-check`

use std::path::PathBuf;
use std::process::ExitCode;

use launchway_model::scan::ScanSummary;
use launchway_scanner::ExitCode as Verdict;
use launchway_scanner::command::{self, Options, Output as Written};
use launchway_scanner::dependency_check::{self, Arguments};
use launchway_scanner::output::Format;

use super::scan::no_verdict;
use crate::cli::Context;
use crate::output::Tone;

/// Scan as the command of OWASP Dependency-Check does: its arguments, its reports.
///
/// Understood are --scan, --format, --out, --project, --exclude, --failOnCVSS, --suppression and --data; what has no
/// meaning here (keys, feeds, analysers) is told and passed over. Nothing is downloaded: the advisories are those of
/// `launchway advisories update`.
///
/// Exits with 0, 1 where a finding meets --failOnCVSS, 2 for files that cannot be read, and 3 where there are no advisories.
#[derive(Debug, clap::Args)]
pub(crate) struct DependencyCheck {
    /// The advisories [default: advisories/ in the installation's folder]
    #[arg(long, hide = true, value_name = "PATH")]
    advisories: Option<PathBuf>,
    /// Where the step of a build looks for what was found
    #[arg(long, hide = true, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// The project's name where the arguments give none
    #[arg(long, hide = true, value_name = "NAME")]
    named: Option<String>,
    /// The arguments as one text, as a Jenkinsfile has them
    #[arg(long, hide = true, allow_hyphen_values = true, value_name = "TEXT")]
    text: Option<String>,
    /// The arguments of Dependency-Check
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: DependencyCheck) -> anyhow::Result<ExitCode> {
    let database = match &args.advisories {
        Some(database) => database.clone(),
        None => context.settings()?.home().advisories(),
    };
    let mut base = Options::new(".", database);
    base.project = args.named;
    let mapped = match &args.text {
        Some(text) => dependency_check::from_text(text, base, &|name| std::env::var(name).ok()),
        None => dependency_check::from_list(&args.arguments, base),
    };
    let Arguments {
        mut options,
        update,
        notes,
    } = mapped.map_err(|error| no_verdict(&error))?;
    for note in &notes {
        context
            .output
            .note(context.output.note_tone(Tone::Faint, note));
    }
    if update {
        context.output.note(context.output.note_tone(
            Tone::Faint,
            "nothing is downloaded during a scan: the advisories are those that are here",
        ));
    }
    options.style.color = context.output.is_colored();
    options.outputs.push(Written {
        format: Format::Table,
        path: None,
    });
    let outcome = command::run(&options).map_err(|error| no_verdict(&error))?;
    context.output.line(outcome.stdout.trim_end_matches('\n'))?;
    for path in &outcome.written {
        context.output.note(format!("wrote {}", path.display()));
    }
    if outcome.exit == Verdict::NoData {
        context.output.note(
            "`launchway advisories update` fetches advisories; `--data PATH` names some that are here already.",
        );
    }
    if let Some(path) = &args.summary {
        let summary = ScanSummary {
            report: launchway_control::scans::report_of(&outcome.report),
            written: outcome
                .written
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
        };
        std::fs::write(path, serde_json::to_vec(&summary)?)?;
    }
    Ok(ExitCode::from(outcome.exit.code()))
}
