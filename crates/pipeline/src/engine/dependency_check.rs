//! The steps `dependencyCheck` and `dependencyCheckPublisher`: the first scans with Launchway's own scanner, the second
//! judges reports by thresholds, whoever wrote them.
//!
//! The scanner is a process of the binary's, in the step's folder and under its limits, like any command of a build. It uses
//! no network: the advisories are those of the installation.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use launchway_model::Problem;
use launchway_model::build::BuildResult;
use launchway_model::runner::RunnerEventKind;
use launchway_model::scan::{
    FindingCounts, FindingLevel, MOST_FINDINGS, ScanFinding, ScanReport, ScanSummary, ScanVerdict,
};

use super::build::kept_for_branch;
use super::command::How;
use super::results::{self, SKIP};
use super::stages::{Context, stopped_words, timed_out};
use super::steps::{Interrupt, Outcome, cannot_start};
use crate::dependency_check::{self, Thresholds};
use crate::glob::Patterns;

/// The pattern of reports where a publisher names none.
const REPORTS: &str = "**/dependency-check-report.xml";
/// How many findings a problem names one by one.
const NAMED: usize = 10;
/// The largest report that is read, in bytes.
const MAX_REPORT: u64 = 256 << 20;

/// `dependencyCheck(…)`.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// The arguments as one text.
    pub(crate) arguments: String,
    /// The name of the installation, which is told in the log only.
    pub(crate) installation: Option<String>,
    /// Whether a failure ends the stage at once.
    pub(crate) stop_build: bool,
}

/// `dependencyCheckPublisher(…)`.
#[derive(Debug, Default)]
pub(crate) struct Publish {
    /// The pattern of reports, relative to the present folder.
    pub(crate) pattern: Option<String>,
    /// What counts.
    pub(crate) thresholds: Thresholds,
    /// Whether a failure ends the stage at once.
    pub(crate) stop_build: bool,
}

/// Scans.
pub(crate) fn check(
    context: &Context<'_>,
    outcome: &Outcome,
    check: &Check,
) -> Result<(), Interrupt> {
    let skip = context.effective().get("OWASP_DC_SKIP").cloned();
    if skip.is_some_and(|skip| skip.eq_ignore_ascii_case("true")) {
        context
            .log
            .say("The scan is left out, since OWASP_DC_SKIP is true");
        return Ok(());
    }
    let job = context.build.job;
    let Some(scanner) = &job.scanner else {
        return Err(Interrupt::Failed(
            Problem::failed("nothing here scans dependencies")
                .cause("the build's job names no scanner"),
        ));
    };
    context.log.say(&format!(
        "Launchway's own scanner stands for {}; it asks no service and needs no key",
        match &check.installation {
            Some(name) => format!("the installation `{name}`"),
            None => "Dependency-Check".to_owned(),
        }
    ));
    let summary = context
        .build
        .temporary
        .join(format!("scan-{}.json", context.stage.0));
    // What an earlier step of the stage left is not this one's.
    let _ = fs::remove_file(&summary);
    let project = format!("{} #{}", job.app, job.build.0);
    let words = [
        scanner.binary.to_string_lossy().as_ref(),
        "dependency-check",
        "--advisories",
        scanner.advisories.to_string_lossy().as_ref(),
        "--summary",
        summary.to_string_lossy().as_ref(),
        "--named",
        &project,
        "--text",
        &check.arguments,
    ]
    .map(quoted);
    let script = format!("exec {}", words.join(" "));
    let ended = context
        .shell(&script, false, "-e")
        .run(&context.build.lingering)
        .map_err(|error| Interrupt::Failed(cannot_start(context, "dependencyCheck", &error)))?;
    let status = match ended.how {
        How::Exited(status) => status,
        How::Stopped(reason) => {
            return Err(Interrupt::Aborted(
                stopped_words(&context.name, &reason).output(ended.tail),
            ));
        }
        How::TimedOut(deadline) => {
            return Err(Interrupt::Aborted(timed_out(&deadline).output(ended.tail)));
        }
    };
    let summary: Option<ScanSummary> = fs::read(&summary)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(summary) = &summary {
        tell(context, summary.report.clone());
        archive(context, outcome, &summary.written)?;
    }
    if status.success() {
        return Ok(());
    }
    let problem = match summary {
        Some(summary) => failed_scan(&summary.report),
        None => Problem::failed("the scan of the dependencies could not be done")
            .cause(match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended with {code}"),
                (None, signal) => format!("it was killed by signal {}", signal.unwrap_or(0)),
            })
            .output(ended.tail),
    };
    fail(context, outcome, problem, check.stop_build)
}

/// Why a scan failed the build.
fn failed_scan(report: &ScanReport) -> Problem {
    let problem = report.reasons.iter().fold(
        Problem::failed("the scan of the dependencies failed"),
        |problem, reason| problem.cause(reason.trim_end_matches('.')),
    );
    let problem = with_findings(problem, report.failing());
    problem.hint(match report.verdict {
        ScanVerdict::Unknown => "`launchway scan --update` on the server fetches advisories.",
        ScanVerdict::Unreadable => "Mend the files that could not be read; the stage's log names them.",
        _ => "Upgrade what the findings name, or record in launchway-ignore.toml or a suppression file why you live with one.",
    })
}

fn with_findings<'f>(
    mut problem: Problem,
    findings: impl Iterator<Item = &'f ScanFinding>,
) -> Problem {
    let mut rest = 0;
    for (at, finding) in findings.enumerate() {
        if at < NAMED {
            problem = problem.cause(finding.line());
        } else {
            rest += 1;
        }
    }
    if rest > 0 {
        problem = problem.cause(format!("and {rest} more"));
    }
    problem
}

