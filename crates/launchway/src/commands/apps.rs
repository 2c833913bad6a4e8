//! `launchway apps`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::api::{App, ChangeAccepted, CreateApp, Description};
use launchway_model::{AppName, Problem};
use ureq::http::Method;

use super::{OfApp, app_path, await_change};
use crate::cli::Context;
use crate::output::{Table, Tone};
use crate::{repository, words};

/// List, show, make, describe and delete apps.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Apps {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List all apps (as without a word)
    List,
    /// Show one app: release, instances, addresses
    Info {
        /// The app [default: of the repository around the current folder]
        app: Option<AppName>,
    },
    /// Make an app; the first deploy makes one too
    Create {
        /// Its name
        app: AppName,
    },
    /// Stop an app and delete all that it has: releases, configuration, logs, persistent files
    Delete {
        /// Its name
        app: AppName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Describe an app outside its repository, with the text of a launchway.toml
    Apply {
        /// The file; the app's name is the file's, without its end
        file: PathBuf,
        /// The app [default: of the file's name]
        #[arg(short, long, value_name = "NAME")]
        app: Option<AppName>,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Apps) -> anyhow::Result<ExitCode> {
    match args.what.unwrap_or(What::List) {
        What::List => list(context)?,
        What::Info { app } => info(context, &OfApp { app })?,
        What::Create { app } => {
            let made: App = context.client()?.post("/apps", &CreateApp { name: app })?;
            context.output.result(&made, |output| {
                Ok(output.line(format!("made {}", made.name))?)
            })?;
        }
        What::Delete { app, yes } => delete(context, &app, yes)?,
        What::Apply { file, app } => apply(context, &file, app)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> anyhow::Result<()> {
    let apps: Vec<App> = context.client()?.get("/apps")?;
    context.output.result(&apps, |output| {
        if apps.is_empty() {
            output.note("no apps yet: `launchway deploy` in a repository makes the first");
            return Ok(());
        }
        let mut table = Table::new(&["app", "release", "instances", "address"]);
        for app in &apps {
            table.row([
                app.name.to_string(),
                release(app),
                instances(app),
                app.urls.first().cloned().unwrap_or_default(),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

fn release(app: &App) -> String {
    match &app.release {
        Some(release) => format!("{} {}", release.number, words::short(&release.commit)),
        None => "none".to_owned(),
    }
}

fn instances(app: &App) -> String {
    if app.stopped {
        return "stopped".to_owned();
    }
    let wanted: u32 = app.formation.values().sum();
    let healthy = app
        .instances
        .iter()
        .filter(|instance| instance.healthy.unwrap_or(true))
        .count();
    if wanted == 0 && app.instances.is_empty() {
        return "files".to_owned();
    }
    format!("{healthy} of {wanted}")
}

fn info(context: &Context, of: &OfApp) -> anyhow::Result<()> {
    let app: App = context.client()?.get(&of.path("")?)?;
    context.output.result(&app, |output| {
        let now = jiff::Timestamp::now();
        output.line(output.tone(Tone::Strong, &app.name))?;
        let mut table = Table::facts();
        table.row(["branch".to_owned(), app.branch.clone()]);
        match &app.release {
            Some(release) => {
                table.row([
                    "release".to_owned(),
                    format!(
                        "{} {} {} ({} ago, {})",
                        release.number,
                        words::short(&release.commit),
                        release.subject,
                        words::age(release.created, now),
                        release.cause
                    ),
                ]);
                for source in &release.spec.sources {
                    table.row(["described by".to_owned(), source.clone()]);
                }
            }
            None => table.row(["release".to_owned(), "none yet".to_owned()]),
        }
        table.row(["instances".to_owned(), instances(&app)]);
        for (process, wanted) in &app.formation {
            table.row(["formation".to_owned(), format!("{process}={wanted}")]);
        }
        for url in &app.urls {
            table.row(["address".to_owned(), url.clone()]);
        }
        if let Some(traffic) = &app.traffic {
            table.row([
                "traffic".to_owned(),
                format!(
                    "{:.1} requests/s, {:.1} ms, {:.1} % errors",
                    traffic.requests_per_second,
                    traffic.mean_ms,
                    traffic.error_ratio * 100.0
                ),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

fn delete(context: &Context, app: &AppName, yes: bool) -> anyhow::Result<()> {
    if !yes {
        use std::io::{BufRead as _, IsTerminal as _};
        if !std::io::stdin().is_terminal() {
            return Err(Problem::invalid("deleting an app cannot be undone")
                .hint("Say `--yes` to do it without being asked.")
                .into());
        }
        context.output.note(format!("This deletes {app} with its releases, configuration, logs and files. Type its name to go on:"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() != app.as_str() {
            return Err(Problem::conflict("not deleted: that is another name").into());
        }
    }
    context.client()?.delete(&app_path(app, ""))?;
    if !context.output.is_json() {
        context.output.line(format!("deleted {app}"))?;
    }
    Ok(())
}

fn apply(context: &Context, file: &Path, app: Option<AppName>) -> anyhow::Result<()> {
    let toml = std::fs::read_to_string(file).map_err(|error| {
        Problem::invalid(format!("cannot read {}", file.display())).cause(error)
    })?;
    let app = app.unwrap_or_else(|| {
        repository::app_of_folder(Path::new(file.file_stem().unwrap_or_default()))
    });
    let client = context.client()?;
    let path = app_path(&app, "description");
    client
        .send(Method::PUT, &path, Some(&Description { toml }))
        .with_context(|| format!("{} is not applied to {app}", file.display()))?;
    await_change(
        context,
        &client,
        &ChangeAccepted {
            deploy: None,
            release: None,
        },
        &format!(
            "{app} is described by {}; its next build follows it",
            file.display()
        ),
    )
}
