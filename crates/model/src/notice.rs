//! Monitors in a few words, and who is told of alerts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AppName;
use crate::alert::AlertSeverity;

/// A monitor in a few words, such as `p95 latency > 500ms for 5m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Monitor {
    /// Its name, which is the name of its alerts.
    pub name: String,
    /// The app that it watches; the host or all apps where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The words.
    pub words: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// What makes a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewMonitor {
    /// Its name; made of the app and the words where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The app that it watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The words.
    pub words: String,
}

/// Who is told of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// How it is told: `webhook`, `slack`, `email`, `pagerduty`, `ntfy`, `command`.
    pub kind: String,
    /// The least severity that it is told of.
    pub least: AlertSeverity,
    /// The only app that it is told of; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// What makes a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewReceiver {
    /// Its name.
    pub name: String,
    /// How it is told.
    pub address: Address,
    /// The least severity that it is told of; warnings where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<AlertSeverity>,
    /// The only app that it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
}

/// Where notices go. All of it is kept encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Address {
    /// Alertmanager's webhook payload, as JSON.
    Webhook {
        /// Where it is posted.
        url: String,
    },
    /// Slack's incoming webhooks, and what speaks like them (Mattermost, Rocket.Chat, Discord's `/slack`).
    Slack {
        /// Where it is posted.
        url: String,
    },
    /// PagerDuty's events, version 2.
    Pagerduty {
        /// The integration's key.
        key: String,
        /// Where events are posted, where it is not PagerDuty's own address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// A topic of ntfy.
    Ntfy {
        /// The topic's address, such as `https://ntfy.sh/mytopic`.
        url: String,
        /// A token, where the topic needs one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// E-mail.
    Email {
        /// To whom.
        to: String,
        /// From whom.
        from: String,
        /// The server: `smtps://user:password@host`, `smtp://host:25`, `smtp://user:password@host:587?tls=required`.
        server: String,
    },
    /// A command, run by `sh -c`, with the webhook's payload as its input.
    Command {
        /// The command.
        command: String,
    },
}

impl Address {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Ntfy { .. } => "ntfy",
            Self::Email { .. } => "email",
            Self::Command { .. } => "command",
        }
    }
}

/// Alerts that nobody is told of for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Silence {
    /// Its number.
    #[serde(default)]
    pub id: u64,
    /// Labels that an alert must have to be silenced: `alertname`, `app`, `severity` and those of its series.
    pub matchers: BTreeMap<String, String>,
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    pub starts: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub ends: Timestamp,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// What makes a silence, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewSilence {
    /// Labels that an alert must have.
    pub matchers: BTreeMap<String, String>,
    /// For how many seconds.
    pub seconds: u64,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// A change of monitors, receivers or silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// Something that graphs are marked with: a deploy, or an alert while it lasted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// `deploy`, or an alert's severity.
    pub kind: String,
    /// The app, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What happened.
    pub text: String,
    /// A page with more, as a path.
    pub link: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}
