//! `rules` and `alerts`.

use super::{Api, Data, Failure, Request};
use crate::promql::{format_value, rfc3339};
use crate::rules::{Alert, AlertState, GroupView, RuleKind, RuleView};
use serde_json::{Value as Json, json};

fn alert_json(alert: &Alert) -> Json {
    let mut json = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.state.name(),
        "activeAt": rfc3339(alert.active_at),
        "value": scientific(alert.value),
    });
    if let Some(since) = alert.keep_firing_since {
        json["keepFiringSince"] = rfc3339(since).into();
    }
    json
}

/// Prometheus shows an alert's value with an exponent: `1e+00`.
fn scientific(value: f64) -> String {
    if !value.is_finite() {
        return format_value(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}

fn rule_json(rule: &RuleView, with_alerts: bool) -> Json {
    let labels: serde_json::Map<String, Json> = rule
        .spec
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let mut json = json!({
        "name": rule.spec.name(),
        "query": rule.spec.expression,
        "labels": labels,
        "health": rule.health.name(),
        "evaluationTime": rule.health.took as f64 / 1e6,
        "lastEvaluation": rfc3339(rule.health.evaluated_at.unwrap_or(0)),
    });
    if let Some(error) = &rule.health.error {
        json["lastError"] = error.clone().into();
    }
    match &rule.spec.kind {
        RuleKind::Recording { .. } => json["type"] = "recording".into(),
        RuleKind::Alerting {
            hold,
            keep_firing,
            annotations,
            ..
        } => {
            let annotations: serde_json::Map<String, Json> = annotations
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            let state = rule
                .alerts
                .iter()
                .map(|alert| alert.state)
                .max()
                .unwrap_or(AlertState::Inactive);
            json["type"] = "alerting".into();
            json["state"] = state.name().into();
            json["duration"] = seconds(*hold).into();
            json["keepFiringFor"] = seconds(*keep_firing).into();
            json["annotations"] = annotations.into();
            json["alerts"] = if with_alerts {
                rule.alerts.iter().map(alert_json).collect()
            } else {
                Json::Array(Vec::new())
            };
        }
    }
    json
}

impl Api {
    pub(super) fn alerts(&self) -> Result<Data, Failure> {
        let alerts = self
            .rules
            .as_ref()
            .map(|rules| rules.alerts())
            .unwrap_or_default();
        Ok(Data::from(
            json!({"alerts": alerts.iter().map(alert_json).collect::<Vec<_>>()}),
        ))
    }

    pub(super) fn rules(&self, request: &Request<'_>) -> Result<Data, Failure> {
        let parameters = &request.parameters;
        let kind = parameters.get("type").unwrap_or("");
        if !matches!(kind, "" | "alert" | "record") {
            return Err(Failure::bad_parameter(
                "type",
                format!("not supported value \"{kind}\""),
            ));
        }
        let with_alerts = !matches!(parameters.get("exclude_alerts"), Some("true" | "1"));
        let chosen = |name: &str, value: &str| {
            let mut wanted = parameters.all(name).peekable();
            wanted.peek().is_none() || wanted.any(|wanted| wanted == value)
        };
        let limit = parameters
            .get("group_limit")
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(usize::MAX);
        let group_json = |group: &GroupView| -> Option<Json> {
            let rules: Vec<Json> = group
                .rules
                .iter()
                .filter(|rule| {
                    let alerting = matches!(rule.spec.kind, RuleKind::Alerting { .. });
                    (kind.is_empty() || (kind == "alert") == alerting)
                        && chosen("rule_name[]", rule.spec.name())
                })
                .map(|rule| rule_json(rule, with_alerts))
                .collect();
            let filtered = !kind.is_empty() || parameters.get("rule_name[]").is_some();
            if rules.is_empty() && filtered {
                return None;
            }
            Some(json!({
                "name": group.name,
                "file": group.file.to_string_lossy(),
                "rules": rules,
                "interval": seconds(group.interval),
                "limit": group.limit,
                "evaluationTime": group.health.took as f64 / 1e6,
                "lastEvaluation": rfc3339(group.health.evaluated_at.unwrap_or(0)),
            }))
        };
        let groups = self
            .rules
            .as_ref()
            .map(|rules| rules.groups())
            .unwrap_or_default();
        let groups = groups.iter().filter(|group| {
            chosen("rule_group[]", &group.name) && chosen("file[]", &group.file.to_string_lossy())
        });
        Ok(Data::from(
            json!({"groups": groups.filter_map(group_json).take(limit).collect::<Vec<_>>()}),
        ))
    }
}
