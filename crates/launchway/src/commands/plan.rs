//! `launchway plan`

use std::path::PathBuf;
use std::process::ExitCode;

use launchway_model::Problem;
use launchway_model::app::AppSpec;
use launchway_model::build::StageInfo;
use launchway_pipeline::Described;

use crate::cli::Context;

/// Show in words how a folder would be built and run, without doing it.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// The folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// The plan for `--json`.
#[derive(Debug, serde::Serialize)]
struct Printed<'a> {
    words: &'a [String],
    spec: &'a AppSpec,
    stages: Vec<StageInfo>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Plan) -> anyhow::Result<ExitCode> {
    let described = describe(&args.path)?;
    let printed = Printed {
        words: &described.words,
        spec: &described.spec,
        stages: described.plan.infos(),
    };
    context.output.result(&printed, |output| {
        for word in &described.words {
            output.line(word)?;
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Reads what a folder's files say.
///
/// # Errors
/// The folder is not there, or its files cannot be understood.
pub(super) fn describe(path: &std::path::Path) -> anyhow::Result<Described> {
    if !path.is_dir() {
        return Err(Problem::invalid(format!("{} is not a folder", path.display())).into());
    }
    launchway_pipeline::read(path, None).map_err(|error| error.to_problem().into())
}
