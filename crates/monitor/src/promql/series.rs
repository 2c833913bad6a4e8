//! Values while they are evaluated: one number a step, or a hole.

use super::QueryError;
use crate::labels::Labels;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The bits that stand for "no value at this step": a NaN that no arithmetic makes.
const HOLE_BITS: u64 = 0x7ffa_5ead_0000_0001;

/// No value at this step.
#[inline]
pub(super) fn hole() -> f64 {
    f64::from_bits(HOLE_BITS)
}

/// Whether there is a value at this step.
#[inline]
pub(super) fn here(value: f64) -> bool {
    value.to_bits() != HOLE_BITS
}

/// A series under evaluation: one value or hole a step.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
}

impl Row {
    pub(super) fn is_empty(&self) -> bool {
        !self.values.iter().any(|value| here(*value))
    }
}

/// What a node evaluates to.
pub(super) enum Evaluated {
    /// One number a step, never a hole.
    Scalar(Vec<f64>),
    Vector(Vec<Row>),
    Text(String),
}

/// The error for two series of a result with one label set.
pub(super) fn same_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Joins rows that got equal labels, as happens when the name is dropped; an error where two have a value at one step.
pub(super) fn join_equal(rows: Vec<Row>) -> Result<Vec<Row>, QueryError> {
    let mut known: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        if row.is_empty() {
            continue;
        }
        match known.entry(row.labels.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(out.len());
                out.push(row);
            }
            Entry::Occupied(entry) => {
                for (to, from) in out[*entry.get()].values.iter_mut().zip(&row.values) {
                    if here(*from) {
                        if here(*to) {
                            return Err(same_labels());
                        }
                        *to = *from;
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Whether a label name is valid in this dialect: 3 takes any text, 2.42 only `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(super) fn is_label_name(name: &str, dialect: super::Dialect) -> bool {
    match dialect {
        super::Dialect::Prometheus3 => !name.is_empty(),
        super::Dialect::Prometheus2 => crate::labels::is_legacy_label_name(name),
    }
}
