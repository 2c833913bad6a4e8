//! Alerts: what a person should look at, from the moment when it began until it was over.
//!
//! An alert is raised by the part that sees the trouble and ended by the same part; a reader acknowledges nothing. Two
//! alerts of the same kind and key are the same trouble: while one is open, it is changed rather than raised again.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppName;

/// How soon somebody should look. The order is that of weight.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// It can wait for the morning.
    Warning,
    /// Visitors suffer or data is in danger.
    Critical,
}

impl AlertSeverity {
    /// The word that stands for it in JSON, labels and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for AlertSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a part of Launchway raises.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    /// The app that it is about; none where it is about the machine or Launchway itself.
    pub app: Option<AppName>,
    /// What sort of trouble: `vulnerability`, `disk`, `backup`, `monitor`.
    pub kind: String,
    /// Which trouble of that sort, the same each time that it is seen: `shop/requests/GHSA-9wx4-h78v-vm56`. An alert of
    /// an app has the app's name in it.
    pub key: String,
    /// How soon somebody should look.
    pub severity: AlertSeverity,
    /// One line in lower case without a full stop, with what is needed to know whether to get up.
    pub summary: String,
    /// More, by name: values are shown as they are, `hint` as a sentence below the summary, `link` as a link to a page.
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl NewAlert {
    /// An alert about the installation, without details.
    pub fn new(
        kind: impl Into<String>,
        key: impl Into<String>,
        severity: AlertSeverity,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            app: None,
            kind: kind.into(),
            key: key.into(),
            severity,
            summary: summary.into(),
            details: serde_json::Map::new(),
        }
    }

    /// It is about an app.
    #[must_use]
    pub fn of(mut self, app: AppName) -> Self {
        self.app = Some(app);
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// Adds how to mend it, as a sentence.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.detail("hint", hint.into())
    }
}

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its number.
    pub id: u64,
    /// The app that it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What sort of trouble.
    pub kind: String,
    /// Which trouble of that sort.
    pub key: String,
    /// How soon somebody should look.
    pub severity: AlertSeverity,
    /// What is wrong, in one line.
    pub summary: String,
    /// More, by name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub details: serde_json::Map<String, serde_json::Value>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub raised_at: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Counts the changes of all alerts: each raise, change and end takes the next number, so that a reader that keeps
    /// the highest number it has seen misses none.
    pub revision: u64,
}

impl Alert {
    /// Whether the trouble lasts.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// How to mend it, where whoever raised it said so.
    pub fn hint(&self) -> Option<&str> {
        self.details.get("hint")?.as_str()
    }

    /// A page with more, as a path.
    pub fn link(&self) -> Option<&str> {
        self.details
            .get("link")?
            .as_str()
            .filter(|link| link.starts_with('/') && !link.starts_with("//"))
    }
}
