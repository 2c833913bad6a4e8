//! `launchway alerts`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::AppName;
use launchway_model::alert::{Alert, AlertSeverity};
use launchway_model::notice::{Monitor, NewMonitor};

use crate::cli::Context;
use crate::client::segment;
use crate::output::{Table, Tone};
use crate::words;

/// Show what a person should look at: vulnerabilities of what runs, a full disk, rules that fire.
///
/// An alert is raised by the part that sees the trouble and ends with it; nothing needs to be acknowledged.
#[derive(Debug, clap::Args)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the alerts (as without a word)
    List(List),
    /// Watch something in a few words: `p95 latency > 500ms for 5m`
    ///
    /// QUANTITY OP VALUE [for TIME] [, warning OP VALUE] [, recovery OP VALUE], or QUANTITY rises|drops by PERCENT in TIME,
    /// QUANTITY anomaly, QUANTITY OP VALUE within TIME (forecast), QUANTITY no data. Quantities of apps: p50, p90, p95, p99
    /// latency, latency, error rate, errors, requests, memory, cpu, restarts, instances, open files, threads; of the host:
    /// memory used, cpu used, disk used, swap used, load; and any PromQL in backquotes.
    Add(Add),
    /// List what is watched in a few words
    Monitors,
    /// Watch something no more
    Remove {
        /// The monitor's name
        name: String,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct List {
    /// Those that are over as well
    #[arg(long)]
    all: bool,
    /// Only those of this app [default: all apps]
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The words
    #[arg(value_name = "WORDS")]
    words: String,
    /// The app that is watched [default: all apps, or the host]
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
    /// The monitor's name [default: the app and the words]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

fn add(context: &Context, args: Add) -> anyhow::Result<ExitCode> {
    let new = NewMonitor {
        name: args.name,
        app: args.app,
        words: args.words,
    };
    let monitor: Monitor = context.client()?.post("/monitors", &new)?;
    context.output.result(&monitor, |output| {
        output.note(format!(
            "{} `{}` is watched",
            output.note_tone(Tone::Good, "✔"),
            monitor.name
        ));
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn monitors(context: &Context) -> anyhow::Result<ExitCode> {
    let monitors: Vec<Monitor> = context.client()?.get("/monitors")?;
    context.output.result(&monitors, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&["name", "app", "words", "age"]);
        for monitor in &monitors {
            table.row([
                monitor.name.clone(),
                monitor.app.as_ref().map_or("-", AppName::as_str).to_owned(),
                monitor.words.clone(),
                words::age(monitor.created, now),
            ]);
        }
        output.table(&table)?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Alerts) -> anyhow::Result<ExitCode> {
    let list = match args.what {
        Some(What::List(list)) => list,
        Some(What::Add(args)) => return add(context, args),
        Some(What::Monitors) => return monitors(context),
        Some(What::Remove { name }) => {
            context
                .client()?
                .delete(&format!("/monitors/{}", segment(&name)))?;
            context.output.note(format!("`{name}` is watched no more"));
            return Ok(ExitCode::SUCCESS);
        }
        None => args.list,
    };
    let which = if list.all { "all" } else { "open" };
    let mut path = format!("/alerts?which={which}&limit={}", list.limit);
    if let Some(app) = &list.app {
        path.push_str("&app=");
        path.push_str(&segment(app.as_str()));
    }
    let alerts: Vec<Alert> = context.client()?.get(&path)?;
    context.output.result(&alerts, |output| {
        if alerts.is_empty() {
            output.note(format!(
                "{} no alert is open",
                output.note_tone(Tone::Good, "✔")
            ));
            return Ok(());
        }
        let now = Timestamp::now();
        let mut table = Table::new(&["state", "app", "kind", "age", "what is wrong"]);
        for alert in &alerts {
            let state = match (alert.is_open(), alert.severity) {
                (false, _) => "over",
                (true, AlertSeverity::Critical) => "critical",
                (true, AlertSeverity::Warning) => "warning",
            };
            table.row([
                state.to_owned(),
                alert.app.as_ref().map_or("-", AppName::as_str).to_owned(),
                alert.kind.clone(),
                words::age(alert.raised_at, now),
                alert.summary.clone(),
            ]);
        }
        output.table(&table)?;
        for alert in alerts.iter().filter(|alert| alert.is_open()) {
            if let Some(hint) = alert.hint() {
                output.note(format!("{}: {hint}", alert.summary));
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
