//! What an app is made of: the processes to run, their environment, their health check.
//!
//! An [`AppSpec`] comes from a repository's files (launchway.toml, Procfile, app.json, detection) or from a description
//! kept outside it; the crate `pipeline` reads them. It is stored with each release and never changed afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::ProcessType;

/// What to run, complete: defaults are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct AppSpec {
    /// The process types by name. May be empty only for a static site.
    pub processes: BTreeMap<ProcessType, ProcessSpec>,
    /// Files that the proxy serves by itself, without an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesSpec>,
    /// The command that runs once before the new instances start, such as a database migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<CommandSpec>,
    /// Variables that the repository itself sets; what `config set` stores wins over them.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables without which the app cannot start, each with its description, where one was given.
    #[serde(default)]
    pub required_env: BTreeMap<String, String>,
    /// How to tell that a web instance is ready.
    #[serde(default)]
    pub health: HealthSpec,
    /// Files and folders below the tree that outlive releases.
    #[serde(default)]
    pub persist: Vec<String>,
    /// Host names beside `APP.localhost` and those added with `domains add`.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Where the description came from, in words: "Procfile", "detected Flask in requirements.txt".
    #[serde(default)]
    pub sources: Vec<String>,
}

/// One process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessSpec {
    /// The command line, run by `sh -c` in the tree's root (or `folder`).
    pub command: String,
    /// How many instances a new app starts with; `scale` wins over it.
    #[serde(default = "one")]
    pub instances: u32,
    /// The folder below the tree's root where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The time between TERM and KILL, in milliseconds.
    #[serde(default = "default_grace_ms")]
    pub grace_ms: u64,
    /// Limits; what is absent is unlimited.
    #[serde(default)]
    pub limits: Limits,
}

impl ProcessSpec {
    /// A process type of one instance with the default limits.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            instances: 1,
            folder: None,
            grace_ms: default_grace_ms(),
            limits: Limits::default(),
        }
    }
}

/// A command with its time limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandSpec {
    /// The command line, run by `sh -c` in the tree's root.
    pub command: String,
    /// The longest that it may take, in milliseconds.
    #[serde(default = "default_command_timeout_ms")]
    pub timeout_ms: u64,
}

/// A folder of the tree that the proxy serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilesSpec {
    /// The folder below the tree's root; `.` is the root itself.
    pub folder: String,
    /// The file to answer with where no file matches, for single-page applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// Resource limits of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// CPU in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

/// How to tell that a web instance is ready to take requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthSpec {
    /// The path to GET; without one, a TCP connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The statuses that count as healthy.
    #[serde(default = "default_statuses")]
    pub statuses: StatusRange,
    /// A text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The time between probes once the instance serves, in milliseconds. (Until it is ready, probes come faster.)
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// The longest that one probe may take, in milliseconds.
    #[serde(default = "default_probe_timeout_ms")]
    pub timeout_ms: u64,
    /// The longest from start to the first healthy answer, in milliseconds.
    #[serde(default = "default_start_ms")]
    pub start_ms: u64,
    /// How many healthy answers in a row make an instance ready.
    #[serde(default = "one")]
    pub rise: u32,
    /// How many failed probes in a row make a ready instance unhealthy.
    #[serde(default = "three")]
    pub fall: u32,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            path: None,
            statuses: default_statuses(),
            body: None,
            interval_ms: default_interval_ms(),
            timeout_ms: default_probe_timeout_ms(),
            start_ms: default_start_ms(),
            rise: 1,
            fall: 3,
        }
    }
}

/// A closed range of HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusRange {
    /// The lowest status that counts.
    pub from: u16,
    /// The highest status that counts.
    pub to: u16,
}

impl StatusRange {
    /// Whether a status lies in the range.
    pub fn contains(self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn default_grace_ms() -> u64 {
    10_000
}

fn default_command_timeout_ms() -> u64 {
    600_000
}

fn default_statuses() -> StatusRange {
    StatusRange { from: 200, to: 399 }
}

fn default_interval_ms() -> u64 {
    5_000
}

fn default_probe_timeout_ms() -> u64 {
    2_000
}

fn default_start_ms() -> u64 {
    60_000
}
