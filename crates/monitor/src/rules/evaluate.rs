//! One evaluation of a group: query, state changes, series, notices.

use super::template::{Environment, Sample, Template};
use super::{
    ALERT_NAME, ALERTS, ALERTS_FOR_STATE, Alert, AlertState, Evaluation, GroupRun, Notice,
    RuleKind, RuleRun, Rules, lock, named, query_message,
};
use crate::labels::{Labels, LabelsBuilder, METRIC_NAME, stale_nan};
use crate::promql::Value;
use crate::storage::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A resolved alert is told of for this long, ms.
const RESOLVED_RETENTION: i64 = 15 * 60_000;

impl Rules {
    pub(super) fn evaluate_group(&self, group: &mut GroupRun, now: i64, result: &mut Evaluation) {
        let started = Instant::now();
        let at = now - group.query_offset;
        let mut error = None;
        for rule in &mut group.rules {
            let rule_started = Instant::now();
            let before: Vec<_> = rule
                .alerts
                .iter()
                .map(|(labels, alert)| (labels.clone(), alert.state))
                .collect();
            let outcome = self.evaluate_rule(rule, at, group.limit);
            rule.health.evaluated_at = Some(now);
            rule.health.took = rule_started.elapsed().as_micros() as u64;
            rule.health.error = outcome.err();
            if let Some(message) = &rule.health.error {
                result.failed += 1;
                error = Some(format!("{}: {message}", rule.spec.name()));
            }
            result.changed |= !before
                .iter()
                .map(|(l, s)| (l, *s))
                .eq(rule.alerts.iter().map(|(l, a)| (l, a.state)));
            let valid_for = 4 * group.interval.max(self.options.resend_delay);
            result.notices.extend(self.notices(rule, at, valid_for));
        }
        group.health.evaluated_at = Some(now);
        group.health.took = started.elapsed().as_micros() as u64;
        group.health.error = error;
    }

    fn query(&self, expression: &str, at: i64) -> Result<Vec<Sample>, String> {
        let answer = self
            .engine
            .instant(&self.store, expression, at)
            .map_err(|error| query_message(&error))?;
        match answer.value {
            Value::Vector(series) => Ok(series
                .into_iter()
                .filter_map(|s| Some((s.labels, s.points.first()?.1)))
                .collect()),
            Value::Scalar(_, value) => Ok(vec![(Labels::empty(), value)]),
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    fn evaluate_rule(&self, rule: &mut RuleRun, at: i64, limit: usize) -> Result<(), String> {
        let samples = self.query(&rule.spec.expression, at)?;
        let series = match &rule.spec.kind {
            RuleKind::Recording { name } => record(name, &rule.spec.labels, samples, limit)?,
            RuleKind::Alerting {
                name,
                hold,
                keep_firing,
                ..
            } => {
                let (name, hold, keep_firing) = (name.clone(), *hold, *keep_firing);
                let current = self.current_alerts(rule, &name, &samples, at)?;
                advance(rule, current, at, hold, keep_firing);
                let active = rule
                    .alerts
                    .values()
                    .filter(|alert| alert.state != AlertState::Inactive)
                    .count();
                if limit > 0 && active > limit {
                    rule.alerts.clear();
                    return Err(format!("exceeded limit of {limit} with {active} alerts"));
                }
                alert_series(&name, &rule.alerts)
            }
        };
        let written = write(&self.store, &series, &rule.written, at);
        rule.written = series.into_iter().map(|(labels, _)| labels).collect();
        written
    }

    /// The alerts for which the expression holds now, with their labels and texts expanded.
    fn current_alerts(
        &self,
        rule: &RuleRun,
        name: &str,
        samples: &[Sample],
        at: i64,
    ) -> Result<BTreeMap<Labels, Alert>, String> {
        let query = |text: &str| self.query(text, at);
        let environment = Environment {
            query: &query,
            external_url: &self.options.external_url,
        };
        let mut current = BTreeMap::new();
        for (sample_labels, value) in samples {
            let expand = |template: &Template| {
                template
                    .expand(sample_labels, *value, &environment)
                    .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
            };
            let mut builder = LabelsBuilder::from_labels(&sample_labels.without_name());
            for (label, template) in &rule.labels {
                builder.set(label, &expand(template));
            }
            builder.set(ALERT_NAME, name);
            let annotations = rule
                .annotations
                .iter()
                .map(|(name, template)| (name.clone(), expand(template)))
                .collect();
            let labels = builder.build();
            let alert = Alert {
                labels: labels.clone(),
                annotations,
                state: AlertState::Pending,
                value: *value,
                active_at: at,
                fired_at: None,
                resolved_at: None,
                keep_firing_since: None,
                last_sent_at: None,
            };
            if current.insert(labels, alert).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .to_owned(),
                );
            }
        }
        Ok(current)
    }

