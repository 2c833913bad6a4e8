//! `info`: adds the labels of info metrics to the series they describe; and the label hash of `limit_ratio`.

use super::QueryError;
use super::eval::{Context, vector};
use super::selector::instant_rows;
use super::series::{Row, here, hole, join_equal};
use crate::labels::{Labels, METRIC_NAME};
use crate::storage::{MatchOp, Matcher};
use promql_parser::parser::{Call, Expr, VectorSelector};
use std::collections::HashMap;

#[cfg(test)]
mod tests;

/// The labels by which a series and an info metric belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric where the selector names none.
const DEFAULT_INFO: &str = "target_info";

fn identity(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

/// `info(v, [selector])`.
pub(super) fn evaluate(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let arguments = &call.args.args;
    let base = vector(context, &arguments[0])?;
    let selector = match arguments.get(1).map(|argument| &**argument) {
        None => VectorSelector::from(DEFAULT_INFO),
        Some(Expr::VectorSelector(selector)) => with_default_name(selector),
        Some(_) => {
            return Err(QueryError::Execution(
                "the second argument of info has to be a selector".to_owned(),
            ));
        }
    };
    let named: Vec<&str> = selector
        .matchers
        .matchers
        .iter()
        .map(|m| m.name.as_str())
        .filter(|name| *name != METRIC_NAME)
        .collect();
    let conditions = super::check::selector_matchers(&selector)?;
    let is_info_name = |name: &str| {
        conditions
            .iter()
            .filter(|m| m.name() == METRIC_NAME)
            .all(|m| m.matches(name))
    };
    let mut infos: HashMap<Labels, Vec<Row>> = HashMap::new();
    instant_rows(context, &selector, false, &mut |row| {
        infos.entry(identity(&row.labels)).or_default().push(row);
        Ok(())
    })?;
    // Where a named label must not be empty, a series without matching info is left out.
    let required = data_required(&selector)?;
    let mut out = Vec::new();
    for row in base {
        if is_info_name(row.labels.metric_name()) {
            out.push(row);
            continue;
        }
        let Some(candidates) = infos.get(&identity(&row.labels)) else {
            if !required {
                out.push(row);
            }
            continue;
        };
        enrich(context, &row, candidates, &named, required, &mut out)?;
    }
    join_equal(out)
}

fn with_default_name(selector: &VectorSelector) -> VectorSelector {
    let mut selector = selector.clone();
    if selector.name.is_none()
        && !selector
            .matchers
            .matchers
            .iter()
            .any(|m| m.name == METRIC_NAME)
    {
        selector.name = Some(DEFAULT_INFO.to_owned());
    }
    selector
}

fn data_required(selector: &VectorSelector) -> Result<bool, QueryError> {
    for matcher in selector
        .matchers
        .matchers
        .iter()
        .filter(|m| m.name != METRIC_NAME)
    {
        let op = match matcher.op {
            promql_parser::label::MatchOp::Equal => MatchOp::Equal,
            promql_parser::label::MatchOp::NotEqual => MatchOp::NotEqual,
            promql_parser::label::MatchOp::Re(_) => MatchOp::Regex,
            promql_parser::label::MatchOp::NotRe(_) => MatchOp::NotRegex,
        };
        let matcher = Matcher::new(&matcher.name, op, &matcher.value)
            .map_err(|error| QueryError::Execution(error.to_string()))?;
        if !matcher.matches("") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Splits a row by the info that is there at each step.
fn enrich(
    context: &Context<'_>,
    row: &Row,
    candidates: &[Row],
    named: &[&str],
    required: bool,
    out: &mut Vec<Row>,
) -> Result<(), QueryError> {
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    for (step, &value) in row.values.iter().enumerate() {
        if !here(value) {
            continue;
        }
        let mut labels = row.labels.clone();
        let mut any = false;
        for info in candidates.iter().filter(|info| here(info.values[step])) {
            any = true;
            for (name, data) in &info.labels {
                let wanted = named.is_empty() || named.contains(&name);
                if !wanted
                    || name == METRIC_NAME
                    || IDENTIFYING.contains(&name)
                    || row.labels.get(name).is_some()
                {
                    continue;
                }
                if labels.get(name).is_some_and(|other| other != data) {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                labels = labels.with(name, data);
            }
        }
        if !any && required {
            continue;
        }
        let at = match by_labels.get(&labels) {
            Some(at) => *at,
            None => {
                out.push(Row {
                    labels: labels.clone(),
                    values: vec![hole(); context.steps],
                });
                context.budget.take(context.steps)?;
                by_labels.insert(labels, out.len() - 1);
                out.len() - 1
            }
        };
        out[at].values[step] = value;
    }
    Ok(())
}

/// The hash by which Prometheus samples series: xxHash64 of the labels, each text with its length before it.
pub(super) fn hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.packed_len());
    for (name, value) in labels {
        for text in [name, value] {
            // Lengths take one byte, or 255 and three bytes.
            if text.len() < 255 {
                bytes.push(text.len() as u8);
            } else {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxhash64(&bytes)
}

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

fn round(sum: u64, input: u64) -> u64 {
    sum.wrapping_add(input.wrapping_mul(PRIMES[1]))
        .rotate_left(31)
        .wrapping_mul(PRIMES[0])
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(word)
}

/// xxHash64 with seed 0 (Yann Collet's specification).
fn xxhash64(bytes: &[u8]) -> u64 {
    let mut blocks = bytes.chunks_exact(32);
    let mut hash = if bytes.len() >= 32 {
        let mut sums = [
            PRIMES[0].wrapping_add(PRIMES[1]),
            PRIMES[1],
            0,
            0u64.wrapping_sub(PRIMES[0]),
        ];
        for block in blocks.by_ref() {
            for (sum, input) in sums.iter_mut().zip(block.chunks_exact(8)) {
                *sum = round(*sum, word(input));
            }
        }
        let start = [1, 7, 12, 18]
            .iter()
            .zip(sums)
            .fold(0u64, |all, (by, sum)| {
                all.wrapping_add(sum.rotate_left(*by))
            });
        sums.iter().fold(start, |all, sum| {
            (all ^ round(0, *sum))
                .wrapping_mul(PRIMES[0])
                .wrapping_add(PRIMES[3])
        })
    } else {
        PRIMES[4]
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let mut words = blocks.remainder().chunks_exact(8);
    for input in words.by_ref() {
        hash = (hash ^ round(0, word(input)))
            .rotate_left(27)
            .wrapping_mul(PRIMES[0])
            .wrapping_add(PRIMES[3]);
    }
    let mut rest = words.remainder();
    if rest.len() >= 4 {
        hash = (hash ^ word(&rest[..4]).wrapping_mul(PRIMES[0]))
            .rotate_left(23)
            .wrapping_mul(PRIMES[1])
            .wrapping_add(PRIMES[2]);
        rest = &rest[4..];
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(PRIMES[4]))
            .rotate_left(11)
            .wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}
