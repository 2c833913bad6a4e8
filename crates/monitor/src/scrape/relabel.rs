//! Relabelling: Prometheus' rules that rewrite, keep or drop targets and series by their labels.

use crate::labels::{LabelsBuilder, is_legacy_label_name};
use crate::storage::anchored;
use crate::yaml::{Node, YamlError, noted, unknown};
use regex::Regex;

#[cfg(test)]
mod tests;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    sources: Vec<String>,
    separator: String,
    regex: Regex,
    target: String,
    replacement: String,
    modulus: u64,
}

const FIELDS: [&str; 7] = [
    "source_labels",
    "separator",
    "regex",
    "modulus",
    "target_label",
    "replacement",
    "action",
];

/// Reads a list of rules, noting what is wrong with them.
pub(crate) fn rules(node: &Node, errors: &mut Vec<YamlError>) -> Vec<Rule> {
    let items = noted(errors, node.list()).unwrap_or(&[]);
    items.iter().filter_map(|item| rule(item, errors)).collect()
}

fn rule(node: &Node, errors: &mut Vec<YamlError>) -> Option<Rule> {
    let mut action = Action::Replace;
    let (mut sources, mut separator, mut pattern, mut target, mut replacement, mut modulus) =
        (Vec::new(), ";".to_owned(), None, String::new(), None, 0u64);
    let before = errors.len();
    for (key, value) in noted(errors, node.map())? {
        match key.text().unwrap_or("") {
            "source_labels" => {
                for item in noted(errors, value.list()).unwrap_or(&[]) {
                    sources.extend(noted(errors, item.text()).map(str::to_owned));
                }
            }
            "separator" => separator = noted(errors, value.text())?.to_owned(),
            "regex" => pattern = Some((noted(errors, value.text())?, value.place)),
            "modulus" => modulus = noted(errors, value.number())?,
            "target_label" => target = noted(errors, value.text())?.to_owned(),
            "replacement" => replacement = Some(noted(errors, value.text())?.to_owned()),
            "action" => match named(noted(errors, value.text())?) {
                Some(found) => action = found,
                None => errors.push(YamlError::at(
                    value.place,
                    format!("unknown relabel action {}", value.kind()),
                )),
            },
            _ => errors.push(unknown(key, "a relabelling rule", &FIELDS)),
        }
    }
    let regex = match anchored(pattern.map_or("(.*)", |(text, _)| text)) {
        Ok(regex) => regex,
        Err(error) => {
            errors.push(YamlError::at(
                pattern.map_or(node.place, |(_, place)| place),
                error.to_string(),
            ));
            return None;
        }
    };
    let needs_target = matches!(
        action,
        Action::Replace
            | Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
            | Action::KeepEqual
            | Action::DropEqual
    );
    if needs_target && target.is_empty() {
        errors.push(YamlError::at(
            node.place,
            "relabel configuration for this action requires 'target_label' value",
        ));
    }
    if action == Action::HashMod && modulus == 0 {
        errors.push(YamlError::at(
            node.place,
            "relabel configuration for hashmod requires non-zero modulus",
        ));
    }
    let literal = matches!(
        action,
        Action::HashMod | Action::Lowercase | Action::Uppercase
    );
    if literal && !target.is_empty() && !is_legacy_label_name(&target) {
        errors.push(YamlError::at(
            node.place,
            format!("{target:?} is invalid 'target_label' for this action"),
        ));
    }
    (errors.len() == before).then(|| Rule {
        action,
        sources,
        separator,
        regex,
        target,
        replacement: replacement.unwrap_or_else(|| "$1".to_owned()),
        modulus,
    })
}

fn named(word: &str) -> Option<Action> {
    Some(match word.to_ascii_lowercase().as_str() {
        "replace" => Action::Replace,
        "keep" => Action::Keep,
        "drop" => Action::Drop,
        "keepequal" => Action::KeepEqual,
        "dropequal" => Action::DropEqual,
        "hashmod" => Action::HashMod,
        "labelmap" => Action::LabelMap,
        "labeldrop" => Action::LabelDrop,
        "labelkeep" => Action::LabelKeep,
        "lowercase" => Action::Lowercase,
        "uppercase" => Action::Uppercase,
        _ => return None,
    })
}

/// Applies rules in order. `false` means that the target or series is dropped.
pub fn apply(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    fn source(&self, labels: &LabelsBuilder) -> String {
        let mut joined = String::new();
        for (at, name) in self.sources.iter().enumerate() {
            if at > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name).unwrap_or(""));
        }
        joined
    }

    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let names = |labels: &LabelsBuilder, matching: bool| -> Vec<String> {
            let all = labels.pairs().filter(|(_, value)| !value.is_empty());
            all.filter(|(name, _)| self.regex.is_match(name) == matching)
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        match self.action {
            Action::Keep => return self.regex.is_match(&self.source(labels)),
            Action::Drop => return !self.regex.is_match(&self.source(labels)),
            Action::KeepEqual => {
                return labels.get(&self.target).unwrap_or("") == self.source(labels);
            }
            Action::DropEqual => {
                return labels.get(&self.target).unwrap_or("") != self.source(labels);
            }
            Action::Replace => self.replace(labels),
            Action::Lowercase => {
                labels.set(&self.target, &self.source(labels).to_lowercase());
            }
            Action::Uppercase => {
                labels.set(&self.target, &self.source(labels).to_uppercase());
            }
            Action::HashMod => {
                // The last eight bytes of the MD5 sum, so that shards fall as other servers' do.
                let digest = md5(self.source(labels).as_bytes());
                let mut last = [0; 8];
                last.copy_from_slice(&digest[8..]);
                labels.set(
                    &self.target,
                    &(u64::from_be_bytes(last) % self.modulus).to_string(),
                );
            }
            Action::LabelMap => {
                for name in names(labels, true) {
                    let mut new = String::new();
                    if let Some(found) = self.regex.captures(&name) {
                        found.expand(&self.replacement, &mut new);
                    }
                    let value = labels.get(&name).unwrap_or("").to_owned();
                    labels.set(&new, &value);
                }
            }
            Action::LabelDrop => {
                for name in names(labels, true) {
                    labels.remove(&name);
                }
            }
            Action::LabelKeep => {
                for name in names(labels, false) {
                    labels.remove(&name);
                }
            }
        }
        true
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let source = self.source(labels);
        let Some(found) = self.regex.captures(&source) else {
            return;
        };
        let (mut target, mut value) = (String::new(), String::new());
        found.expand(&self.target, &mut target);
        if !is_legacy_label_name(&target) {
            return;
        }
        found.expand(&self.replacement, &mut value);
        labels.set(&target, &value);
    }
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}
