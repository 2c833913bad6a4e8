//! What control and a runner say to each other.
//!
//! Control writes a [`RunnerJob`] as `job.json` into the build's folder and starts `launchway runner FOLDER`, with what is
//! secret of the job on its standard input ([`crate::credential::RunnerSecrets`]). The
//! runner appends one JSON [`RunnerEvent`] a line to `events.jsonl`, and the output of stage N to `log/N.log`, each
//! line as [`LogLine`] describes. Both files only ever grow, so that control (or an agent's link) can ship them as
//! ranges of bytes and continue after any crash. Control cancels a build by creating the file `cancel`, whose text is the
//! reason; a file serves since it outlives both sides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppSpec;
use crate::build::{BuildResult, StageId, StageInfo, TestCounts};
use crate::names::{AppName, BuildId};
use crate::problem::Problem;
use crate::request::Ask;
use crate::scan::ScanReport;
use crate::shim::Sandbox;

/// The name of the job file in a build's folder.
pub const JOB_FILE: &str = "job.json";
/// The name of the event spool in a build's folder.
pub const EVENTS_FILE: &str = "events.jsonl";
/// The name of the folder of stage logs in a build's folder.
pub const LOG_FOLDER: &str = "log";
/// The name of the file whose existence cancels a build.
pub const CANCEL_FILE: &str = "cancel";
/// The name of the file with the runner's test cases, JSON: an array of [`crate::build::TestCase`].
pub const TESTS_FILE: &str = "tests.json";
/// The name of the file with what linters found, JSON: an array of a tool's `id`, `name` and `issues`.
pub const ISSUES_FILE: &str = "issues.json";

/// The name of the folder of reports for people in a build's folder.
pub const REPORTS_FOLDER: &str = "reports";
/// The name of the folder of artifacts in a build's folder.
pub const ARTIFACTS_FOLDER: &str = "artifacts";

/// One build, all that a runner needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerJob {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The build.
    pub build: BuildId,
    /// The app.
    pub app: AppName,
    /// The bare mirror to check out from.
    pub repository: PathBuf,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The branch, where known.
    pub branch: Option<String>,
    /// The build's folder: spool, logs, results.
    pub folder: PathBuf,
    /// Where the tree is made; it must not exist or be empty.
    pub tree: PathBuf,
    /// The app's HOME.
    pub home: PathBuf,
    /// The app's build cache.
    pub cache: PathBuf,
    /// The app's persistent files; a build sees a scratch copy, never these.
    pub persist: PathBuf,
    /// A description kept outside the repository (the text of a launchway.toml), which wins over the repository's files.
    pub description: Option<String>,
    /// Variables set with `config set`, for the build's commands. In the file they are missing where `secrets` says so.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the runner's standard input is a [`crate::credential::RunnerSecrets`], which no disk holds.
    #[serde(default)]
    pub secrets: bool,
    /// The remote that it came from, the pull request or tag that it is.
    #[serde(default)]
    pub origin: crate::trigger::Origin,
    /// Who or what asked for the build, as in [`crate::build::BuildRequest`].
    #[serde(default)]
    pub cause: String,
    /// Parameters that were given for this build alone; each wins over a variable of its name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The longest that the whole build may take, in milliseconds.
    pub timeout_ms: u64,
    /// The memory cap of the build's processes together, in bytes, where the host can set one.
    pub memory_bytes: Option<u64>,
    /// How many stages may run side by side.
    pub parallel: u32,
    /// How the build is kept apart from the rest of the machine; not at all without one, as for `pipeline run`. Its
    /// `mount_at` is the path at which the build sees `tree`.
    #[serde(default)]
    pub sandbox: Option<Sandbox>,
    /// As whom the build's commands run, where the runner is root.
    #[serde(default)]
    pub user: Option<BuildUser>,
    /// What scans dependencies for the build's own steps; without it they fail.
    #[serde(default)]
    pub scanner: Option<ScannerJob>,
}

impl RunnerJob {
    /// The path at which the build sees its tree.
    pub fn seen_tree(&self) -> &Path {
        let mounted = self
            .sandbox
            .as_ref()
            .and_then(|sandbox| sandbox.mount_at.as_deref());
        mounted.unwrap_or(&self.tree)
    }
}

