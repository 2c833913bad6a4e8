//! The HTTP API's bodies, shared by the server (crate `web`), the command line and tests.
//!
//! Paths are below `/api/v1`. The OpenAPI document is made from these types and the routes, and a test compares both.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::build::{BuildResult, StageId, StageInfo, TestCounts};
use crate::deploy::{DeployPhase, PhaseLine, Release};
use crate::instance::Instance;
use crate::names::{AppName, BuildId, DeployId, InstanceId, ProcessType, ReleaseNumber};
use crate::problem::Problem;
use crate::route::Maintenance;
use crate::runner::LogSource;

/// `client.json`: how a command on the same machine reaches control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFile {
    /// The API's base address, `http://127.0.0.1:PORT`.
    pub url: String,
    /// A token with all rights.
    pub token: String,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// When it was made.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// The branch whose green builds are deployed.
    pub branch: String,
    /// Whether a person stopped it.
    pub stopped: bool,
    /// The release that serves.
    pub release: Option<Release>,
    /// How many instances of each process type are wanted.
    pub formation: BTreeMap<ProcessType, u32>,
    /// Where it is reached, best first: `http://shop.localhost:8080/`.
    pub urls: Vec<String>,
    /// Its host names, as `domains` lists them.
    pub domains: Vec<String>,
    /// Its instances.
    pub instances: Vec<Instance>,
    /// Rates of the whole app over the last sampling interval; absent before the first request after a start.
    pub traffic: Option<Traffic>,
}

/// What passes through an app's routes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// Requests per second.
    pub requests_per_second: f64,
    /// Share of answers of status 5xx, from 0 to 1.
    pub error_ratio: f64,
    /// Mean duration in milliseconds.
    pub mean_ms: f64,
    /// Requests in flight.
    pub in_flight: u64,
}

/// `POST /apps`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateApp {
    /// Its name.
    pub name: AppName,
}

/// `POST /apps/{app}/deploys`: deploy a commit. The app is made where it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployRequest {
    /// Where the commit is: a path on control's machine, a URL for git, or absent for what was pushed already.
    pub source: Option<String>,
    /// The branch; the source's HEAD where absent.
    pub branch: Option<String>,
    /// The commit or any revision that git resolves; the branch's tip where absent.
    pub commit: Option<String>,
}

/// A build was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployAccepted {
    /// The app.
    pub app: AppName,
    /// The build whose progress tells the rest.
    pub build: BuildId,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The commit's first line.
    pub subject: String,
}

/// One event of `GET /builds/{build}/progress` or `GET /deploys/{deploy}/progress`, as server-sent events: from the
/// commit to the served release. The last one is always [`Progress::Finished`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// The build waits.
    Queued {
        /// Why.
        reason: String,
    },
    /// The plan is made.
    Planned {
        /// In words, a line each.
        words: Vec<String>,
        /// All stages.
        stages: Vec<StageInfo>,
    },
    /// A stage started.
    StageStarted {
        /// Which.
        stage: StageId,
        /// Its name.
        name: String,
    },
    /// A line of a stage's log.
    Log {
        /// The stage.
        stage: StageId,
        /// Unix time in milliseconds.
        millis: i64,
        /// Who wrote it.
        source: LogSource,
        /// The line.
        text: String,
    },
    /// A stage ended.
    StageFinished {
        /// Which.
        stage: StageId,
        /// Its name.
        name: String,
        /// How.
        result: BuildResult,
        /// How long it took.
        millis: u64,
    },
    /// Tests were counted.
    Tests {
        /// The counts.
        counts: TestCounts,
    },
    /// The build waits for a person's word.
    Input {
        /// The request's number in the build.
        number: u32,
        /// What is asked.
        question: crate::request::InputQuestion,
    },
    /// The build ended.
    Built {
        /// How.
        result: BuildResult,
        /// How long it took.
        millis: u64,
    },
    /// A release was made and its deploy began.
    Released {
        /// The release.
        release: ReleaseNumber,
        /// The deploy.
        deploy: DeployId,
    },
    /// A phase of the deploy began.
    Phase {
        /// Which.
        phase: DeployPhase,
        /// A word on it: "2 instances of web".
        detail: String,
    },
    /// A line of the release command's output.
    ReleaseLog {
        /// The line.
        text: String,
    },
    /// A line of a phase's log: what Launchway did, or what a command of the phase said.
    PhaseLog {
        /// The line.
        line: PhaseLine,
    },
    /// The end.
    Finished {
        /// Where the app is reached now, if it serves.
        urls: Vec<String>,
        /// The release that serves now.
        serving: Option<ReleaseNumber>,
        /// Why it failed, if it did.
        problem: Option<Problem>,
        /// How long all took, from the request on.
        millis: u64,
    },
}

