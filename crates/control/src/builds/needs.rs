//! What a build asks for before it starts, read from the commit's own pipeline files in the mirror: labels, a quiet period, how
//! often it may be tried, how long it is kept.
//!
//! It is read once and stored. A file that cannot be read asks for nothing here: the runner meets the same error, with the
//! build's log to say it in.

use std::process::Stdio;

use jiff::{SignedDuration, Timestamp};
use launchway_model::agent::LabelExpression;
use launchway_model::{BuildId, Problem};
use launchway_pipeline::describe;
use launchway_pipeline::plan::{Agent, Plan, Stage};
use launchway_store::StoredBuild;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Control, git, problem};

/// The files that are read, at the commit's root.
const FILES: [&str; 2] = ["launchway.toml", "Jenkinsfile"];
/// The most that git may answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;
/// The longest quiet period: a typo must not hold a build for ever.
const MAX_QUIET_S: u64 = 24 * 3600;

/// What a build asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Needs {
    /// The labels that it asks for, each with the stage that does (none for the pipeline as a whole).
    pub(crate) labels: Vec<Wanted>,
    /// Whether it restarts units of the app: each is a deploy of the tree as it is then, which must be here.
    pub(crate) restarts: bool,
    /// How often it may be tried where its agent is lost.
    pub(crate) attempts: u32,
    /// How long it waits for another commit, in seconds.
    pub(crate) quiet_s: u64,
    /// Whether it ends the running build of its branch.
    pub(crate) abort_previous: bool,
    /// How long it and its like are kept.
    pub(crate) keep: Keep,
}

/// A label expression, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) stage: Option<String>,
    pub(crate) label: LabelExpression,
}

/// What `buildDiscarder(logRotator(…))` keeps of a branch's builds; none is everything within the installation's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Keep {
    pub(crate) builds: Option<u32>,
    pub(crate) days: Option<u32>,
    pub(crate) artifact_builds: Option<u32>,
    pub(crate) artifact_days: Option<u32>,
}

/// What of a build goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Discard {
    pub(crate) build: bool,
    pub(crate) artifacts: bool,
}

impl Needs {
    /// What a plan asks for.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut labels = Vec::new();
        want(&mut labels, None, Some(&plan.agent));
        for stage in &plan.stages {
            want_within(&mut labels, stage);
        }
        let noted = |name: &str| plan.options.noted.get(name).map(String::as_str);
        let number = |name: &str| noted(name).and_then(|text| text.parse().ok());
        Self {
            labels,
            restarts: !plan.units.is_empty(),
            attempts: plan.options.attempts.unwrap_or(1).max(1),
            quiet_s: noted("quietPeriod")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
                .min(MAX_QUIET_S),
            abort_previous: noted("disableConcurrentBuilds.abortPrevious") == Some("true"),
            keep: Keep {
                builds: number("buildDiscarder.numToKeepStr"),
                days: number("buildDiscarder.daysToKeepStr"),
                artifact_builds: number("buildDiscarder.artifactNumToKeepStr"),
                artifact_days: number("buildDiscarder.artifactDaysToKeepStr"),
            },
        }
    }
}

impl Keep {
    /// What goes of the build that is the `index`th of its branch from the newest (0), made at `created`.
    pub(crate) fn discards(self, index: usize, created: Timestamp, now: Timestamp) -> Discard {
        let beyond = |builds: Option<u32>| builds.is_some_and(|builds| index >= builds as usize);
        let older = |days: Option<u32>| {
            days.is_some_and(|days| {
                now.duration_since(created) > SignedDuration::from_hours(i64::from(days) * 24)
            })
        };
        // The newest build always stays, as in Jenkins: it tells how the branch stands.
        let build = index > 0 && (beyond(self.builds) || older(self.days));
        Discard {
            build,
            artifacts: build
                || (index > 0 && (beyond(self.artifact_builds) || older(self.artifact_days))),
        }
    }
}

fn want(labels: &mut Vec<Wanted>, stage: Option<&str>, agent: Option<&Agent>) {
    if let Some(Agent::Label(text)) = agent
        && let Ok(label) = text.parse::<LabelExpression>()
        && !labels.iter().any(|wanted| wanted.label == label)
    {
        labels.push(Wanted {
            stage: stage.map(str::to_owned),
            label,
        });
    }
}

fn want_within(labels: &mut Vec<Wanted>, stage: &Stage) {
    want(labels, Some(&stage.name), stage.agent.as_ref());
    for inner in stage.children() {
        want_within(labels, inner);
    }
}

/// What a build asks for: as stored, or read now and stored.
pub(crate) async fn of(control: &Control, stored: &StoredBuild) -> Result<Needs, Problem> {
    let id = stored.build.id;
    if let Some(kept) = kept(control, id).await? {
        return Ok(kept);
    }
    let needs = read(control, stored).await?;
    let text = serde_json::to_string(&needs)
        .map_err(|error| Problem::internal("cannot encode what a build needs").cause(error))?;
    control
        .store
        .set_needs(id, &text)
        .await
        .map_err(problem::store)?;
    Ok(needs)
}

/// What a build asks for, where it was read already.
pub(crate) async fn kept(control: &Control, id: BuildId) -> Result<Option<Needs>, Problem> {
    let text = control.store.needs(id).await.map_err(problem::store)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

async fn read(control: &Control, stored: &StoredBuild) -> Result<Needs, Problem> {
    let request = &stored.build.request;
    let app = control.app(&request.app).await?;
    let folder = control.settings().home.repository(&request.app);
    let texts = match files(&folder, &request.commit).await {
        Ok(texts) => texts,
        Err(error) => {
            tracing::debug!(%error, build = %stored.build.id, "a commit's pipeline cannot be read ahead");
            [None, None]
        }
    };
    let [toml, jenkinsfile] = texts;
    let outside = app.description;
    // A file of a hundred thousand lines takes its time.
    let plan = tokio::task::spawn_blocking(move || {
        describe::wishes(toml.as_deref(), jenkinsfile.as_deref(), outside.as_deref())
    })
    .await
    .map_err(|error| Problem::internal("reading a pipeline ended badly").cause(error))?;
    Ok(match plan {
        Ok(plan) => Needs::of(&plan),
        Err(_) => Needs {
            attempts: 1,
            ..Needs::default()
        },
    })
}

/// The texts of the files at a commit, in one run of git.
async fn files(folder: &std::path::Path, commit: &str) -> std::io::Result<[Option<String>; 2]> {
    let mut child = git::command(folder)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let asked: String = FILES.map(|file| format!("{commit}:{file}\n")).concat();
    if let Some(mut input) = child.stdin.take() {
        input.write_all(asked.as_bytes()).await?;
    }
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    child.wait().await?;
    let mut rest = answer.as_slice();
    Ok(FILES.map(|_| blob(&mut rest)))
}

/// One answer of `git cat-file --batch`: `HASH blob SIZE`, the content and a line's end, or `NAME missing`.
fn blob(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (head, after) = (&rest[..end], &rest[end + 1..]);
    *rest = after;
    let mut words = std::str::from_utf8(head).ok()?.split(' ').skip(1);
    let (kind, size) = (words.next()?, words.next());
    if kind == "missing" {
        return None;
    }
    let size: usize = size?.parse().ok()?;
    let content = after.get(..size)?;
    *rest = after.get(size + 1..).unwrap_or_default();
    (kind == "blob")
        .then(|| String::from_utf8(content.to_vec()).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
