//! `launchway init`

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::Problem;

use super::plan;
use crate::cli::Context;

/// Write a launchway.toml that says what `plan` found, to edit.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Replace a launchway.toml that is there
    #[arg(short, long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Init) -> anyhow::Result<ExitCode> {
    let file = args.path.join("launchway.toml");
    if file.exists() && !args.force {
        return Err(exists(&file).into());
    }
    let described = plan::describe(&args.path)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut out = match options.open(&file) {
        Ok(out) => out,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(&file).into()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", file.display()));
        }
    };
    out.write_all(described.toml.as_bytes())?;
    context.output.result(
        &serde_json::json!({ "file": file, "toml": described.toml }),
        |output| {
            Ok(output.line(format!(
                "wrote {}; edit it, commit it, then `launchway deploy`",
                file.display()
            ))?)
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

fn exists(file: &std::path::Path) -> Problem {
    Problem::conflict(format!("{} exists already", file.display())).hint("`--force` replaces it.")
}
