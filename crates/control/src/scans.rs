//! What is known of the vulnerabilities of apps' dependencies: the gate before a release, and what was found.
//!
//! A build that is to become a release is scanned in its tree, against the advisories of the installation, by the policy
//! of its launchway.toml. Nothing is fetched here, and nothing of the tree is run. `watch` looks again whenever the
//! advisories change; `update` has them fetched.
//!
//! **Invariant:** a policy that may refuse a release refuses it as well where nothing can be said: without advisories,
//! with a lock file that cannot be read, or where the scan itself fails.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use launchway_model::app::AppSpec;
use launchway_model::scan::{
    FindingLevel, MOST_FINDINGS, ScanBrief, ScanFinding, ScanPolicy, ScanReport, ScanVerdict,
};
use launchway_model::{AppName, BuildId, Problem, ReleaseNumber};
use launchway_scanner::command::{self, Options};
use launchway_scanner::finding::{Finding, Verdict};
use launchway_scanner::policy::Threshold;
use launchway_scanner::severity::Level;
use launchway_scanner::{ExitCode, Report};
use launchway_store::{ScanOrigin, StoredScan};

use crate::{Control, builds, problem, releases};

pub(crate) mod update;
pub(crate) mod watch;

/// How many findings a refusal names one by one.
const NAMED: usize = 10;

/// What the build's own steps found, else what was found in the release that it became; none where nothing was scanned.
///
/// # Errors
/// The build does not exist, or the store fails.
pub async fn of_build(control: &Control, id: BuildId) -> Result<Option<ScanReport>, Problem> {
    builds::get(control, id).await?;
    for origin in [ScanOrigin::Steps, ScanOrigin::Release] {
        let found = control.store.scan(id, origin).await;
        if let Some(scan) = found.map_err(problem::store)? {
            return Ok(Some(scan.report));
        }
    }
    Ok(None)
}

/// What is known of a release's dependencies now; none where it was not scanned.
///
/// # Errors
/// The app or the release does not exist, or the store fails.
pub async fn of_release(
    control: &Control,
    app: &AppName,
    number: ReleaseNumber,
) -> Result<Option<ScanReport>, Problem> {
    let release = releases::get(control, app, number).await?;
    let found = control.store.scan(release.build, ScanOrigin::Release).await;
    Ok(found.map_err(problem::store)?.map(|scan| scan.report))
}

/// The scans of an app's builds that became releases, newest first, in short.
///
/// # Errors
/// The app does not exist, or the store fails.
pub async fn list(control: &Control, app: &AppName, limit: u32) -> Result<Vec<ScanBrief>, Problem> {
    control.app(app).await?;
    control
        .store
        .scan_briefs(app, limit)
        .await
        .map_err(problem::store)
}

/// Stores what a build's own steps found.
pub(crate) async fn keep_of_steps(control: &Control, build: BuildId, report: ScanReport) {
    let scan = StoredScan {
        report,
        stamp: String::new(),
        known: Vec::new(),
    };
    let saved = control
        .store
        .save_scan(build, ScanOrigin::Steps, &scan)
        .await;
    if let Err(error) = saved {
        tracing::warn!(%build, error = %problem::store(error), "what a build's steps found cannot be stored");
    }
}

/// Scans a build that is to become a release, stores what was found, and says why it may not become one.
///
/// # Errors
/// The policy refuses.
pub(crate) async fn gate(
    control: &Control,
    app: &AppName,
    build: BuildId,
    spec: &AppSpec,
) -> Result<(), Problem> {
    let policy = &spec.scan;
    let stamp = stamp(control, Timestamp::now());
    let report = match scan(control, app, build, policy).await {
        Ok(report) => report,
        Err(problem) if policy.is_gate() => {
            return Err(Problem::failed(
                "the build makes no release: its dependencies cannot be scanned",
            )
            .cause(problem)
            .hint("Mend what the scan names, or change [scan] in launchway.toml."));
        }
        Err(problem) => {
            tracing::warn!(%app, %build, %problem, "the dependencies cannot be scanned");
            return Ok(());
        }
    };
    let scan = StoredScan {
        known: report.findings.iter().map(ScanFinding::key).collect(),
        stamp,
        report,
    };
    let saved = control
        .store
        .save_scan(build, ScanOrigin::Release, &scan)
        .await;
    if let Err(error) = saved {
        let problem = problem::store(error);
        tracing::warn!(%app, %build, %problem, "what a scan found cannot be stored");
    }
    if !policy.is_gate() || scan.report.verdict == ScanVerdict::Clean {
        return Ok(());
    }
    Err(refusal(&scan.report))
}

