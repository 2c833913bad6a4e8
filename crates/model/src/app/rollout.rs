//! How a release takes the place of the one before, and how it is told whether it does well.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CommandSpec;

/// How a release takes the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RolloutSpec {
    /// In which order instances are replaced.
    pub strategy: Strategy,
    /// When the release counts as bad after its switch.
    pub verify: VerifySpec,
}

impl RolloutSpec {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// In which order instances are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum Strategy {
    /// All new instances are started beside the old ones; one switch; then the old ones end.
    #[default]
    BlueGreen,
    /// A few at a time.
    Rolling {
        /// How many instances of a process type may run beyond the wanted number.
        max_extra: u32,
        /// How many may be missing. Not 0 where `max_extra` is.
        max_missing: u32,
    },
    /// A part of the requests first.
    Canary(CanarySpec),
}

/// A part of the requests first, more step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CanarySpec {
    /// The share of each step in percent, growing; empty for a canary by header alone.
    pub steps: Vec<u8>,
    /// How long each step lasts, in milliseconds.
    pub interval_ms: u64,
    /// Requests with this header field go to the canary, whatever the share.
    pub header: Option<HeaderMatch>,
    /// Whether the release is promoted after the last step by itself; otherwise a person says so.
    pub promote: bool,
}

/// A header field that a request must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeaderMatch {
    /// Its name, in any case.
    pub name: String,
    /// Its whole value; any where absent.
    #[serde(default)]
    pub value: Option<String>,
}

/// When a release counts as bad after its switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct VerifySpec {
    /// A command that must exit with 0 after the switch, while the release before still runs.
    pub command: Option<CommandSpec>,
    /// For how long the release before is kept running after the switch, watching the new one, in milliseconds.
    pub hold_ms: u64,
    /// For how long the proxy's counters are watched after the switch, in milliseconds; Launchway's own setting where
    /// absent.
    pub watch_ms: Option<u64>,
    /// By how many percentage points more of the new release's requests may fail than of the old one's.
    pub max_errors: u32,
    /// How many times slower the new release's answers may be, in thousandths: 3000 is three times. The slowest
    /// twentieth of the requests counts (p95).
    pub max_slower: u32,
    /// The least number of requests that say anything.
    pub min_requests: u32,
}

impl Default for VerifySpec {
    fn default() -> Self {
        Self {
            command: None,
            hold_ms: 0,
            watch_ms: None,
            max_errors: 30,
            max_slower: 10_000,
            min_requests: 20,
        }
    }
}
