//! `launchway pipeline`: a Jenkinsfile's or launchway.toml's stages, without a server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_pipeline::describe;

use crate::cli::Context;

mod run;

/// Check, convert or run the stages of a Jenkinsfile or launchway.toml, here and without a server
#[derive(Debug, clap::Args)]
pub(crate) struct Pipeline {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Refuse what could not be run, before any build: with file, line, column and what to write instead
    Check {
        /// The file; the folder's Jenkinsfile, or else its launchway.toml
        file: Option<PathBuf>,
    },
    /// Print a Jenkinsfile as a launchway.toml; what cannot be said there becomes a comment
    Convert {
        /// The Jenkinsfile
        #[arg(default_value = "Jenkinsfile")]
        file: PathBuf,
    },
    /// Run the stages on this machine, over the files as they are, committed or not
    Run(run::Run),
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Pipeline) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Check { file } => {
            let file = chosen(file)?;
            describe::check(&name_of(&file), &read(&file)?).map_err(|error| error.to_problem())?;
            context
                .output
                .result(&serde_json::json!({ "file": file, "ok": true }), |output| {
                    Ok(output.line(format!("{} can be run as it stands", file.display()))?)
                })?;
        }
        What::Convert { file } => {
            let toml = describe::convert(&name_of(&file), &read(&file)?)
                .map_err(|error| error.to_problem())?;
            context
                .output
                .result(&serde_json::json!({ "toml": toml }), |output| {
                    Ok(output.line(toml.trim_end())?)
                })?;
        }
        What::Run(args) => return run::run(context, args),
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that was named, or the one that a build would take.
fn chosen(file: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(file) = file {
        return Ok(file);
    }
    // A launchway.toml that has stages wins over a Jenkinsfile; one without leaves them to it.
    let toml = std::fs::read_to_string("launchway.toml").is_ok_and(|text| text.contains("[[stage"));
    let order = if toml {
        ["launchway.toml", "Jenkinsfile"]
    } else {
        ["Jenkinsfile", "launchway.toml"]
    };
    order
        .into_iter()
        .map(PathBuf::from)
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Problem::not_found("this folder has neither a Jenkinsfile nor a launchway.toml")
                .hint("Name the file, or write one: `launchway init` does.")
                .into()
        })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    String::from_utf8(bytes).map_err(|error| {
        Problem::invalid(format!("{} is not UTF-8", file.display()))
            .cause(format!(
                "the first other byte is number {}",
                error.utf8_error().valid_up_to()
            ))
            .hint("Save the file as UTF-8.")
            .into()
    })
}

/// What the file is by its name: `ci/Jenkinsfile.release` is a Jenkinsfile too.
fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("Jenkinsfile")
        || name.ends_with(".jenkinsfile")
        || name.ends_with(".groovy")
    {
        "Jenkinsfile".to_owned()
    } else {
        name.into_owned()
    }
}
