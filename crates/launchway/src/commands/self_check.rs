//! `launchway self-check`: what `launchway upgrade` asks a new binary before it trusts it.

use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::PROTOCOL;
use launchway_store::copy;

use crate::cli::Context;
use crate::platform::binary::SelfCheck;

/// Say which version this binary is and whether it can take this installation up; changes nothing.
///
/// It tries its migrations on a copy of the database.
#[derive(Debug, clap::Args)]
pub(crate) struct SelfCheckArgs {}

/// Runs the command.
pub(crate) fn run(context: &Context, _: SelfCheckArgs) -> anyhow::Result<ExitCode> {
    let settings = context.settings()?;
    let database = settings.home().database();
    let schema = if database.exists() {
        let trial = database.with_extension(format!("trial-{}", std::process::id()));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tried = runtime.block_on(async {
            copy::copy(&database, &trial).await?;
            copy::try_out(&trial).await
        });
        for suffix in ["", "-wal", "-shm"] {
            let mut name = trial.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        if let Ok(tried) = &tried {
            let made = launchway_store::copy_before_migration(&trial, tried.found);
            let _ = std::fs::remove_file(made);
        }
        let tried = tried.context("this version cannot use the database")?;
        Some((tried.found, tried.becomes))
    } else {
        None
    };
    let check = SelfCheck {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        schema,
    };
    context.output.result(&check, |output| {
        output.line(format!("version   {}", check.version))?;
        output.line(format!("protocol  {}", check.protocol))?;
        match check.schema {
            Some((found, becomes)) if found == becomes => {
                output.line(format!("database  generation {found}, which it knows"))?;
            }
            Some((found, becomes)) => output.line(format!(
                "database  generation {found}, which it migrates to {becomes}"
            ))?,
            None => output.line("database  none yet")?,
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
