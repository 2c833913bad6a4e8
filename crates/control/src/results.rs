//! What builds leave for people: the history of their tests, artifacts with their fingerprints, reports, findings.
//!
//! A test is new among the failed when the branch's build before did not have it, still failing when it did, and flaky when
//! it went from passing to failing more than once within [`LOOKED_AT`] builds. What counts is the name alone, so that a
//! test is followed however its time and its output change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use launchway_model::build::{Build, BuildState, TestOutcome};
use launchway_model::request::InputParameter;
use launchway_model::results::{
    Artifact, FailedTest, FailureKind, Fingerprint, TestHistory, TestPoint, TestReport,
};
use launchway_model::runner::{
    ARTIFACTS_FOLDER, ISSUES_FILE, REPORTS_FOLDER, Report, RunnerEventKind,
};
use launchway_model::{AppName, BuildId, Problem};
use launchway_pipeline::{issues, jenkinsfile, spool};

use crate::{Control, builds, git, problem};

/// Over how many builds of a branch tests are looked at.
pub const LOOKED_AT: u32 = 20;
/// The most failed tests of a build that are remembered.
const MOST_FAILED: usize = 5_000;

/// The findings of one tool.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Findings {
    /// The tool's id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it found.
    pub issues: Vec<issues::Issue>,
}

/// The tests of a build, held against the builds of its branch before it; `None` where it had none.
///
/// # Errors
/// The build does not exist, or the store fails.
pub async fn test_report(control: &Control, id: BuildId) -> Result<Option<TestReport>, Problem> {
    let build = builds::get(control, id).await?;
    if build.tests.is_none() {
        return Ok(None);
    }
    let request = &build.request;
    let looked = control
        .store
        .tested_builds(&request.app, request.branch.as_deref(), Some(id), LOOKED_AT)
        .await
        .map_err(problem::store)?;
    report(control, &looked).await
}

/// The history of an app's tests on a branch; of all branches where none is named.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn history(
    control: &Control,
    app: &AppName,
    branch: Option<&str>,
    limit: u32,
) -> Result<TestHistory, Problem> {
    let known = control.app(app).await?;
    let branch = branch.map(str::to_owned).or(known.branch);
    let tested = control
        .store
        .tested_builds(app, branch.as_deref(), None, limit.clamp(1, 1_000))
        .await
        .map_err(problem::store)?;
    let recent = &tested[..tested.len().min(LOOKED_AT as usize)];
    let newest = report(control, recent).await?;
    let points = tested.iter().rev().filter_map(|build| {
        Some(TestPoint {
            build: build.id,
            created: build.created,
            result: match &build.state {
                BuildState::Finished { result, .. } => Some(*result),
                _ => None,
            },
            counts: build.tests?,
        })
    });
    Ok(TestHistory {
        branch,
        points: points.collect(),
        newest,
    })
}

/// Looks at builds of one branch, newest first.
async fn report(control: &Control, looked: &[Build]) -> Result<Option<TestReport>, Problem> {
    let Some(newest) = looked.first() else {
        return Ok(None);
    };
    let Some(counts) = newest.tests else {
        return Ok(None);
    };
    let ids: Vec<BuildId> = looked.iter().map(|build| build.id).collect();
    let failed = control
        .store
        .failed_tests(&ids)
        .await
        .map_err(problem::store)?;
    let mut report = compare(&ids, &failed);
    if !matches!(newest.state, BuildState::Finished { .. }) {
        // Its own failures are written at its end; until then they are read from its report.
        let mut all = failed;
        all.extend(
            failed_of(control, newest.id)
                .await?
                .into_iter()
                .map(|(suite, name)| (newest.id, suite, name)),
        );
        report = compare(&ids, &all);
    }
    report.counts = counts;
    Ok(Some(report))
}

