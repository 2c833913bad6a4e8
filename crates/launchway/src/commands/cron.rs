//! `launchway cron`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::ProcessType;
use launchway_model::cron::{CronJob, CronRun};

use super::OfApp;
use crate::cli::Context;
use crate::client::segment;
use crate::output::Table;
use crate::words;

/// List an app's jobs, run one now, see how they went.
#[derive(Debug, clap::Args)]
pub(crate) struct Cron {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the jobs with their next and last runs
    List {
        #[command(flatten)]
        of: OfApp,
    },
    /// Run a job now, whatever its schedule says
    Run {
        /// Its name
        job: ProcessType,
        #[command(flatten)]
        of: OfApp,
    },
    /// List runs, newest first: also those that were skipped or missed
    History {
        /// Of this job alone
        job: Option<ProcessType>,
        #[command(flatten)]
        of: OfApp,
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Cron) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what {
        What::List { of } => {
            let jobs: Vec<CronJob> = client.get(&of.path("cron")?)?;
            context.output.result(&jobs, |output| {
                let now = Timestamp::now();
                let mut table = Table::new(&["job", "schedule", "next", "last", "went", "command"]);
                for job in &jobs {
                    let zone = job.spec.time_zone.as_ref();
                    table.row([
                        job.spec.name.to_string(),
                        match zone {
                            Some(zone) => format!("{} ({zone})", job.spec.schedule),
                            None => job.spec.schedule.clone(),
                        },
                        job.next
                            .map_or_else(|| "never".to_owned(), |next| moment(next, now)),
                        job.last
                            .as_ref()
                            .map_or_else(|| "-".to_owned(), |last| words::age(last.due, now)),
                        job.last
                            .as_ref()
                            .map_or("-", |last| last.state.word())
                            .to_owned(),
                        job.spec.command.chars().take(40).collect(),
                    ]);
                }
                Ok(output.table(&table)?)
            })?;
        }
        What::Run { job, of } => {
            let path = of.path(&format!("cron/{}/run", segment(job.as_str())))?;
            let run: CronRun = client.post(&path, &())?;
            if context.output.is_json() {
                context.output.record(&run)?;
            } else {
                let log = run
                    .instance
                    .as_ref()
                    .map(|instance| {
                        format!("; `launchway logs --instance {instance}` has its output")
                    })
                    .unwrap_or_default();
                context
                    .output
                    .note(format!("{job} runs as run {}{log}", run.id));
            }
        }
        What::History { job, of, limit } => {
            let only = job
                .map(|job| format!("&job={}", segment(job.as_str())))
                .unwrap_or_default();
            let runs: Vec<CronRun> =
                client.get(&of.path(&format!("cron/runs?limit={limit}{only}"))?)?;
            context.output.result(&runs, |output| {
                let now = Timestamp::now();
                let mut table =
                    Table::new(&["run", "job", "due", "took", "state", "detail", "instance"]);
                for run in &runs {
                    let took = run
                        .ended
                        .map(|ended| ended.duration_since(run.due).unsigned_abs());
                    table.row([
                        run.id.to_string(),
                        run.job.to_string(),
                        words::age(run.due, now),
                        took.map_or_else(|| "-".to_owned(), words::duration),
                        run.state.word().to_owned(),
                        run.detail.clone(),
                        run.instance
                            .as_ref()
                            .map_or_else(|| "-".to_owned(), ToString::to_string),
                    ]);
                }
                Ok(output.table(&table)?)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment to come.
fn moment(then: Timestamp, now: Timestamp) -> String {
    let left = then.duration_since(now).unsigned_abs();
    format!("in {}", words::duration(left))
}
