//! What a build leaves: test reports and artifacts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::PoisonError;

use launchway_model::Problem;
use launchway_model::build::{BuildResult, TestCase, TestCounts, TestOutcome};
use launchway_model::runner::{RunnerEventKind, TESTS_FILE};
use sha2::{Digest, Sha256};

use super::build::Build;
use super::mask::Mask;
use super::stages::{Context, worse};
use super::steps::{Interrupt, Outcome};
use crate::glob::Patterns;
use crate::junit;

/// Folders that are not searched unless a pattern names them.
pub(super) const SKIP: [&str; 10] = [
    ".venv",
    "venv",
    "node_modules",
    ".git",
    "target",
    "vendor",
    "__pycache__",
    ".tox",
    ".nox",
    ".cache",
];

/// Where reports usually are, for a build that names none.
const USUAL_REPORTS: [&str; 9] = [
    "**/junit*.xml",
    "**/*junit.xml",
    "**/TEST-*.xml",
    "**/test-results/**/*.xml",
    "**/test-reports/**/*.xml",
    "**/surefire-reports/*.xml",
    "reports/**/*.xml",
    "*report*.xml",
    "*results*.xml",
];

/// The largest report and the most cases that are kept.
const MAX_REPORT: u64 = 256 << 20;
const MAX_CASES: usize = 500_000;

/// The folder of artifacts in a build's folder.
const ARTIFACTS: &str = "artifacts";

