//! How to tell that an instance does its work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How to tell that an instance is ready to take requests, and that it still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthSpec {
    /// The path to ask; without one (and without a command), a TCP connection is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The method to ask with.
    #[serde(default = "default_method", skip_serializing_if = "is_get")]
    pub method: String,
    /// The statuses that count as healthy.
    #[serde(default)]
    pub statuses: Statuses,
    /// A text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A regular expression that must match somewhere in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_matches: Option<String>,
    /// Header fields of the probe.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub headers: BTreeMap<String, String>,
    /// The probe's Host; the app's own address where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A command in place of a request: healthy when it exits with 0. It runs in the tree with the instance's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
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
            method: default_method(),
            statuses: Statuses::default(),
            body: None,
            body_matches: None,
            headers: BTreeMap::new(),
            host: None,
            command: None,
            interval_ms: default_interval_ms(),
            timeout_ms: default_probe_timeout_ms(),
            start_ms: default_start_ms(),
            rise: 1,
            fall: 3,
        }
    }
}

impl HealthSpec {
    /// What is asked, in words: "GET /healthz", "the command ./check", "a connection to its port".
    pub fn in_words(&self) -> String {
        match (&self.command, &self.path) {
            (Some(command), _) => format!("the command {command}"),
            (None, Some(path)) => format!("{} {path}", self.method),
            (None, None) => "a connection to its port".to_owned(),
        }
    }
}

/// The HTTP statuses that count: one or more ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "StatusForm", into = "StatusForm")]
pub struct Statuses(pub Vec<StatusRange>);

impl Statuses {
    /// Whether a status counts.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(status))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![StatusRange { from: 200, to: 399 }])
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

/// A single range was stored as one before there could be several.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StatusForm {
    One(StatusRange),
    Many(Vec<StatusRange>),
}

impl From<StatusForm> for Statuses {
    fn from(form: StatusForm) -> Self {
        match form {
            StatusForm::One(range) => Self(vec![range]),
            StatusForm::Many(ranges) => Self(ranges),
        }
    }
}

impl From<Statuses> for StatusForm {
    fn from(statuses: Statuses) -> Self {
        match statuses.0.as_slice() {
            [only] => Self::One(*only),
            _ => Self::Many(statuses.0),
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

impl std::fmt::Display for StatusRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}-{}", self.from, self.to)
        }
    }
}

fn default_method() -> String {
    "GET".to_owned()
}

fn is_get(method: &str) -> bool {
    method == "GET"
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
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
