//! The state of alerts in a file, so that it survives a restart.

use super::{Alert, AlertState, GroupRun, RuleSpec, RulesError};
use crate::labels::Labels;
use crate::storage::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// State that no loaded rule has taken yet, by [`rule_key`].
#[derive(Default)]
pub(super) struct Restored {
    rules: BTreeMap<String, SavedRule>,
}

impl Restored {
    pub(super) fn take(&mut self, key: &str) -> Option<(BTreeMap<Labels, Alert>, Vec<Labels>)> {
        let saved = self.rules.remove(key)?;
        let alerts = saved.alerts.into_iter().map(|alert| {
            let alert = alert.into_alert();
            (alert.labels.clone(), alert)
        });
        Some((
            alerts.collect(),
            saved.written.iter().map(Labels::from_pairs).collect(),
        ))
    }
}

/// What a rule is recognised by: it may move within its group, but not change its expression or labels.
pub(super) fn rule_key(file: &Path, group: &str, spec: &RuleSpec) -> String {
    let labels: Vec<String> = spec
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();

    [
        &file.to_string_lossy(),
        group,
        spec.name(),
        &spec.expression,
        &labels.join(","),
    ]
    .join("\u{1f}")
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    rules: BTreeMap<String, SavedRule>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedRule {
    alerts: Vec<SavedAlert>,
    #[serde(default)]
    written: Vec<BTreeMap<String, String>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    state: AlertState,
    /// The bits, since JSON has no NaN.
    value: u64,
    active_at: i64,
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
    keep_firing_since: Option<i64>,
    last_sent_at: Option<i64>,
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl SavedAlert {
    fn new(alert: &Alert) -> Self {
        Self {
            labels: pairs(&alert.labels),
            annotations: alert.annotations.clone(),
            state: alert.state,
            value: alert.value.to_bits(),
            active_at: alert.active_at,
            fired_at: alert.fired_at,
            resolved_at: alert.resolved_at,
            keep_firing_since: alert.keep_firing_since,
            last_sent_at: alert.last_sent_at,
        }
    }

    fn into_alert(self) -> Alert {
        Alert {
            labels: Labels::from_pairs(&self.labels),
            annotations: self.annotations,
            state: self.state,
            value: f64::from_bits(self.value),
            active_at: self.active_at,
            fired_at: self.fired_at,
            resolved_at: self.resolved_at,
            keep_firing_since: self.keep_firing_since,
            last_sent_at: self.last_sent_at,
        }
    }
}

/// All state as text; what no rule took is kept, for its file may be away just now.
pub(super) fn to_json(groups: &[GroupRun], restored: &Restored) -> String {
    let mut rules = restored.rules.clone();
    for group in groups {
        for rule in &group.rules {
            if rule.alerts.is_empty() && rule.written.is_empty() {
                continue;
            }
            let saved = SavedRule {
                alerts: rule.alerts.values().map(SavedAlert::new).collect(),
                written: rule.written.iter().map(pairs).collect(),
            };
            rules.insert(rule_key(&group.file, &group.name, &rule.spec), saved);
        }
    }
    serde_json::to_string(&Saved { version: 1, rules }).unwrap_or_default()
}

pub(super) fn read(path: &Path) -> Result<Restored, RulesError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Restored::default());
        }
        Err(source) => {
            return Err(StoreError::Io {
                action: "read the rules' state",
                path: path.to_owned(),
                source,
            }
            .into());
        }
    };
    let fail = |message: String| RulesError::State {
        path: path.to_owned(),
        message,
    };
    let saved: Saved = serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
    if saved.version != 1 {
        return Err(fail(format!(
            "it has version {}, this program reads 1",
            saved.version
        )));
    }
    Ok(Restored { rules: saved.rules })
}
