//! `launchway builds approve|abort|requests|start`: what builds ask, and builds that are asked for by hand.

use std::collections::BTreeMap;

use launchway_model::api::DeployAccepted;
use launchway_model::build::BuildNow;
use launchway_model::request::{AnswerOutcome, Ask, BuildRequestRecord, InputAnswer};
use launchway_model::{AppName, BuildId, Problem};
use ureq::http::Method;

use crate::client::Client;
use crate::commands::app_path;
use crate::output::{Output, Table};

/// A person's yes or no.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AnswerArgs {
    /// The build's number
    build: BuildId,
    /// The request's number, where the build waits for several
    #[arg(short, long, value_name = "NUMBER")]
    request: Option<u32>,
    /// Fill in a field of the input
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

/// A build that is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StartArgs {
    /// The app
    #[arg(short, long, value_name = "NAME")]
    app: AppName,
    /// Its branch; the app's own where none is named
    #[arg(short, long)]
    branch: Option<String>,
    /// A commit; the branch's newest where none is named
    #[arg(long)]
    commit: Option<String>,
    /// Set a parameter of the pipeline
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Build without deploying, also on the app's branch
    #[arg(long)]
    no_deploy: bool,
}

pub(super) fn answer(
    output: Output,
    client: &Client,
    args: &AnswerArgs,
    approve: bool,
) -> anyhow::Result<()> {
    let number = match args.request {
        Some(number) => number,
        None => the_one(client, args.build)?,
    };
    let given = InputAnswer {
        approve,
        parameters: pairs(&args.parameters)?,
    };
    client.send(
        Method::POST,
        &format!("/builds/{}/requests/{number}", args.build.0),
        Some(&given),
    )?;
    let word = if approve { "goes on" } else { "is told to end" };
    output.note(format!("build {} {word}", args.build));
    Ok(())
}

/// The input that a build waits for.
fn the_one(client: &Client, build: BuildId) -> anyhow::Result<u32> {
    let all: Vec<BuildRequestRecord> = client.get(&format!("/builds/{}/requests", build.0))?;
    let waiting: Vec<(u32, &str)> = all
        .iter()
        .filter(|request| !request.settled && request.answer.is_none())
        .filter_map(|request| match &request.ask {
            Ask::Input(question) => Some((request.number, question.message.as_str())),
            _ => None,
        })
        .collect();
    match waiting.as_slice() {
        [(number, _)] => Ok(*number),
        [] => Err(Problem::conflict(format!("build {build} waits for nobody's word")).into()),
        several => {
            let list: Vec<_> = several
                .iter()
                .map(|(number, message)| format!("{number} ({message})"))
                .collect();
            Err(
                Problem::conflict(format!("build {build} waits for several answers"))
                    .hint(format!("Name one with --request: {}.", list.join(", ")))
                    .into(),
            )
        }
    }
}

pub(super) fn list(output: Output, client: &Client, build: BuildId) -> anyhow::Result<()> {
    let all: Vec<BuildRequestRecord> = client.get(&format!("/builds/{}/requests", build.0))?;
    output.result(&all, |output| {
        let mut table = Table::new(&["request", "asks", "answer"]);
        for request in &all {
            let asks = match &request.ask {
                Ask::Input(question) => format!("input: {}", question.message),
                Ask::Build { job, .. } => format!("a build of {job}"),
                Ask::Deploy => "a deploy of this build".to_owned(),
                Ask::AppStatus => "the app's state".to_owned(),
                Ask::AppLog { .. } => "the app's log".to_owned(),
                Ask::Mail(mail) => format!("a mail to {}", mail.to),
                Ask::Chat(_) => "a message to the chat".to_owned(),
            };
            let answer = match &request.answer {
                None if request.settled => "none; it waits no more".to_owned(),
                None => "waiting".to_owned(),
                Some(answer) => {
                    let word = match answer.outcome {
                        AnswerOutcome::Done => "done",
                        AnswerOutcome::Aborted => "aborted",
                        AnswerOutcome::Failed => "failed",
                    };
                    match &answer.by {
                        Some(by) => format!("{word} by {by}"),
                        None => word.to_owned(),
                    }
                }
            };
            table.row([request.number.to_string(), asks, answer]);
        }
        Ok(output.table(&table)?)
    })
}

pub(super) fn start(output: Output, client: &Client, args: StartArgs) -> anyhow::Result<()> {
    let request = BuildNow {
        branch: args.branch,
        commit: args.commit,
        deploy: args.no_deploy.then_some(false),
        parameters: pairs(&args.parameters)?,
    };
    let accepted: DeployAccepted = client.post(&app_path(&args.app, "builds"), &request)?;
    output.result(&accepted, |output| {
        output.line(format!(
            "build {} of {} is queued",
            accepted.build, accepted.app
        ))?;
        Ok(())
    })
}

/// `NAME=VALUE` of the command line.
fn pairs(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Problem::invalid(format!("`{pair}` is no parameter"))
                .hint("Write `--parameter NAME=VALUE`.")
                .into()),
        })
        .collect()
}