/// `PUT /apps/{app}/once`: what a person says of the command that runs once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettleOnce {
    /// Its work is done: it is never run again. Otherwise the next deploy runs it.
    pub done: bool,
}

/// `PUT /apps/{app}/maintenance`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceState {
    /// The page in place of the app; absent, the app answers.
    pub maintenance: Option<Maintenance>,
}

/// `POST /apps/{app}/rollback`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollbackRequest {
    /// The release to go back to; the one that served before where absent.
    pub release: Option<ReleaseNumber>,
}

/// A deploy was queued: a rollback, a scale, a restart, a changed configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeAccepted {
    /// The deploy whose progress tells the rest; absent where nothing has to change in what runs.
    pub deploy: Option<DeployId>,
    /// The release that is (or will be) in service.
    pub release: Option<ReleaseNumber>,
}

/// `PUT /apps/{app}/formation`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaleRequest {
    /// Wanted instances by process type; types that are not named keep theirs.
    #[schema(value_type = std::collections::HashMap<String, u32>)]
    pub formation: BTreeMap<ProcessType, u32>,
}

/// `PATCH /apps/{app}/config`: sets and unsets variables; the answer is the whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// Variables to set.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub set: BTreeMap<String, String>,
    /// Variables to remove.
    #[serde(default)]
    pub unset: Vec<String>,
}

/// `GET /apps/{app}/config`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Grows with each change.
    pub version: u64,
    /// The variables with their values.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub vars: BTreeMap<String, String>,
}

/// `POST /apps/{app}/domains`, `DELETE /apps/{app}/domains/{domain}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Domain {
    /// A host name, or `*.` and a host name.
    pub domain: String,
}

/// `PUT /apps/{app}/description`: describes an app outside its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Description {
    /// The text of a launchway.toml; empty removes the description.
    pub toml: String,
}

/// One line of `GET /apps/{app}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppLogLine {
    /// The instance that wrote it.
    pub instance: InstanceId,
    /// Unix time in milliseconds.
    pub millis: i64,
    /// Who wrote it.
    pub source: LogSource,
    /// The line.
    pub text: String,
}

/// `POST /apps/{app}/run`: a one-off command in the serving release; answered with a stream of [`RunOutput`], one JSON
/// a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunRequest {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Whether it goes on by itself: the answer names its instance and ends at once.
    #[serde(default)]
    pub detach: bool,
    /// The terminal that the command gets; only `GET /apps/{app}/terminal` heeds it.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
}

/// The size of a terminal, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// The value of TERM.
    pub term: String,
}

/// One line of a one-off command's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "run", rename_all = "snake_case")]
pub enum RunOutput {
    /// It wrote a line.
    Line {
        /// Where.
        source: LogSource,
        /// The line.
        text: String,
    },
    /// It goes on by itself; always the last.
    Detached {
        /// Its instance, whose log has its output.
        instance: InstanceId,
    },
    /// It ended; always the last.
    Exited {
        /// The exit code, or 128 and the signal's number.
        code: i32,
    },
}

/// `GET /status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Launchway's version.
    pub version: String,
    /// Control's process id.
    pub pid: u32,
    /// Where the proxy takes requests; empty while it cannot be reached.
    pub proxy: Vec<String>,
    /// The base address of the API and the pages.
    pub url: String,
    /// How many apps there are.
    pub apps: u64,
    /// Builds that run or wait.
    pub active_builds: u64,
}

/// `POST /login-links`: a link that logs a browser in, once, within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoginLink {
    /// The link.
    pub url: String,
}

/// `POST /tokens`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateToken {
    /// What it is for: "ci", "laptop".
    pub name: String,
}

/// The answer to `POST /tokens`; the only time that the token is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// Its id, for revoking it.
    pub id: u64,
    /// The token.
    pub token: String,
}

/// One of `GET /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: u64,
    /// What it is for.
    pub name: String,
    /// When it was made.
    #[schema(value_type = String)]
    pub created: Timestamp,
}
