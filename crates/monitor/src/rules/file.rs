//! Rule files: Prometheus' own form, read strictly.

use super::template::Template;
use crate::labels::{METRIC_NAME, quoted};
use crate::promql;
use crate::yaml::{self, Node, Place, YamlError, noted, text_pairs, unknown};
use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// A group of rules, evaluated together and in order.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSpec {
    /// The group's name, unique in its file.
    pub name: String,
    /// How often it is evaluated, ms; `None` takes the default.
    pub interval: Option<i64>,
    /// How far in the past it is evaluated, ms; `None` takes the default.
    pub query_offset: Option<i64>,
    /// Most series or alerts that one rule may make; 0 is no limit.
    pub limit: usize,
    /// Labels added to every rule that does not set them itself.
    pub labels: Vec<(String, String)>,
    /// The rules in order.
    pub rules: Vec<RuleSpec>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// Where it is in its file.
    pub place: Place,
    /// The expression.
    pub expression: String,
    /// Labels to set; templates in alerting rules.
    pub labels: Vec<(String, String)>,
    /// What it makes.
    pub kind: RuleKind,
}

/// What a rule makes of its expression.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Series of this name.
    Recording {
        /// The new metric's name.
        name: String,
    },
    /// An alert for each series.
    Alerting {
        /// The alert's name.
        name: String,
        /// How long it has to hold before the alert fires, ms.
        hold: i64,
        /// How long the alert fires on after it no longer holds, ms.
        keep_firing: i64,
        /// Texts for people; templates.
        annotations: Vec<(String, String)>,
    },
}

impl RuleSpec {
    /// The name of the metric or alert.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Recording { name } | RuleKind::Alerting { name, .. } => name,
        }
    }
}

/// Reads and checks a rule file. All mistakes that can be told apart are given at once.
///
/// # Errors
/// Each with its line and column.
pub fn parse(text: &str) -> Result<Vec<GroupSpec>, Vec<YamlError>> {
    let node = yaml::parse(text).map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut groups = Vec::new();
    let mut names = HashSet::new();
    for (key, value) in node.map().map_err(|error| vec![error])? {
        if key.text() != Ok("groups") {
            errors.push(unknown(key, "a rule file", &["groups"]));
            continue;
        }
        match value.list() {
            Ok(list) => {
                for item in list {
                    if let Some(group) = group(item, &mut errors) {
                        if !names.insert(group.name.clone()) {
                            let message = format!(
                                "groupname: {} is repeated in the same file",
                                quoted(&group.name)
                            );
                            errors.push(YamlError::at(item.place, message));
                        }
                        groups.push(group);
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(groups)
    } else {
        Err(errors)
    }
}

const GROUP_FIELDS: [&str; 6] = [
    "name",
    "interval",
    "query_offset",
    "limit",
    "labels",
    "rules",
];

fn group(node: &Node, errors: &mut Vec<YamlError>) -> Option<GroupSpec> {
    let mut group = GroupSpec {
        name: String::new(),
        interval: None,
        query_offset: None,
        limit: 0,
        labels: Vec::new(),
        rules: Vec::new(),
    };
    let mut rules: &[Node] = &[];
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "name" => group.name = noted(errors, value.text()).unwrap_or("").to_owned(),
            "interval" => {
                group.interval = noted(errors, value.duration()).filter(|interval| *interval > 0)
            }
            "query_offset" => group.query_offset = noted(errors, value.duration()),
            "limit" => group.limit = noted(errors, value.number()).unwrap_or(0),
            "labels" => group.labels = label_pairs(value, errors),
            "rules" => rules = noted(errors, value.list()).unwrap_or(&[]),
            _ => errors.push(unknown(key, "a group", &GROUP_FIELDS)),
        }
    }
    if group.name.is_empty() {
        errors.push(YamlError::at(node.place, "group name must not be empty"));
    }
    for item in rules {
        if let Some(mut rule) = rule(item, errors) {
            for (name, value) in &group.labels {
                if !rule.labels.iter().any(|(other, _)| other == name) {
                    rule.labels.push((name.clone(), value.clone()));
                }
            }
            group.rules.push(rule);
        }
    }
    Some(group)
}

fn label_pairs(node: &Node, errors: &mut Vec<YamlError>) -> Vec<(String, String)> {
    let pairs = text_pairs(node, errors);
    for (name, _) in &pairs {
        if name.is_empty() || name == METRIC_NAME {
            errors.push(YamlError::at(
                node.place,
                format!("invalid label name: {name}"),
            ));
        }
    }
    pairs
}

const RULE_FIELDS: [&str; 7] = [
    "record",
    "alert",
    "expr",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
];

fn rule(node: &Node, errors: &mut Vec<YamlError>) -> Option<RuleSpec> {
    let (mut record, mut alert, mut expression) = (None, None, None);
    let (mut hold, mut keep_firing) = (None, None);
    let (mut labels, mut annotations): (_, Option<Vec<(String, String)>>) = (Vec::new(), None);
    let before = errors.len();
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "record" => record = noted(errors, value.text()),
            "alert" => alert = noted(errors, value.text()),
            "expr" => expression = noted(errors, value.text()).map(|text| (text, value.place)),
            "for" => hold = noted(errors, value.duration()),
            "keep_firing_for" => keep_firing = noted(errors, value.duration()),
            "labels" => labels = label_pairs(value, errors),
            "annotations" => annotations = Some(text_pairs(value, errors)),
            _ => errors.push(unknown(key, "a rule", &RULE_FIELDS)),
        }
    }
    let mut wrong = |message: &str| errors.push(YamlError::at(node.place, message));
    let (record, alert) = (
        record.filter(|name| !name.is_empty()),
        alert.filter(|name| !name.is_empty()),
    );
    match (record, alert) {
        (Some(_), Some(_)) => wrong("only one of 'record' and 'alert' must be set"),
        (None, None) => wrong("one of 'record' or 'alert' must be set"),
        (Some(_), None) => {
            if annotations.is_some() {
                wrong("invalid field 'annotations' in recording rule");
            }
            if hold.is_some() {
                wrong("invalid field 'for' in recording rule");
            }
            if keep_firing.is_some() {
                wrong("invalid field 'keep_firing_for' in recording rule");
            }
        }
        (None, Some(_)) => {}
    }
    match expression {
        None | Some(("", _)) => wrong("field 'expr' must be set in rule"),
        Some((text, place)) => {
            if let Err(error) = promql::parse(text) {
                errors.push(YamlError::at(
                    place,
                    format!("could not parse expression: {error}"),
                ));
            }
        }
    }
    let annotations = annotations.unwrap_or_default();
    if alert.is_some() {
        for (name, text) in labels.iter().chain(&annotations) {
            if let Err(error) = Template::parse(text) {
                errors.push(YamlError::at(
                    node.place,
                    format!("template of {}: {error}", quoted(name)),
                ));
            }
        }
    }
    if errors.len() > before {
        return None;
    }
    let kind = match (record, alert) {
        (Some(name), _) => RuleKind::Recording {
            name: name.to_owned(),
        },
        (None, alert) => RuleKind::Alerting {
            name: alert?.to_owned(),
            hold: hold.unwrap_or(0),
            keep_firing: keep_firing.unwrap_or(0),
            annotations,
        },
    };
    Some(RuleSpec {
        place: node.place,
        expression: expression?.0.to_owned(),
        labels,
        kind,
    })
}
