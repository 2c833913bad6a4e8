//! `launchway builds`

mod inputs;
mod results;

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::build::{
    Build, BuildResult, BuildState, StageId, StageState, TestCase, TestOutcome,
};
use launchway_model::runner::LogLine;
use launchway_model::{AppName, BuildId, Problem};
use ureq::http::Method;

use super::app_path;
use crate::cli::Context;
use crate::client::Client;
use crate::output::{Output, Table, Tone};
use crate::words;

/// List builds, show one, read its log, cancel it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Builds {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ListArgs {
    /// Builds of this app alone
    #[arg(short, long, value_name = "NAME")]
    app: Option<AppName>,
    /// How many, newest first
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List builds, newest first (as without a word)
    List(ListArgs),
    /// Show a build: its stages, tests and reason
    Show {
        /// Its number
        build: BuildId,
    },
    /// Print a build's log
    Log {
        /// Its number
        build: BuildId,
        /// One stage alone, by name or number
        #[arg(short, long)]
        stage: Option<String>,
    },
    /// Build a branch now, with parameters
    Start(inputs::StartArgs),
    /// List what a build asks, such as a person's word
    Requests {
        /// Its number
        build: BuildId,
    },
    /// Let a build go on that waits for a person's word
    Approve(inputs::AnswerArgs),
    /// Say no to a build that waits for a person's word
    Abort(inputs::AnswerArgs),
    /// Tell newly failing, still failing, flaky and fixed tests apart
    Tests(results::TestsArgs),
    /// List the files that a build kept, or fetch one
    Artifacts(results::ArtifactsArgs),
    /// Find the builds that kept a file
    Fingerprint {
        /// The file, or its SHA-256
        what: String,
    },
    /// Cancel a build that waits or runs
    Cancel {
        /// Its number
        build: BuildId,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Builds) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what.unwrap_or(What::List(args.list)) {
        What::List(list_args) => list(context.output, &client, &list_args)?,
        What::Show { build } => show(context.output, &client, build)?,
        What::Log { build, stage } => log(context.output, &client, build, stage.as_deref())?,
        What::Start(args) => inputs::start(context.output, &client, args)?,
        What::Requests { build } => inputs::list(context.output, &client, build)?,
        What::Approve(args) => inputs::answer(context.output, &client, &args, true)?,
        What::Abort(args) => inputs::answer(context.output, &client, &args, false)?,
        What::Tests(args) => results::tests(context.output, &client, &args)?,
        What::Artifacts(args) => results::artifacts(context.output, &client, &args)?,
        What::Fingerprint { what } => results::fingerprint(context.output, &client, &what)?,
        What::Cancel { build } => {
            client.send(
                Method::POST,
                &format!("/builds/{}/cancel", build.0),
                None::<&()>,
            )?;
            context
                .output
                .note(format!("build {build} is being cancelled"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output, client: &Client, args: &ListArgs) -> anyhow::Result<()> {
    let path = match &args.app {
        Some(app) => app_path(app, &format!("builds?limit={}", args.limit)),
        None => format!("/builds?limit={}", args.limit),
    };
    let builds: Vec<Build> = client.get(&path)?;
    output.result(&builds, |output| {
        let now = Timestamp::now();
        let mut table = Table::new(&["build", "app", "commit", "subject", "state", "took", "age"]);
        for build in &builds {
            table.row([
                build.id.to_string(),
                build.request.app.to_string(),
                words::short(&build.request.commit).to_owned(),
                build.request.subject.chars().take(40).collect(),
                state(&build.state).to_owned(),
                took(&build.state, now),
                words::age(build.created, now),
            ]);
        }
        Ok(output.table(&table)?)
    })
}

fn show(output: Output, client: &Client, id: BuildId) -> anyhow::Result<()> {
    let build: Build = client.get(&format!("/builds/{}", id.0))?;
    if output.is_json() {
        return output.document(&build);
    }
    let now = Timestamp::now();
    output.line(format!(
        "build {} of {}: {} {}",
        build.id,
        build.request.app,
        output.tone(tone(&build.state), state(&build.state)),
        output.tone(Tone::Faint, took(&build.state, now)),
    ))?;
    output.line(format!(
        "  commit {} {}",
        words::short(&build.request.commit),
        build.request.subject
    ))?;
    output.line(format!("  author {}", build.request.author))?;
    if !build.stages.is_empty() {
        let mut table = Table::new(&["", "stage", "state", "took"]);
        for stage in &build.stages {
            let (state, took) = match &stage.status {
                StageState::Waiting => ("waiting", String::new()),
                StageState::Running { since } => ("running", words::between(*since, now)),
                StageState::Finished { result, since, at } => {
                    (result_name(*result), words::between(*since, *at))
                }
            };
            table.row([
                stage.info.id.0.to_string(),
                stage.info.name.clone(),
                state.to_owned(),
                took,
            ]);
        }
        output.table(&table)?;
    }
    if let Some(tests) = &build.tests {
        output.line(format!(
            "tests: {} passed, {} failed, {} skipped",
            tests.passed, tests.failed, tests.skipped
        ))?;
        if tests.failed > 0 {
            let cases: Vec<TestCase> = client.get(&format!("/builds/{}/tests", id.0))?;
            for case in cases
                .iter()
                .filter(|case| case.outcome == TestOutcome::Failed)
            {
                output.line(format!(
                    "  {} {}: {}",
                    output.tone(Tone::Bad, "✘"),
                    case.suite,
                    case.name
                ))?;
            }
        }
    }
    if let BuildState::Finished {
        problem: Some(problem),
        ..
    } = &build.state
    {
        output.problem(problem);
    }
    Ok(())
}

fn log(output: Output, client: &Client, id: BuildId, stage: Option<&str>) -> anyhow::Result<()> {
    let build: Build = client.get(&format!("/builds/{}", id.0))?;
    let chosen: Vec<(StageId, &str)> = build
        .stages
        .iter()
        .filter(|candidate| {
            stage.is_none_or(|stage| {
                candidate.info.name == stage || candidate.info.id.0.to_string() == stage
            })
        })
        .map(|stage| (stage.info.id, stage.info.name.as_str()))
        .collect();
    if let (Some(stage), true) = (stage, chosen.is_empty()) {
        let mut problem = Problem::not_found(format!("build {id} has no stage `{stage}`"));
        problem.hint = launchway_model::suggest::did_you_mean(
            stage,
            build.stages.iter().map(|stage| stage.info.name.as_str()),
        );
        return Err(problem.into());
    }
    for (stage, name) in chosen {
        let text = client.text(&format!("/builds/{}/stages/{}/log", id.0, stage.0))?;
        if !output.is_json() {
            output.line(output.tone(Tone::Strong, format!("== {name}")))?;
        }
        for line in text.lines().map(LogLine::parse) {
            if output.is_json() {
                output.record(&serde_json::json!({
                    "stage": name, "millis": line.millis, "source": line.source, "text": line.text,
                }))?;
            } else {
                output.line(line.text)?;
            }
        }
    }
    Ok(())
}

fn state(state: &BuildState) -> &'static str {
    match state {
        BuildState::Queued { .. } => "queued",
        BuildState::Running { .. } => "running",
        BuildState::Finished { result, .. } => result_name(*result),
    }
}

fn tone(state: &BuildState) -> Tone {
    match state {
        BuildState::Queued { .. } | BuildState::Running { .. } => Tone::Strong,
        BuildState::Finished {
            result: BuildResult::Success,
            ..
        } => Tone::Good,
        BuildState::Finished {
            result: BuildResult::Unstable,
            ..
        } => Tone::Warning,
        BuildState::Finished { .. } => Tone::Bad,
    }
}

fn took(state: &BuildState, now: Timestamp) -> String {
    match state {
        BuildState::Queued { .. } => String::new(),
        BuildState::Running { since } => words::between(*since, now),
        BuildState::Finished { since, at, .. } => words::between(*since, *at),
    }
}

/// The result in a word.
fn result_name(result: BuildResult) -> &'static str {
    match result {
        BuildResult::Success => "success",
        BuildResult::Unstable => "unstable",
        BuildResult::Failure => "failed",
        BuildResult::NotBuilt => "left out",
        BuildResult::Aborted => "aborted",
    }
}