/// Tells failures apart. `ids` are builds of one branch, newest first.
fn compare(ids: &[BuildId], failed: &[(BuildId, String, String)]) -> TestReport {
    let mut by_test: BTreeMap<(&str, &str), BTreeSet<BuildId>> = BTreeMap::new();
    for (build, suite, name) in failed {
        by_test.entry((suite, name)).or_default().insert(*build);
    }
    let newest = ids.first().copied().unwrap_or(BuildId(0));
    let before = ids.get(1).copied();
    let mut report = TestReport {
        build: newest,
        counts: launchway_model::build::TestCounts::default(),
        before,
        looked_at: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        failed: Vec::new(),
        fixed: Vec::new(),
        flaky: Vec::new(),
    };
    for ((suite, name), builds) in by_test {
        // How often it began to fail, looked at from the oldest build on.
        let mut begins = 0;
        let mut failing = false;
        for id in ids.iter().rev() {
            let fails = builds.contains(id);
            begins += u32::from(fails && !failing);
            failing = fails;
        }
        let flaky = begins > 1;
        if builds.contains(&newest) {
            let since = ids
                .iter()
                .take_while(|id| builds.contains(id))
                .last()
                .copied()
                .unwrap_or(newest);
            let kind = match (flaky, before.is_some_and(|before| builds.contains(&before))) {
                (true, _) => FailureKind::Flaky,
                (false, true) => FailureKind::Still,
                (false, false) => FailureKind::New,
            };
            report.failed.push(FailedTest {
                suite: suite.to_owned(),
                name: name.to_owned(),
                kind,
                since,
                failed: u32::try_from(builds.len()).unwrap_or(u32::MAX),
            });
            continue;
        }
        if before.is_some_and(|before| builds.contains(&before)) {
            report.fixed.push((suite.to_owned(), name.to_owned()));
        }
        if flaky {
            report.flaky.push((suite.to_owned(), name.to_owned()));
        }
    }
    report
}

/// Remembers which tests of a build failed, and what it kept.
pub(crate) async fn keep(control: &Control, id: BuildId) -> Result<(), Problem> {
    let failed = failed_of(control, id).await?;
    if !failed.is_empty() {
        control
            .store
            .keep_failed_tests(id, &failed)
            .await
            .map_err(problem::store)?;
    }
    let folder = control.settings().home.build(id);
    let mut kept = Vec::new();
    for event in events(&folder)? {
        if let RunnerEventKind::Artifact { path, size, sha256 } = event {
            kept.push(Artifact { path, size, sha256 });
        }
    }
    if !kept.is_empty() {
        control
            .store
            .keep_artifacts(id, &kept)
            .await
            .map_err(problem::store)?;
    }
    Ok(())
}

async fn failed_of(control: &Control, id: BuildId) -> Result<Vec<(String, String)>, Problem> {
    let cases = builds::tests(control, id).await?;
    Ok(cases
        .into_iter()
        .filter(|case| case.outcome == TestOutcome::Failed)
        .take(MOST_FAILED)
        .map(|case| (case.suite, case.name))
        .collect())
}

fn events(folder: &Path) -> Result<Vec<RunnerEventKind>, Problem> {
    let mut reader = spool::EventReader::new(folder, 0);
    let events = reader.read().map_err(|error| {
        Problem::internal("the build's events cannot be read").caused_by(&error)
    })?;
    Ok(events.into_iter().map(|event| event.kind).collect())
}

/// The files that a build kept.
///
/// # Errors
/// The build does not exist, or its records cannot be read.
pub async fn artifacts(control: &Control, id: BuildId) -> Result<Vec<Artifact>, Problem> {
    let build = builds::get(control, id).await?;
    if matches!(build.state, BuildState::Finished { .. }) {
        return control.store.artifacts(id).await.map_err(problem::store);
    }
    let kept = events(&control.settings().home.build(id))?;
    Ok(kept
        .into_iter()
        .filter_map(|event| match event {
            RunnerEventKind::Artifact { path, size, sha256 } => {
                Some(Artifact { path, size, sha256 })
            }
            _ => None,
        })
        .collect())
}

/// Where a file that a build kept is.
///
/// # Errors
/// The build does not exist, kept no such file, or its folder was swept.
pub async fn artifact_file(control: &Control, id: BuildId, path: &str) -> Result<PathBuf, Problem> {
    let known = artifacts(control, id).await?;
    if !known.iter().any(|artifact| artifact.path == path) {
        return Err(Problem::not_found(format!("build {id} kept no `{path}`")));
    }
    inside(control, id, ARTIFACTS_FOLDER, path)
}

/// The builds that kept a file of a fingerprint, newest first.
///
/// # Errors
/// It is no SHA-256, or the store fails.
pub async fn fingerprints(control: &Control, sha256: &str) -> Result<Vec<Fingerprint>, Problem> {
    let sha256 = sha256.trim().to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::invalid(
            "a fingerprint is the SHA-256 of a file: 64 hex digits",
        ));
    }
    control
        .store
        .fingerprints(&sha256)
        .await
        .map_err(problem::store)
}

/// The reports for people that a build kept.
///
/// # Errors
/// The build does not exist, or its events cannot be read.
pub async fn reports(control: &Control, id: BuildId) -> Result<Vec<Report>, Problem> {
    builds::get(control, id).await?;
    let mut reports: Vec<Report> = Vec::new();
    for event in events(&control.settings().home.build(id))? {
        if let RunnerEventKind::Report(report) = event {
            reports.retain(|other| other.key != report.key);
            reports.push(report);
        }
    }
    Ok(reports)
}