/// Why a policy refuses a release, and how to mend it.
fn refusal(report: &ScanReport) -> Problem {
    let message = match report.verdict {
        ScanVerdict::Unknown => {
            "the build makes no release: nothing is known of its dependencies' vulnerabilities"
        }
        ScanVerdict::Unreadable => "the build makes no release: a lock file of it cannot be read",
        _ => {
            "the build makes no release: known vulnerabilities of its dependencies break the policy"
        }
    };
    let mut problem = Problem::failed(message);
    for reason in &report.reasons {
        problem = problem.cause(reason.trim_end_matches('.'));
    }
    if report.verdict == ScanVerdict::Unreadable {
        for note in report.notes.iter().take(NAMED) {
            problem = problem.cause(note);
        }
    }
    for finding in report.failing().take(NAMED) {
        problem = problem.cause(finding.line());
    }
    let more = report.failing().count().saturating_sub(NAMED);
    if more > 0 {
        problem = problem.cause(format!("and {more} more"));
    }
    let commands: Vec<&str> = report
        .failing()
        .filter_map(|finding| finding.command.as_deref())
        .fold(Vec::new(), |mut commands, command| {
            if !commands.contains(&command) && commands.len() < 3 {
                commands.push(command);
            }
            commands
        });
    problem.hint(match report.verdict {
        ScanVerdict::Unknown => {
            "`launchway scan --update` on the server fetches advisories; then deploy again.".to_owned()
        }
        ScanVerdict::Unreadable => {
            "Mend the file, or leave it out with `exclude` under [scan] in launchway.toml.".to_owned()
        }
        _ if commands.is_empty() => {
            "Live with a finding for a while by an entry with its reason and a day in launchway-ignore.toml, or change [scan] in launchway.toml."
                .to_owned()
        }
        _ => format!(
            "Upgrade: {}. Or live with a finding for a while: an entry with its reason and a day in launchway-ignore.toml.",
            commands.iter().map(|command| format!("`{command}`")).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Scans a build's tree by a policy, in a thread of its own.
async fn scan(
    control: &Control,
    app: &AppName,
    build: BuildId,
    policy: &ScanPolicy,
) -> Result<ScanReport, Problem> {
    let home = &control.settings().home;
    let tree = home.tree(app, build);
    let mut options = options(&tree, home.advisories(), policy)?;
    options.project = Some(format!("{app} {build}"));
    let scanned = tokio::task::spawn_blocking(move || {
        let report = command::scan(&options)?;
        if report.unresolved.is_empty() || options.walk.installed {
            return Ok(report);
        }
        // What the files do not pin is looked at as the build installed it.
        options.walk.installed = true;
        command::scan(&options)
    })
    .await;
    match scanned {
        Ok(Ok(report)) => Ok(report_of(&report)),
        Ok(Err(error)) => Err(Problem::failed("the scan failed").caused_by(&error)),
        Err(_) => Err(Problem::internal(
            "the scan ended by a fault of Launchway's",
        )),
    }
}

fn options(tree: &Path, advisories: PathBuf, policy: &ScanPolicy) -> Result<Options, Problem> {
    let mut options = Options::new(tree, advisories);
    options.paths = policy.paths.iter().map(|path| below(tree, path)).collect();
    options.walk.exclude.clone_from(&policy.exclude);
    options.policy.fail_on = threshold(&policy.fail_on)?;
    options.policy.fixable_only = policy.fixable_only;
    options.policy.grace_days = policy.grace_days;
    options.policy.warnings = policy.warnings;
    options.policy.dev = policy.dev;
    options.policy.max_data_age_days = policy.max_data_age_days;
    options.ignore_files = policy
        .ignore_file
        .iter()
        .map(|path| below(tree, path))
        .collect();
    options.outputs = Vec::new();
    Ok(options)
}

fn below(tree: &Path, path: &str) -> PathBuf {
    if path == "." {
        tree.to_owned()
    } else {
        tree.join(path)
    }
}

fn threshold(word: &str) -> Result<Threshold, Problem> {
    Ok(match word {
        "any" => Threshold::Any,
        "never" => Threshold::Never,
        _ => match word.parse::<f64>() {
            Ok(score) => Threshold::Score(score),
            Err(_) => Threshold::Level(word.parse::<Level>().map_err(Problem::invalid)?),
        },
    })
}

/// Which advisories there are, and the day: decisions to live with a finding end with a day.
pub(crate) fn stamp(control: &Control, now: Timestamp) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let folder = control.settings().home.advisories();
    let index = folder.join(launchway_scanner::index::CURRENT);
    let state = match std::fs::metadata(&index).or_else(|_| std::fs::metadata(&folder)) {
        Ok(data) => format!("{}-{}-{}", data.ino(), data.len(), data.mtime_nsec()),
        Err(_) => "none".to_owned(),
    };
    format!("{state} {}", now.strftime("%Y-%m-%d"))
}

/// The scanner's report as it is stored, shown and sent.
pub fn report_of(report: &Report) -> ScanReport {
    let problems = report.problems.iter().map(ToString::to_string);
    ScanReport {
        at: report.generated_at,
        verdict: match report.verdict {
            ExitCode::Clean => ScanVerdict::Clean,
            ExitCode::Findings => ScanVerdict::Findings,
            ExitCode::Errors => ScanVerdict::Unreadable,
            ExitCode::NoData => ScanVerdict::Unknown,
        },
        reasons: report.reasons.clone(),
        packages: report.packages.len() as u64,
        advisories: report.data.iter().filter_map(|data| data.as_of).min(),
        findings: report
            .findings
            .iter()
            .take(MOST_FINDINGS)
            .map(finding)
            .collect(),
        more: report.findings.len().saturating_sub(MOST_FINDINGS) as u64,
        notes: problems
            .chain(report.notes.iter().cloned())
            .take(100)
            .collect(),
    }
}

fn finding(finding: &Finding) -> ScanFinding {
    ScanFinding {
        id: finding.id.clone(),
        aliases: finding
            .ids
            .iter()
            .skip(1)
            .chain(&finding.aliases)
            .cloned()
            .collect(),
        ecosystem: finding.ecosystem.clone(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        level: match finding.severity.level {
            Level::None => FindingLevel::None,
            Level::Low => FindingLevel::Low,
            Level::Medium => FindingLevel::Medium,
            Level::High => FindingLevel::High,
            Level::Critical => FindingLevel::Critical,
            Level::Unknown => FindingLevel::Unknown,
        },
        score: finding.severity.score,
        summary: finding.summary.clone(),
        url: finding.url.clone(),
        place: finding.locations.first().map_or_else(String::new, |place| {
            if place.line > 0 {
                format!("{}:{}", place.file, place.line)
            } else {
                place.file.to_string()
            }
        }),
        fixed: finding.upgrade.clone().or_else(|| finding.fixed.clone()),
        command: finding.command.clone(),
        fails: finding.verdict == Verdict::Fails,
        warning: finding.kind.is_warning(),
        ignored: match &finding.verdict {
            Verdict::Ignored { reason, expires } => Some(match expires {
                Some(day) => format!("{reason} (until {day})"),
                None => reason.clone(),
            }),
            _ => None,
        },
    }
}
