//! `launchway deploys`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::DeployId;
use launchway_model::deploy::{Deploy, DeployReport, DeployState};
use ureq::http::Method;

use super::OfApp;
use crate::cli::Context;
use crate::client::Client;
use crate::output::{Output, Table, Tone};
use crate::{progress, words};

/// List deploys, show one phase by phase, cancel it, promote or abort a canary.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Deploys {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    of: OfApp,
    /// How many, newest first
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List an app's deploys, newest first (as without a word)
    List(ListArgs),
    /// Show a deploy: its phases with their times, limits and logs, and why it failed
    Show {
        /// Its number, such as d12
        deploy: DeployId,
    },
    /// Cancel a deploy that waits or has not switched yet; what serves goes on serving
    Cancel {
        /// Its number, such as d12
        deploy: DeployId,
    },
    /// Give all requests to a canary, whatever is left of its steps
    Promote {
        /// Its number, such as d12
        deploy: DeployId,
    },
    /// End a canary: what served before takes all requests again
    Abort {
        /// Its number, such as d12
        deploy: DeployId,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Deploys) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what.unwrap_or(What::List(args.list)) {
        What::List(list_args) => list(context.output, &client, &list_args)?,
        What::Show { deploy } => show(context.output, &client, deploy)?,
        What::Cancel { deploy } | What::Abort { deploy } => {
            ask(&client, deploy, "cancel")?;
            let words = format!("deploy {deploy} is being cancelled; what serves goes on serving");
            context.output.note(words);
        }
        What::Promote { deploy } => {
            ask(&client, deploy, "promote")?;
            context.output.note(format!("deploy {deploy} is promoted"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(client: &Client, deploy: DeployId, what: &str) -> anyhow::Result<()> {
    let path = format!("/deploys/{}/{what}", deploy.0);
    client.send(Method::POST, &path, None::<&()>)
}

fn list(output: Output, client: &Client, args: &ListArgs) -> anyhow::Result<()> {
    let path = args.of.path(&format!("deploys?limit={}", args.limit))?;
    let deploys: Vec<Deploy> = client.get(&path)?;
    output.result(&deploys, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&["deploy", "release", "state", "took", "age"]);
        for deploy in &deploys {
            let millis: u64 = deploy.phases.iter().filter_map(|phase| phase.millis).sum();
            table.row([
                deploy.id.to_string(),
                deploy.release.to_string(),
                state(&deploy.state),
                words::duration(std::time::Duration::from_millis(millis)),
                words::age(deploy.created, now),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

fn state(state: &DeployState) -> String {
    match state {
        DeployState::Running { phase } => format!("running: {}", progress::phase_name(*phase)),
        DeployState::Succeeded => "succeeded".to_owned(),
        DeployState::Failed { phase, problem } => {
            format!(
                "failed in {}: {}",
                progress::phase_name(*phase),
                problem.message
            )
        }
        DeployState::Superseded => "superseded by a newer one".to_owned(),
        DeployState::Cancelled => "cancelled".to_owned(),
    }
}

fn show(output: Output, client: &Client, id: DeployId) -> anyhow::Result<()> {
    let report: DeployReport = client.get(&format!("/deploys/{}/report", id.0))?;
    output.result(&report, |output| {
        let deploy = &report.deploy;
        let now = Timestamp::now();
        output.line(format!(
            "Deploy {} of {}: {} {}",
            deploy.id,
            deploy.app,
            deploy.release,
            state(&deploy.state)
        ))?;
        if let Some(build) = report.build {
            output.line(format!(
                "Build {build}, asked {}",
                words::age(deploy.created, now)
            ))?;
        }
        for record in &deploy.phases {
            let took = record.millis.map_or_else(
                || "under way".to_owned(),
                |millis| words::duration(std::time::Duration::from_millis(millis)),
            );
            let limit = record
                .limit_ms
                .map(|limit| {
                    let limit = words::duration(std::time::Duration::from_millis(limit));
                    format!(" of at most {limit}")
                })
                .unwrap_or_default();
            output.line(format!(
                "\n{}  {}",
                progress::phase_name(record.phase),
                output.tone(Tone::Faint, format!("{took}{limit}"))
            ))?;
            for line in report.log.iter().filter(|line| line.phase == record.phase) {
                output.line(format!("    {}", line.text))?;
            }
        }
        if let DeployState::Failed { problem, .. } = &deploy.state {
            output.line("")?;
            output.problem(problem);
        }
        Ok(())
    })
}