/// As whom a build's commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildUser {
    /// The app's own user.
    pub user: u32,
    /// The app's own group.
    pub group: u32,
    /// The group that may write the build's folder: the runner has it, its commands never do, so that no build writes its
    /// own record.
    pub record_group: u32,
}

/// What scans a build's dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannerJob {
    /// The binary with the command `dependency-check`.
    pub binary: PathBuf,
    /// The advisories; where nothing is there, a scan fails rather than call anything clean.
    pub advisories: PathBuf,
}

/// One line of the event spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunnerEvent {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: RunnerEventKind,
}

/// What a runner reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunnerEventKind {
    /// The runner is up.
    Started {
        /// Its process id.
        pid: u32,
        /// [`crate::PROTOCOL`].
        protocol: u32,
    },
    /// The plan is made.
    Planned {
        /// What the release will run.
        spec: Box<AppSpec>,
        /// The plan in words, a line each.
        words: Vec<String>,
        /// All stages, in order.
        stages: Vec<StageInfo>,
        /// What the pipeline says that starts further builds.
        #[serde(default)]
        triggers: Vec<crate::trigger::TriggerSpec>,
    },
    /// A stage started.
    StageStarted {
        /// Which.
        stage: StageId,
    },
    /// A stage ended.
    StageFinished {
        /// Which.
        stage: StageId,
        /// How.
        result: BuildResult,
    },
    /// Test reports were read; the cases are in `tests.json`.
    Tests {
        /// The counts of the whole build so far.
        counts: TestCounts,
    },
    /// A file was archived below `artifacts/` in the build's folder.
    Artifact {
        /// Its path below that folder.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// Its SHA-256 in hex.
        sha256: String,
    },
    /// The build's own steps scanned its dependencies; a later one takes the place of an earlier.
    Scanned {
        /// What was found.
        report: Box<ScanReport>,
    },
    /// The build asks control for something and waits for `answers/NUMBER.json`; see [`crate::request`].
    Asked {
        /// Counts from 0 in a build.
        number: u32,
        /// What is asked.
        ask: Box<Ask>,
    },
    /// The build waits for that answer no more: it took it, or was stopped meanwhile.
    Settled {
        /// Which.
        number: u32,
    },
    /// A folder of files for people was kept below `reports/KEY/` in the build's folder.
    Report(Report),
    /// The build ended; always the last event of a spool.
    Finished {
        /// How.
        result: BuildResult,
        /// Why, unless it succeeded.
        problem: Option<Problem>,
    },
}

/// A report that people look at in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Its folder below `reports/`: letters, digits, `-` and `_`.
    pub key: String,
    /// Its name for people.
    pub title: String,
    /// The file to begin with, below its folder.
    pub index: String,
}

/// One line of a log file: `MILLIS C TEXT` where MILLIS is Unix time, C is one letter for the source, and TEXT is what
/// was written, without its line end and with bytes that are not UTF-8 replaced. Instances' logs have the same form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine<'a> {
    /// Unix time in milliseconds.
    pub millis: i64,
    /// Who wrote it.
    pub source: LogSource,
    /// What was written.
    pub text: std::borrow::Cow<'a, str>,
}

/// Who wrote a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The command's standard output.
    Out,
    /// The command's standard error.
    Err,
    /// Launchway itself: a stage's heading, an exit, a restart.
    Launchway,
}

impl LogSource {
    /// The letter that stands for it in a log file.
    pub fn letter(self) -> char {
        match self {
            Self::Out => 'o',
            Self::Err => 'e',
            Self::Launchway => 'l',
        }
    }
}

impl<'a> LogLine<'a> {
    /// Reads one line (without its line end); a line that is not of the form is taken whole as output at time 0, so
    /// that nothing written is ever hidden.
    pub fn parse(line: &'a str) -> Self {
        let parsed = (|| {
            let (millis, rest) = line.split_once(' ')?;
            let (letter, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let source = match letter {
                "o" => LogSource::Out,
                "e" => LogSource::Err,
                "l" => LogSource::Launchway,
                _ => return None,
            };
            Some(Self {
                millis: millis.parse().ok()?,
                source,
                text: text.into(),
            })
        })();
        parsed.unwrap_or_else(|| Self {
            millis: 0,
            source: LogSource::Out,
            text: line.into(),
        })
    }

    /// The line as it is written to a file, with its line end.
    pub fn to_file_line(&self) -> String {
        format!("{} {} {}\n", self.millis, self.source.letter(), self.text)
    }
}
