//! What an app does by the clock: commands, and numbers of instances.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::ProcessType;

/// A command that runs by the clock, in the serving release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CronSpec {
    /// Its name, which is the process type of its runs.
    pub name: ProcessType,
    /// When: five fields as cron has them, or `@daily` and the like.
    pub schedule: String,
    /// The time zone of the schedule, an IANA name; the machine's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The command line.
    pub command: String,
    /// The folder below the tree's root where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The longest that a run may take, in milliseconds.
    pub timeout_ms: u64,
    /// What happens when the one before still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens with runs for which nobody was there.
    #[serde(default)]
    pub missed: Missed,
}

/// What happens when a run is due while the one before still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both run.
    Allow,
    /// The new one is left out.
    #[default]
    Forbid,
    /// The old one is ended.
    Replace,
}

/// What happens with runs that were due while Launchway or the machine was off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out, and the history says so.
    #[default]
    Skip,
    /// One run makes up for all of them.
    RunOnce,
}

/// A number of instances from a moment on, by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaleRule {
    /// Of which process type.
    pub process: ProcessType,
    /// When: five fields as cron has them, or `@daily` and the like.
    pub schedule: String,
    /// The time zone of the schedule, an IANA name; the machine's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How many.
    pub instances: u32,
}