/// Reads the reports of a stage.
pub(crate) fn tests(
    context: &Context<'_>,
    outcome: &Outcome,
    reports: &[String],
    allow_empty: bool,
) -> Result<(), Interrupt> {
    let files = Patterns::new(reports, &[]).files(&context.folder, &SKIP);
    if files.is_empty() {
        if allow_empty || outcome.get() >= BuildResult::Failure {
            context
                .log
                .say(&format!("No test report matches {}", reports.join(", ")));
            return Ok(());
        }
        return Err(Interrupt::Failed(
            Problem::failed(format!("stage `{}` left no test report", context.name))
                .cause(format!("no file matches {}", reports.join(", ")))
                .hint("Let the test command write JUnit XML there, such as `pytest --junitxml=report.xml`."),
        ));
    }
    let mut failed = Vec::new();
    for file in files {
        match read_report(&context.folder.join(&file), context.log.mask()) {
            Ok(Some(cases)) => {
                failed.extend(failures(&cases));
                keep(context.build, &context.folder.join(&file), cases);
            }
            Ok(None) => context
                .log
                .say(&format!("{file} is XML, but no test report")),
            Err(error) => {
                return Err(Interrupt::Failed(
                    Problem::failed(format!("the test report {file} cannot be read")).cause(error),
                ));
            }
        }
    }
    let counts = announce(context.build);
    context.log.say(&format!(
        "Tests so far: {} passed, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    ));
    if !failed.is_empty() {
        context
            .build
            .remember(BuildResult::Unstable, failed_tests(&failed));
        outcome.worsen(BuildResult::Unstable);
    }
    Ok(())
}

/// Looks for reports where they usually are, after a build that named none. Only files that the build itself wrote count:
/// a repository may hold old ones.
pub(crate) fn find_unnamed_reports(build: &Build<'_>, result: BuildResult) -> BuildResult {
    let named = !build
        .tests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_empty();
    if named {
        return result;
    }
    let usual = USUAL_REPORTS.map(str::to_owned);
    let mut failed = Vec::new();
    let mut found = false;
    for file in Patterns::new(&usual, &[]).files(&build.job.tree, &SKIP) {
        let path = build.job.tree.join(&file);
        let written = path.metadata().and_then(|data| data.modified()).ok();
        // The kernel's clock for files is a few milliseconds coarse, so equal times are not the build's.
        if written.is_none_or(|written| written <= build.checked_out_at) {
            continue;
        }
        if let Ok(Some(cases)) = read_report(&path, &build.mask) {
            found = true;
            failed.extend(failures(&cases));
            keep(build, &path, cases);
        }
    }
    if !found {
        return result;
    }
    announce(build);
    if failed.is_empty() {
        return result;
    }
    build.remember(BuildResult::Unstable, failed_tests(&failed));
    worse(result, BuildResult::Unstable)
}

fn read_report(path: &Path, mask: &Mask) -> io::Result<Option<Vec<TestCase>>> {
    let file = fs::File::open(path)?;
    if file.metadata()?.len() > MAX_REPORT {
        return Err(io::Error::other("it is larger than 256 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_REPORT).read_to_end(&mut bytes)?;
    let mut cases = match junit::read(&bytes) {
        Ok(cases) => cases,
        Err(junit::JunitError::NotAReport) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    for case in &mut cases {
        case.detail = case.detail.as_ref().map(|detail| mask.text(detail));
        case.name = mask.text(&case.name);
    }
    Ok(Some(cases))
}

fn failures(cases: &[TestCase]) -> Vec<String> {
    cases
        .iter()
        .filter(|case| case.outcome == TestOutcome::Failed)
        .map(|case| {
            if case.suite.is_empty() {
                case.name.clone()
            } else {
                format!("{} › {}", case.suite, case.name)
            }
        })
        .collect()
}

fn failed_tests(names: &[String]) -> Problem {
    let many = names.len();
    let message = if many == 1 {
        "1 test failed".to_owned()
    } else {
        format!("{many} tests failed")
    };
    Problem::failed(message).output(names.iter().take(30).cloned().collect())
}

/// Keeps a report's cases under its path: a report that is read twice counts once.
fn keep(build: &Build<'_>, path: &Path, mut cases: Vec<TestCase>) {
    let mut all = build.tests.lock().unwrap_or_else(PoisonError::into_inner);
    let there: usize = all.values().map(Vec::len).sum();
    cases.truncate(MAX_CASES.saturating_sub(there));
    all.insert(path.display().to_string(), cases);
}

/// Writes all cases to `tests.json` and tells their counts.
fn announce(build: &Build<'_>) -> TestCounts {
    let all = build.tests.lock().unwrap_or_else(PoisonError::into_inner);
    let cases: Vec<&TestCase> = all.values().flatten().collect();
    let mut counts = TestCounts::default();
    for case in &cases {
        match case.outcome {
            TestOutcome::Passed => counts.passed += 1,
            TestOutcome::Failed => counts.failed += 1,
            TestOutcome::Skipped => counts.skipped += 1,
        }
    }
    let written = serde_json::to_vec(&cases)
        .map_err(io::Error::other)
        .and_then(|json| replace(&build.job.folder.join(TESTS_FILE), &json));
    if let Err(error) = written {
        tracing::warn!(%error, "the build's tests cannot be written");
    }
    build.spool.emit(RunnerEventKind::Tests { counts });
    counts
}

/// Replaces a file as a whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = path.with_extension("new");
    fs::write(&half, bytes)?;
    fs::rename(half, path)
}

/// Keeps files with the build.
pub(crate) fn archive(
    context: &Context<'_>,
    outcome: &Outcome,
    files: &[String],
    except: &[String],
    allow_empty: bool,
) -> Result<(), Interrupt> {
    let found = Patterns::new(files, except).files(&context.folder, &SKIP);
    if found.is_empty() {
        if allow_empty || outcome.get() >= BuildResult::Failure {
            context
                .log
                .say(&format!("No file matches {}", files.join(", ")));
            return Ok(());
        }
        return Err(Interrupt::Failed(
            Problem::failed(format!("stage `{}` left nothing to archive", context.name))
                .cause(format!("no file matches {}", files.join(", ")))
                .hint("Check the patterns of `artifacts`: they are relative to the repository's root."),
        ));
    }
    let mut told = BTreeMap::new();
    for file in found {
        // A file that is named like a secret is kept under the name that lists show.
        let kept = context.log.mask().text(&file);
        let target = context.build.job.folder.join(ARTIFACTS).join(&kept);
        let (size, sha256) = copy(&context.folder.join(&file), &target).map_err(|error| {
            Interrupt::Failed(Problem::failed(format!("cannot archive {file}")).cause(error))
        })?;
        told.insert(kept, (size, sha256));
    }
    context.log.say(&format!(
        "Archived {}",
        told.keys().cloned().collect::<Vec<_>>().join(", ")
    ));
    for (path, (size, sha256)) in told {
        context
            .build
            .spool
            .emit(RunnerEventKind::Artifact { path, size, sha256 });
    }
    Ok(())
}

/// Copies a file and gives its size and SHA-256.
fn copy(from: &Path, to: &Path) -> io::Result<(u64, String)> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut from = fs::File::open(from)?;
    let half = to.with_file_name(format!(
        "{}.new",
        to.file_name().unwrap_or_default().to_string_lossy()
    ));
    let mut target = fs::File::create(&half)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        size += read as u64;
    }
    drop(target);
    fs::rename(half, to)?;
    Ok((size, format!("{:x}", hash.finalize())))
}
