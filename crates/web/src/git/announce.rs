//! A build's and a deploy's progress as lines for the pusher's terminal.

use launchway_model::Problem;
use launchway_model::api::Progress;
use launchway_model::build::BuildResult;
use launchway_model::deploy::DeployPhase;
use launchway_model::runner::LogSource;

use crate::{ansi, format};

/// How many lines of a failed command's output are repeated at the end.
const LAST_LINES: usize = 20;

/// What one event says; nothing where the terminal has enough already.
pub(super) fn lines(event: &Progress) -> Vec<String> {
    match event {
        Progress::Queued { reason } => vec![format!("       waiting: {}", shown(reason))],
        Progress::Planned { words, .. } => words
            .iter()
            .map(|word| format!("       {}", shown(word)))
            .collect(),
        Progress::StageStarted { name, .. } => heading(name),
        Progress::Log { source, text, .. } => {
            let margin = match source {
                LogSource::Launchway => "     · ",
                LogSource::Out | LogSource::Err => "       ",
            };
            vec![format!("{margin}{}", shown(text))]
        }
        Progress::StageFinished {
            name,
            result,
            millis,
            ..
        } => match result {
            BuildResult::Success => Vec::new(),
            BuildResult::NotBuilt => vec![format!("       {} was left out", shown(name))],
            _ => vec![format!(
                "     ! {} {} after {}",
                shown(name),
                ended(*result),
                format::millis(*millis)
            )],
        },
        Progress::Tests { counts } => {
            let mut words = format!("       tests: {} passed", counts.passed);
            if counts.failed > 0 {
                words.push_str(&format!(", {} failed", counts.failed));
            }
            if counts.skipped > 0 {
                words.push_str(&format!(", {} skipped", counts.skipped));
            }
            vec![words]
        }
        Progress::Input { question, .. } => vec![format!(
            "     ? {}: answer in the build's page, or with `launchway builds approve`",
            shown(&question.message)
        )],
        Progress::Built { result, millis } => vec![format!(
            "       build {} in {}",
            ended(*result),
            format::millis(*millis)
        )],
        Progress::Released { release, .. } => heading(&format!("Release {release}")),
        Progress::Phase { phase, detail } => {
            let word = match phase {
                DeployPhase::Queued => "waiting",
                DeployPhase::Validate => "checking",
                DeployPhase::Release => "running the release command",
                DeployPhase::Once => "running the command that runs once",
                DeployPhase::Start => "starting",
                DeployPhase::Ready => "waiting for health checks",
                DeployPhase::Canary => "trying it on a part of the requests",
                DeployPhase::Switch => "switching",
                DeployPhase::Verify => "verifying",
                DeployPhase::Drain => "draining",
            };
            vec![if detail.is_empty() {
                format!("       {word}")
            } else {
                format!("       {word}: {}", shown(detail))
            }]
        }
        Progress::PhaseLog { line } => vec![format!("       {}", shown(&line.text))],
        Progress::ReleaseLog { text } => vec![format!("       {}", shown(text))],
        Progress::Finished {
            urls,
            serving,
            problem,
            millis,
        } => match problem {
            Some(problem) => self::problem(problem),
            None => match (serving, urls.first()) {
                (Some(release), Some(url)) => end(&format!("{release} serves at {url}"), *millis),
                _ => end("Done", *millis),
            },
        },
    }
}

/// The end of a build that was not to be deployed; what serves is not its doing.
pub(super) fn only_built(branch: &str, millis: u64) -> Vec<String> {
    let branch = shown(branch);
    end(
        &format!("Built. {branch} is not the branch that is deployed"),
        millis,
    )
}

fn end(words: &str, millis: u64) -> Vec<String> {
    vec![
        String::new(),
        format!("=====> {words} ({})", format::millis(millis)),
        String::new(),
    ]
}

/// A problem, readable at the end of a push.
pub(super) fn problem(problem: &Problem) -> Vec<String> {
    let mut lines = vec![String::new(), format!("  !    {}", shown(&problem.message))];
    if let Some(place) = &problem.place {
        lines.push(format!(
            "       at {}:{}:{}",
            place.file, place.line, place.column
        ));
        if let Some(text) = &place.text {
            lines.push(format!("       | {}", shown(text)));
        }
    }
    for cause in &problem.causes {
        lines.extend(cause.lines().map(|line| format!("       {}", shown(line))));
    }
    if let Some(hint) = &problem.hint {
        lines.push(String::new());
        lines.push(format!("       {}", shown(hint)));
    }
    let output = &problem.output[problem.output.len().saturating_sub(LAST_LINES)..];
    if !output.is_empty() {
        lines.push(String::new());
        lines.extend(
            output
                .iter()
                .map(|line| format!("       | {}", shown(line))),
        );
    }
    lines.push(String::new());
    lines
}

fn heading(words: &str) -> Vec<String> {
    vec![String::new(), format!("-----> {}", shown(words))]
}

fn ended(result: BuildResult) -> &'static str {
    match result {
        BuildResult::Success => "succeeded",
        BuildResult::Unstable => "ended unstable",
        BuildResult::Failure => "failed",
        BuildResult::NotBuilt => "did not run",
        BuildResult::Aborted => "was cancelled",
    }
}

/// Text of a build without control sequences: another's terminal is not the build's to steer.
fn shown(text: &str) -> String {
    ansi::strip(text)
}
