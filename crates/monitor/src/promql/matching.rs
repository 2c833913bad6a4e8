//! Vector matching: which series of two sides belong together.

use crate::labels::{Labels, METRIC_NAME};
use promql_parser::parser::LabelModifier;
use std::collections::HashMap;

use super::series::Row;

/// `on`, `ignoring` or neither.
#[derive(Clone, Copy)]
pub(super) struct Matching<'a> {
    modifier: Option<&'a LabelModifier>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(modifier: Option<&'a LabelModifier>) -> Self {
        Self { modifier }
    }

    fn lists(&self, name: &str) -> bool {
        self.modifier
            .is_some_and(|modifier| modifier.labels().labels.iter().any(|other| other == name))
    }

    fn is_on(&self) -> bool {
        matches!(self.modifier, Some(LabelModifier::Include(_)))
    }

    /// The labels that two series must have in common to match.
    pub(super) fn signature(&self, labels: &Labels) -> Labels {
        if self.is_on() {
            labels.filtered(|name| self.lists(name))
        } else {
            labels.filtered(|name| name != METRIC_NAME && !self.lists(name))
        }
    }

    /// What a one-to-one match leaves of the left side's labels, whose name was dropped or kept before.
    pub(super) fn of_result(&self, labels: &Labels) -> Labels {
        if self.is_on() {
            labels.filtered(|name| self.lists(name))
        } else {
            labels.filtered(|name| !self.lists(name))
        }
    }
}

/// The match groups of both sides, numbered.
pub(super) struct Groups {
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    pub(super) signatures: Vec<Labels>,
}

impl Groups {
    pub(super) fn new(matching: Matching<'_>, left: &[Row], right: &[Row]) -> Self {
        let mut numbers: HashMap<Labels, usize> = HashMap::new();
        let mut signatures = Vec::new();
        let mut number = |rows: &[Row]| -> Vec<usize> {
            rows.iter()
                .map(|row| {
                    *numbers
                        .entry(matching.signature(&row.labels))
                        .or_insert_with_key(|labels| {
                            signatures.push(labels.clone());
                            signatures.len() - 1
                        })
                })
                .collect()
        };
        let (left, right) = (number(left), number(right));
        Self {
            left,
            right,
            signatures,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.signatures.len()
    }
}
