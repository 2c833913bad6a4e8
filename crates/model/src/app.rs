//! What an app is made of: the processes to run, their environment, their health check.
//!
//! An [`AppSpec`] comes from a repository's files (launchway.toml, Procfile, app.json, detection) or from a description
//! kept outside it; the crate `pipeline` reads them. It is stored with each release and never changed afterwards.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::ProcessType;
use crate::route::Rules;

mod health;
mod rollout;
mod routing;
mod timed;

use crate::scan::ScanPolicy;
pub use health::{HealthSpec, StatusRange, Statuses};
pub use rollout::{CanarySpec, HeaderMatch, RolloutSpec, Strategy, VerifySpec};
pub use routing::{RouteSpec, RouteTo, Www, references};
pub use timed::{CronSpec, Missed, Overlap, ScaleRule};

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
    /// Which paths and hosts lead where, beside what [`AppSpec::all_routes`] adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteSpec>,
    /// What is asked of the requests of every route that has no rules of its own.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    #[schema(value_type = Object)]
    pub rules: Rules,
    /// Whether each host is also reached with or without `www.`, and which of the two is sent to the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub www: Option<Www>,
    /// The command that runs exactly once in the app's life, before its first release serves: it fills the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<CommandSpec>,
    /// How a release takes the place of the one before, and how it is told whether it does well.
    #[serde(default, skip_serializing_if = "RolloutSpec::is_default")]
    pub rollout: RolloutSpec,
    /// Commands that run by the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<CronSpec>,
    /// Numbers of instances that change by the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaling: Vec<ScaleRule>,
    /// What of its dependencies' known vulnerabilities keeps a build from becoming a release.
    #[serde(default)]
    pub scan: ScanPolicy,
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
    /// Whether its instances take requests though it is not called `web`: they get a port and are probed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http: bool,
    /// How to tell that an instance of it is ready, where that differs from the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSpec>,
    /// Which network its instances are in.
    #[serde(default, skip_serializing_if = "NetworkSpec::is_default")]
    pub network: NetworkSpec,
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
            http: false,
            health: None,
            network: NetworkSpec::default(),
        }
    }
}

/// Which network the instances of a process type are in; by default the host's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NetworkSpec {
    /// Whether each instance has a network of its own, where Launchway is root: it may then listen on any port.
    #[serde(default)]
    pub private: bool,
    /// In a private network: who may reach it, beside the proxy. `web` is a process type of the same app, `APP/PROCESS` one of
    /// another, `APP/*` all of another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// In a private network: whether it may reach what the host itself listens on, such as a database there.
    #[serde(default)]
    pub reaches_host: bool,
    /// In a private network: the port that it listens on, for one that does not read `PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl NetworkSpec {
    /// Whether it is the host's network.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
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

fn one() -> u32 {
    1
}

fn default_grace_ms() -> u64 {
    10_000
}

fn default_command_timeout_ms() -> u64 {
    600_000
}