/// Where a file of a report is.
///
/// # Errors
/// There is no such file, or it was swept.
pub fn report_file(
    control: &Control,
    id: BuildId,
    key: &str,
    path: &str,
) -> Result<PathBuf, Problem> {
    inside(control, id, REPORTS_FOLDER, &format!("{key}/{path}"))
}

/// What linters found in a build.
///
/// # Errors
/// The build does not exist, or its findings cannot be read.
pub async fn findings(control: &Control, id: BuildId) -> Result<Vec<Findings>, Problem> {
    builds::get(control, id).await?;
    let path = control.settings().home.build(id).join(ISSUES_FILE);
    match tokio::fs::read(&path).await {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| Problem::internal("the findings cannot be read").cause(error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(problem::file("read", &path, &error)),
    }
}

/// A plain file in a folder of a build's; nothing that a link leads out to.
fn inside(control: &Control, id: BuildId, folder: &str, path: &str) -> Result<PathBuf, Problem> {
    let gone = || Problem::not_found(format!("build {id} has no file `{path}` any more"));
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let root = control.settings().home.build(id).join(folder);
    let file = root.join(path);
    if !plain {
        return Err(gone());
    }
    let (root, file) = (root.canonicalize(), file.canonicalize());
    match (root, file) {
        (Ok(root), Ok(file)) if file.starts_with(&root) && file.is_file() => Ok(file),
        _ => Err(gone()),
    }
}

/// The parameters that a build of a branch takes: those of its newest commit's Jenkinsfile.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn parameters(
    control: &Control,
    app: &AppName,
    branch: Option<&str>,
) -> Result<Vec<InputParameter>, Problem> {
    let known = control.app(app).await?;
    let Some(branch) = branch.map(str::to_owned).or(known.branch) else {
        return Ok(Vec::new());
    };
    let folder = control.settings().home.repository(app);
    let commit = crate::source::newest(&folder, &branch).await;
    let file = format!("{commit}:{}", jenkinsfile::FILE);
    // Without a Jenkinsfile, or with a broken one, there is nothing to fill in; the build will say what is wrong.
    let Ok(text) = git::run(&folder, ["show", &file], git::QUICK).await else {
        return Ok(Vec::new());
    };
    let read = tokio::task::spawn_blocking(move || jenkinsfile::read(jenkinsfile::FILE, &text))
        .await
        .map_err(|error| Problem::internal("reading a Jenkinsfile broke").cause(error))?;
    Ok(read.map_or_else(
        |_| Vec::new(),
        |read| {
            read.parameters
                .into_iter()
                .map(jenkinsfile::field)
                .collect()
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(builds: &[&[&str]]) -> TestReport {
        // Newest first, as the store gives them.
        let ids: Vec<BuildId> = (1..=builds.len() as u64).rev().map(BuildId).collect();
        let failed: Vec<_> = ids
            .iter()
            .zip(builds)
            .flat_map(|(id, names)| {
                names
                    .iter()
                    .map(|name| (*id, "s".to_owned(), (*name).to_owned()))
            })
            .collect();
        compare(&ids, &failed)
    }

    #[test]
    fn failures_are_told_apart() {
        let report = look(&[
            &["new", "still", "flaky"],
            &["still", "fixed"],
            &["flaky", "still"],
            &[],
        ]);
        let kinds: BTreeMap<&str, (FailureKind, u64)> = report
            .failed
            .iter()
            .map(|test| (test.name.as_str(), (test.kind, test.since.0)))
            .collect();
        assert_eq!(kinds["new"], (FailureKind::New, 4));
        assert_eq!(kinds["still"], (FailureKind::Still, 2));
        assert_eq!(kinds["flaky"], (FailureKind::Flaky, 4));
        assert_eq!(report.fixed, [("s".to_owned(), "fixed".to_owned())]);
        assert!(report.flaky.is_empty());
    }

    #[test]
    fn what_passes_now_may_be_flaky_all_the_same() {
        let report = look(&[&[], &["x"], &[], &["x"]]);
        assert_eq!(report.flaky, [("s".to_owned(), "x".to_owned())]);
        assert_eq!(report.fixed.len(), 1);
        let first = look(&[&["x"]]);
        assert_eq!(first.failed[0].kind, FailureKind::New);
        assert_eq!(first.before, None);
    }
}