/// Judges reports.
pub(crate) fn publish(
    context: &Context<'_>,
    outcome: &Outcome,
    publish: &Publish,
) -> Result<(), Interrupt> {
    let pattern = match publish.pattern.as_deref().map(str::trim) {
        None | Some("") => REPORTS.to_owned(),
        Some(pattern) => pattern.to_owned(),
    };
    let files = Patterns::new(std::slice::from_ref(&pattern), &[]).files(&context.folder, &SKIP);
    if files.is_empty() {
        // Nothing was looked at, so nothing is clean: the build does not become a release.
        let problem = Problem::failed("there is no report of Dependency-Check to judge")
            .cause(format!("no file matches {pattern}"))
            .hint("Let `dependencyCheck` run before it with `--format XML` or `--format ALL`.");
        context.say_problem(&problem);
        context.build.remember(BuildResult::Unstable, problem);
        outcome.worsen(BuildResult::Unstable);
        return Ok(());
    }
    let mut findings = Vec::new();
    for file in &files {
        let path = context.folder.join(file);
        let read = read_report(&path).map_err(|error| {
            Interrupt::Failed(
                Problem::failed(format!("the report {file} cannot be read")).cause(error),
            )
        })?;
        findings.extend(read);
    }
    let level = |finding: &ScanFinding| match finding.level {
        FindingLevel::Unknown => FindingLevel::None,
        level => level,
    };
    findings.sort_by(|a, b| level(b).cmp(&level(a)).then_with(|| a.id.cmp(&b.id)));
    let report = report_of(findings);
    let now = report.counts();
    let kept = kept_for_branch(context.build.job, "dependency-check");
    let before: Option<FindingCounts> = fs::read(&kept)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    context.log.say(&format!(
        "Dependency-Check found {}{}",
        if now.total() == 0 {
            "nothing".to_owned()
        } else {
            now.words()
        },
        match &before {
            Some(before) if before.total() == 0 => "; nothing in the build before".to_owned(),
            Some(before) => format!("; {} in the build before", before.words()),
            None => String::new(),
        }
    ));
    let (result, why) = publish.thresholds.judge(&now, before.as_ref());
    keep(&kept, &now);
    archive(context, outcome, &files)?;
    let problem = why.map(|why| {
        let problem = Problem::failed("a threshold of the dependency check was met").cause(why);
        with_findings(problem, report.findings.iter())
            .hint("Upgrade what the findings name, suppress what does not apply, or raise the threshold in the Jenkinsfile.")
    });
    if !context.build.scanned.load(Ordering::Relaxed) {
        // The step's own report knows more, such as which version mends a finding.
        tell(context, report);
    }
    match (result, problem) {
        (BuildResult::Failure, Some(problem)) => {
            fail(context, outcome, problem, publish.stop_build)
        }
        (BuildResult::Unstable, Some(problem)) => {
            context.say_problem(&problem);
            context.build.remember(BuildResult::Unstable, problem);
            outcome.worsen(BuildResult::Unstable);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read_report(path: &Path) -> Result<Vec<ScanFinding>, String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_REPORT {
        return Err(format!("it has more than {} MiB", MAX_REPORT >> 20));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    dependency_check::read(&bytes).map_err(|error| error.to_string())
}

/// What reports of somebody else's hold, as ours has it.
fn report_of(mut findings: Vec<ScanFinding>) -> ScanReport {
    let more = findings.len().saturating_sub(MOST_FINDINGS);
    let verdict = if findings.is_empty() {
        ScanVerdict::Clean
    } else {
        ScanVerdict::Findings
    };
    findings.truncate(MOST_FINDINGS);
    let mut packages: Vec<(&str, &str)> = findings
        .iter()
        .map(|finding| (finding.package.as_str(), finding.version.as_str()))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    ScanReport {
        at: Timestamp::now(),
        verdict,
        reasons: Vec::new(),
        packages: packages.len() as u64,
        advisories: None,
        more: more as u64,
        notes: Vec::new(),
        findings,
    }
}

/// Tells control what was found.
fn tell(context: &Context<'_>, report: ScanReport) {
    context.build.scanned.store(true, Ordering::Relaxed);
    context.build.spool.emit(RunnerEventKind::Scanned {
        report: Box::new(report),
    });
}

/// Keeps reports with the build: those that lie in the present folder, as all steps see files.
fn archive(context: &Context<'_>, outcome: &Outcome, files: &[String]) -> Result<(), Interrupt> {
    let inside: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let path = Path::new(file);
            let path = path.strip_prefix(&context.folder).unwrap_or(path);
            let path: PathBuf = path
                .components()
                .filter(|part| part.as_os_str() != ".")
                .collect();
            path.to_str()
                .filter(|path| crate::persist::is_inside(path))
                .map(str::to_owned)
        })
        .collect();
    if inside.is_empty() {
        return Ok(());
    }
    results::archive(context, outcome, &inside, &[], true)
}

/// As the plugin does it: the build has failed, and the stage goes on unless it is told to stop.
fn fail(
    context: &Context<'_>,
    outcome: &Outcome,
    problem: Problem,
    stop: bool,
) -> Result<(), Interrupt> {
    if stop {
        return Err(Interrupt::Failed(problem));
    }
    context.say_problem(&problem);
    context.build.remember(BuildResult::Failure, problem);
    outcome.worsen(BuildResult::Failure);
    Ok(())
}

/// The counts for the branch's next build. Without them its new findings are simply not judged.
fn keep(path: &Path, counts: &FindingCounts) {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| {
            let half = path.with_extension("new");
            fs::write(&half, serde_json::to_vec(counts).unwrap_or_default())?;
            fs::rename(half, path)
        });
    if let Err(error) = written {
        tracing::debug!(%error, "the counts cannot be kept for the next build");
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
