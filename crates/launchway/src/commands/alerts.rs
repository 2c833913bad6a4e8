//! `launchway alerts`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::AppName;
use launchway_model::alert::{Alert, AlertSeverity};

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

/// Runs the command.
pub(crate) fn run(context: &Context, args: Alerts) -> anyhow::Result<ExitCode> {
    let list = match args.what {
        Some(What::List(list)) => list,
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