    fn notices(&self, rule: &mut RuleRun, at: i64, valid_for: i64) -> Vec<Notice> {
        let mut notices = Vec::new();
        let generator_url = format!(
            "{}/graph?g0.expr={}&g0.tab=1",
            self.options.external_url.trim_end_matches('/'),
            percent_encode(&rule.spec.expression)
        );
        for alert in rule.alerts.values_mut() {
            let Some(starts_at) = alert
                .fired_at
                .filter(|_| alert.state != AlertState::Pending)
            else {
                continue;
            };
            let just_resolved = alert
                .resolved_at
                .is_some_and(|end| alert.last_sent_at.is_none_or(|sent| sent < end));
            let due = alert
                .last_sent_at
                .is_none_or(|sent| sent + self.options.resend_delay <= at);
            if !just_resolved && !due {
                continue;
            }
            alert.last_sent_at = Some(at);
            notices.push(Notice {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at,
                ends_at: alert.resolved_at.unwrap_or(at + valid_for),
                resolved: alert.resolved_at.is_some(),
                generator_url: generator_url.clone(),
            });
        }
        notices
    }

    /// Marks the series of rules that are gone as stale.
    pub(super) fn mark_abandoned(&self, now: i64) {
        let abandoned = std::mem::take(&mut *lock(&self.abandoned));
        if !abandoned.is_empty() {
            // Nobody is left to tell of a failure; the series end by themselves after the look-back.
            let _ = write(&self.store, &[], &abandoned, now);
        }
    }
}

fn record(
    name: &str,
    rule_labels: &[(String, String)],
    samples: Vec<Sample>,
    limit: usize,
) -> Result<Vec<Sample>, String> {
    let mut known = BTreeSet::new();
    let mut series = Vec::with_capacity(samples.len());
    for (labels, value) in samples {
        let mut builder = LabelsBuilder::from_labels(&labels);
        builder.set(METRIC_NAME, name);
        for (label, value) in rule_labels {
            builder.set(label, value);
        }
        let labels = builder.build();
        if !known.insert(labels.clone()) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels"
                    .to_owned(),
            );
        }
        series.push((labels, value));
    }
    if limit > 0 && series.len() > limit {
        return Err(format!(
            "exceeded limit of {limit} with {} series",
            series.len()
        ));
    }
    Ok(series)
}

/// The state machine of Prometheus' alerting rules.
fn advance(
    rule: &mut RuleRun,
    current: BTreeMap<Labels, Alert>,
    at: i64,
    hold: i64,
    keep_firing: i64,
) {
    let holding: BTreeSet<Labels> = current.keys().cloned().collect();
    for (labels, new) in current {
        match rule.alerts.get_mut(&labels) {
            Some(alert) if alert.state != AlertState::Inactive => {
                alert.value = new.value;
                alert.annotations = new.annotations;
            }
            _ => {
                rule.alerts.insert(labels, new);
            }
        }
    }
    rule.alerts.retain(|labels, alert| {
        if holding.contains(labels) {
            alert.keep_firing_since = None;
        } else {
            let mut kept = false;
            if alert.state == AlertState::Firing && keep_firing > 0 {
                let since = *alert.keep_firing_since.get_or_insert(at);
                kept = at - since < keep_firing;
            }
            let forgotten = alert
                .resolved_at
                .is_some_and(|end| at - end > RESOLVED_RETENTION);
            if alert.state == AlertState::Pending || forgotten {
                return false;
            }
            if !kept {
                if alert.state != AlertState::Inactive {
                    alert.state = AlertState::Inactive;
                    alert.resolved_at = Some(at);
                }
                return true;
            }
        }
        if alert.state == AlertState::Pending && at - alert.active_at >= hold {
            alert.state = AlertState::Firing;
            alert.fired_at = Some(at);
        }
        true
    });
}

fn alert_series(name: &str, alerts: &BTreeMap<Labels, Alert>) -> Vec<Sample> {
    let mut series = Vec::new();
    for alert in alerts
        .values()
        .filter(|alert| alert.state != AlertState::Inactive)
    {
        let labels = named(&alert.labels, ALERTS)
            .with(ALERT_NAME, name)
            .with("alertstate", alert.state.name());
        series.push((labels, 1.0));
        series.push((
            named(&alert.labels, ALERTS_FOR_STATE).with(ALERT_NAME, name),
            (alert.active_at / 1000) as f64,
        ));
    }
    series
}

/// Writes the samples, and staleness markers for the series that were there before and are no more.
fn write(store: &Store, series: &[Sample], before: &[Labels], at: i64) -> Result<(), String> {
    let mut appender = store.appender();
    let mut refused = None;
    for (labels, value) in series {
        if let Err(error) = appender.append(labels, at, *value) {
            refused = Some(error);
        }
    }
    let now: BTreeSet<&Labels> = series.iter().map(|(labels, _)| labels).collect();
    for labels in before.iter().filter(|labels| !now.contains(labels)) {
        // A marker that is refused comes too late to matter.
        let _ = appender.append(labels, at, stale_nan());
    }
    appender.commit().map_err(|error| error.to_string())?;
    refused.map_or(Ok(()), |error| {
        Err(format!("a sample was refused: {error}"))
    })
}

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char)
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
