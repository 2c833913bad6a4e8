//! `recordIssues`: reads what linters wrote, keeps it with the build, and holds it against quality gates.
//!
//! What is new is told against the branch's build before, whose fingerprints lie in the app's cache.

use std::collections::BTreeSet;
use std::fs;

use launchway_model::Problem;
use launchway_model::build::BuildResult;
use launchway_model::runner::ISSUES_FILE;

use super::build::branch_key;
use super::stages::Context;
use super::steps::{Interrupt, Outcome};
use crate::glob::Patterns;
use crate::issues::{self, Issue, Severity};

/// Where findings come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) pattern: String,
}

/// A limit and what happens beyond it.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `TOTAL`, `TOTAL_ERROR`, `TOTAL_HIGH`, `TOTAL_NORMAL`, `TOTAL_LOW`, and the same with `NEW`.
    pub(crate) kind: String,
    pub(crate) threshold: f64,
    pub(crate) result: BuildResult,
}

/// What one step records.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) sources: Vec<Source>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) enabled_for_failure: bool,
    pub(crate) fail_on_error: bool,
}

/// The findings of one tool, as `issues.json` holds them.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Found {
    id: String,
    name: String,
    issues: Vec<Issue>,
}

pub(crate) fn record(
    context: &Context<'_>,
    outcome: &Outcome,
    recording: &Recording,
) -> Result<(), Interrupt> {
    if outcome.get() >= BuildResult::Failure && !recording.enabled_for_failure {
        context
            .log
            .say("Nothing is recorded: the build failed, and `enabledForFailure` is not set");
        return Ok(());
    }
    for source in &recording.sources {
        let files = Patterns::new(std::slice::from_ref(&source.pattern), &[])
            .files(&context.folder, &[".git", "node_modules", ".venv"]);
        let mut found = Vec::new();
        let mut wrong = Vec::new();
        if files.is_empty() {
            wrong.push(format!("no file matches {}", source.pattern));
        }
        for file in files {
            let read = fs::read(context.folder.join(&file))
                .map_err(|error| error.to_string())
                .and_then(|bytes| issues::read(&bytes).map_err(|error| error.to_string()));
            match read {
                Ok(issues) => found.extend(issues),
                Err(error) => wrong.push(format!("{file}: {error}")),
            }
        }
        for words in &wrong {
            context.log.say(&format!("{}: {words}", source.name));
        }
        if recording.fail_on_error && !wrong.is_empty() {
            return Err(Interrupt::Failed(
                Problem::failed(format!("the findings of {} cannot be read", source.name))
                    .cause(wrong.join("; ")),
            ));
        }
        one(context, outcome, recording, source, found);
    }
    Ok(())
}

fn one(
    context: &Context<'_>,
    outcome: &Outcome,
    recording: &Recording,
    source: &Source,
    mut found: Vec<Issue>,
) {
    let tree = format!("{}/", context.build.job.tree.display());
    let mask = context.log.mask();
    for issue in &mut found {
        if let Some(inner) = issue.file.strip_prefix(&tree) {
            issue.file = inner.to_owned();
        }
        issue.message = mask.text(&issue.message);
    }
    mark_new(context, source, &mut found);
    let new = found.iter().filter(|issue| issue.new).count();
    context.log.say(&format!(
        "{}: {} findings, {new} of them new",
        source.name,
        found.len()
    ));
    for gate in &recording.gates {
        let count = counted(&gate.kind, &found);
        if gate.threshold > 0.0
            && f64::from(u32::try_from(count).unwrap_or(u32::MAX)) >= gate.threshold
        {
            let problem = Problem::failed(format!(
                "{}: {count} findings of {} are at or over the limit of {}",
                source.name, gate.kind, gate.threshold
            ));
            context.say_problem(&problem);
            context.build.remember(gate.result, problem);
            outcome.worsen(gate.result);
        }
    }
    let path = context.build.job.folder.join(ISSUES_FILE);
    let _held = context
        .build
        .recording
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut all: Vec<Found> = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    all.retain(|other| other.id != source.id);
    all.push(Found {
        id: source.id.clone(),
        name: source.name.clone(),
        issues: found,
    });
    let half = path.with_extension("new");
    let written = serde_json::to_vec(&all)
        .map_err(std::io::Error::other)
        .and_then(|json| fs::write(&half, json))
        .and_then(|()| fs::rename(&half, &path));
    if let Err(error) = written {
        context
            .log
            .say(&format!("the findings cannot be kept: {error}"));
    }
}

/// Marks what the branch's build before did not have, and keeps the fingerprints for the next.
fn mark_new(context: &Context<'_>, source: &Source, found: &mut [Issue]) {
    let job = context.build.job;
    let id: String = source
        .id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(60)
        .collect();
    let file = job
        .cache
        .join("issues")
        .join(format!("{}-{id}.json", branch_key(job)));
    let before: Option<BTreeSet<u64>> = fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let mut now = BTreeSet::new();
    for issue in found {
        let print = issues::fingerprint(issue);
        // Without a build before there is nothing that could be new.
        issue.new = before
            .as_ref()
            .is_some_and(|before| !before.contains(&print));
        now.insert(print);
    }
    let kept = file
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&file, serde_json::to_vec(&now).unwrap_or_default()));
    if let Err(error) = kept {
        tracing::debug!(%error, "the fingerprints of findings cannot be kept");
    }
}

fn counted(kind: &str, found: &[Issue]) -> usize {
    let (new, severity) = match kind.split_once('_') {
        Some((first, severity)) => (first == "NEW", Some(severity)),
        None => (kind == "NEW", None),
    };
    let wanted = |issue: &Issue| match severity {
        Some("ERROR") => issue.severity == Severity::Error,
        Some("HIGH") => issue.severity == Severity::High,
        Some("NORMAL") => issue.severity == Severity::Normal,
        Some("LOW") => issue.severity == Severity::Low,
        _ => true,
    };
    found
        .iter()
        .filter(|issue| (!new || issue.new) && wanted(issue))
        .count()
}
