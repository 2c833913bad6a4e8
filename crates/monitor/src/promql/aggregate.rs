//! Aggregations: many series to few.

use super::eval::{Context, each_row, scalar, text, vector};
use super::range_calls::warn_of_quantiles;
use super::series::{Row, here, is_label_name};
use super::sum::{Mean, Sum, quantile};
use super::{Dialect, QueryError, format_value};
use crate::labels::{Labels, METRIC_NAME};
use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_LIMIT_RATIO, T_LIMITK, T_MAX, T_MIN,
    T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM, T_TOPK, TokenId,
};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Which labels a group keeps.
pub(super) fn group_labels(labels: &Labels, modifier: Option<&LabelModifier>) -> Labels {
    match modifier {
        None => Labels::empty(),
        Some(LabelModifier::Include(list)) => {
            labels.filtered(|name| list.labels.iter().any(|other| other == name))
        }
        Some(LabelModifier::Exclude(list)) => labels
            .filtered(|name| name != METRIC_NAME && !list.labels.iter().any(|other| other == name)),
    }
}

pub(super) fn evaluate(
    context: &Context<'_>,
    aggregate: &AggregateExpr,
) -> Result<Vec<Row>, QueryError> {
    let operator = aggregate.op.id();
    let modifier = aggregate.modifier.as_ref();
    let rows = match operator {
        T_SUM | T_AVG | T_MIN | T_MAX | T_COUNT | T_GROUP | T_STDDEV | T_STDVAR => {
            stream(context, &aggregate.expr, operator, modifier)?
        }
        T_QUANTILE => {
            let quantiles = scalar(context, param(aggregate)?)?;
            warn_of_quantiles(context, &quantiles);
            quantiles_of_groups(context, grouped(context, aggregate)?, &quantiles)?
        }
        T_TOPK | T_BOTTOMK => match to_counts(&scalar(context, param(aggregate)?)?)? {
            Some(counts) => choose_best(
                context,
                grouped(context, aggregate)?,
                &counts,
                operator == T_TOPK,
            )?,
            None => Vec::new(),
        },
        T_LIMITK => match to_counts(&scalar(context, param(aggregate)?)?)? {
            Some(counts) => choose_first(context, grouped(context, aggregate)?, &counts)?,
            None => Vec::new(),
        },
        T_LIMIT_RATIO => {
            let ratios = scalar(context, param(aggregate)?)?;
            choose_by_hash(context, vector(context, &aggregate.expr)?, &ratios)?
        }
        T_COUNT_VALUES => count_values(context, aggregate)?,
        _ => {
            return Err(QueryError::Execution(format!(
                "aggregation {} is not known",
                aggregate.op
            )));
        }
    };
    Ok(rows.into_iter().filter(|row| !row.is_empty()).collect())
}

fn param(aggregate: &AggregateExpr) -> Result<&Expr, QueryError> {
    aggregate
        .param
        .as_deref()
        .ok_or_else(|| QueryError::Execution(format!("{} needs a parameter", aggregate.op)))
}

/// Rows by group, in the order in which the groups appear.
fn grouped(
    context: &Context<'_>,
    aggregate: &AggregateExpr,
) -> Result<Vec<(Labels, Vec<Row>)>, QueryError> {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Vec<Row>)> = Vec::new();
    each_row(context, &aggregate.expr, &mut |row| {
        let labels = group_labels(&row.labels, aggregate.modifier.as_ref());
        let at = *known.entry(labels).or_insert_with_key(|labels| {
            groups.push((labels.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row);
        Ok(())
    })?;
    Ok(groups)
}

/// What a streaming aggregation holds of one group at all steps.
enum State {
    Sum(Vec<Sum>),
    Mean(Vec<Mean>),
    Squares {
        mean: Vec<f64>,
        root: bool,
        lenient: bool,
    },
    Plain,
}

struct Group {
    labels: Labels,
    /// The result so far; for squares the sum of squares.
    values: Vec<f64>,
    counts: Vec<u32>,
    state: State,
}

fn stream(
    context: &Context<'_>,
    expression: &Expr,
    operator: TokenId,
    modifier: Option<&LabelModifier>,
) -> Result<Vec<Row>, QueryError> {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    each_row(context, expression, &mut |row| {
        let labels = group_labels(&row.labels, modifier);
        let at = match known.get(&labels) {
            Some(at) => *at,
            None => {
                groups.push(Group::new(context, operator, labels.clone())?);
                known.insert(labels, groups.len() - 1);
                groups.len() - 1
            }
        };
        groups[at].add(operator, &row.values);
        context.budget.give_back(row.values.len());
        Ok(())
    })?;
    Ok(groups
        .into_iter()
        .map(|group| group.finish(operator))
        .collect())
}

impl Group {
    fn new(context: &Context<'_>, operator: TokenId, labels: Labels) -> Result<Self, QueryError> {
        let steps = context.steps;
        // Counts and compensations are as large as the result again.
        context.budget.take(2 * steps)?;
        let state = match operator {
            T_SUM => State::Sum(vec![Sum::default(); steps]),
            T_AVG => State::Mean(vec![Mean::default(); steps]),
            T_STDDEV | T_STDVAR => State::Squares {
                mean: vec![0.0; steps],
                root: operator == T_STDDEV,
                // 2.42 took the distance of one infinite value from itself as zero.
                lenient: context.dialect == Dialect::Prometheus2,
            },
            _ => State::Plain,
        };
        Ok(Self {
            labels,
            values: context.holes()?,
            counts: vec![0; steps],
            state,
        })
    }

    fn add(&mut self, operator: TokenId, from: &[f64]) {
        for (step, &value) in from.iter().enumerate() {
            if !here(value) {
                continue;
            }
            self.counts[step] += 1;
            let first = self.counts[step] == 1;
            let slot = &mut self.values[step];
            match &mut self.state {
                State::Sum(sums) if first => sums[step] = Sum::starting_with(value),
                State::Sum(sums) => sums[step].add(value),
                State::Mean(means) => means[step].add(value),
                State::Squares { mean, lenient, .. } => {
                    if first {
                        mean[step] = value;
                        *slot = if value.is_finite() || *lenient {
                            0.0
                        } else {
                            f64::NAN
                        };
                    } else {
                        let distance = value - mean[step];
                        mean[step] += distance / f64::from(self.counts[step]);
                        *slot += distance * (value - mean[step]);
                    }
                }
                State::Plain => match operator {
                    T_MIN if first || value < *slot || slot.is_nan() => *slot = value,
                    T_MAX if first || value > *slot || slot.is_nan() => *slot = value,
                    T_GROUP => *slot = 1.0,
                    _ => {}
                },
            }
        }
    }

    fn finish(mut self, operator: TokenId) -> Row {
        for (step, &count) in self.counts.iter().enumerate() {
            if count == 0 {
                continue;
            }
            let slot = &mut self.values[step];
            match &self.state {
                State::Sum(sums) => *slot = sums[step].total(),
                State::Mean(means) => *slot = means[step].mean(),
                State::Squares { root, .. } => {
                    *slot /= f64::from(count);
                    if *root {
                        *slot = slot.sqrt();
                    }
                }
                State::Plain if operator == T_COUNT => *slot = f64::from(count),
                State::Plain => {}
            }
        }
        Row {
            labels: self.labels,
            values: self.values,
        }
    }
}

fn quantiles_of_groups(
    context: &Context<'_>,
    groups: Vec<(Labels, Vec<Row>)>,
    quantiles: &[f64],
) -> Result<Vec<Row>, QueryError> {
    let mut out = Vec::with_capacity(groups.len());
    let mut present = Vec::new();
    for (labels, rows) in groups {
        let mut values = context.holes()?;
        for (step, slot) in values.iter_mut().enumerate() {
            present.clear();
            present.extend(
                rows.iter()
                    .map(|row| row.values[step])
                    .filter(|value| here(*value)),
            );
            if !present.is_empty() {
                *slot = quantile(quantiles[step], &mut present);
            }
        }
        out.push(Row { labels, values });
    }
    Ok(out)
}

/// The parameter of `topk` and its like as numbers of series, checked for all steps before any series is looked at.
/// `None` says that no step wants any.
fn to_counts(parameters: &[f64]) -> Result<Option<Vec<usize>>, QueryError> {
    let fail = |message: String| Err(QueryError::Execution(message));
    if parameters.iter().all(|parameter| *parameter < 1.0) {
        return Ok(None);
    }
    let mut counts = Vec::with_capacity(parameters.len());
    for &parameter in parameters {
        if parameter.is_nan() {
            return fail("Parameter value is NaN".to_owned());
        }
        if parameter >= 9.223_372_036_854_776e18 {
            return fail(format!(
                "Scalar value {} overflows int64",
                format_value(parameter)
            ));
        }
        if parameter <= -9.223_372_036_854_776e18 {
            return fail(format!(
                "Scalar value {} underflows int64",
                format_value(parameter)
            ));
        }
        counts.push(parameter.max(0.0) as usize);
    }
    Ok(Some(counts))
}

/// Offers a value to a heap of the `count` best, whose worst is at the root. Which of equal values stay depends on the
/// heap's shape; this is Go's `container/heap` as Prometheus uses it, so the same ones stay. 2.42 let a NaN replace a NaN.
fn offer(heap: &mut Vec<(usize, f64)>, new: (usize, f64), count: usize, top: bool, old: bool) {
    let worse = |a: f64, b: f64| a.is_nan() || if top { a < b } else { a > b };
    if heap.len() < count {
        heap.push(new);
        sift_up(heap, &worse);
        return;
    }
    let Some(root) = heap.first().map(|root| root.1) else {
        return;
    };
    let replaces = if root.is_nan() {
        old || !new.1.is_nan()
    } else {
        worse(root, new.1)
    };
    if !replaces {
        return;
    }
    if old && count > 1 {
        // 2.42 takes the worst out and adds the new one; 3 overwrites it. They leave different shapes.
        heap.swap_remove(0);
        sift_down(heap, &worse);
        heap.push(new);
        sift_up(heap, &worse);
    } else {
        heap[0] = new;
        sift_down(heap, &worse);
    }
}

fn sift_up(heap: &mut [(usize, f64)], worse: &impl Fn(f64, f64) -> bool) {
    let mut at = heap.len() - 1;
    while at > 0 && worse(heap[at].1, heap[(at - 1) / 2].1) {
        heap.swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

fn sift_down(heap: &mut [(usize, f64)], worse: &impl Fn(f64, f64) -> bool) {
    let mut at = 0;
    loop {
        let mut child = 2 * at + 1;
        if child >= heap.len() {
            return;
        }
        if child + 1 < heap.len() && worse(heap[child + 1].1, heap[child].1) {
            child += 1;
        }
        if !worse(heap[child].1, heap[at].1) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

fn choose_best(
    context: &Context<'_>,
    groups: Vec<(Labels, Vec<Row>)>,
    counts: &[usize],
    top: bool,
) -> Result<Vec<Row>, QueryError> {
    let old = context.dialect == Dialect::Prometheus2;
    let mut out = Vec::new();
    for (_, mut rows) in groups {
        // Best first; NaN last.
        let order = |a: f64, b: f64| {
            let by_value = || a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            let better_first = || {
                if top {
                    by_value().reverse()
                } else {
                    by_value()
                }
            };
            a.is_nan().cmp(&b.is_nan()).then_with(better_first)
        };
        let mut kept: Vec<Vec<bool>> = vec![Vec::new(); rows.len()];
        let mut present: Vec<(usize, f64)> = Vec::new();
        for step in 0..context.steps {
            context.budget.check()?;
            present.clear();
            for (at, row) in rows.iter().enumerate() {
                let value = row.values[step];
                if here(value) {
                    offer(&mut present, (at, value), counts[step], top, old);
                }
            }
            for &(at, _) in &present {
                if kept[at].is_empty() {
                    kept[at] = vec![false; context.steps];
                }
                kept[at][step] = true;
            }
        }
        if context.steps == 1 {
            // An instant answer comes best first.
            let mut both: Vec<_> = rows.into_iter().zip(kept).collect();
            both.sort_by(|(a, _), (b, _)| order(a.values[0], b.values[0]));
            (rows, kept) = both.into_iter().unzip();
        }
        keep_marked(rows, kept, &mut out);
    }
    Ok(out)
}

/// Keeps the marked steps of each row; a row without marks goes.
fn keep_marked(rows: Vec<Row>, kept: Vec<Vec<bool>>, out: &mut Vec<Row>) {
    for (mut row, kept) in rows.into_iter().zip(kept) {
        if kept.is_empty() {
            continue;
        }
        for (value, keep) in row.values.iter_mut().zip(kept) {
            if !keep {
                *value = super::selector::no_value();
            }
        }
        out.push(row);
    }
}

fn choose_first(
    context: &Context<'_>,
    groups: Vec<(Labels, Vec<Row>)>,
    counts: &[usize],
) -> Result<Vec<Row>, QueryError> {
    let mut out = Vec::new();
    for (_, rows) in groups {
        let mut kept = vec![vec![false; context.steps]; rows.len()];
        for step in 0..context.steps {
            let count = counts[step];
            let present = (0..rows.len()).filter(|at| here(rows[*at].values[step]));
            present.take(count).for_each(|at| kept[at][step] = true);
        }
        keep_marked(rows, kept, &mut out);
    }
    Ok(out)
}

/// `limit_ratio`: a series is in by the hash of its labels, so that `r` and `r - 1` complement each other.
fn choose_by_hash(
    context: &Context<'_>,
    mut rows: Vec<Row>,
    ratios: &[f64],
) -> Result<Vec<Row>, QueryError> {
    for ratio in ratios {
        if ratio.is_nan() {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        if !(-1.0..=1.0).contains(ratio) {
            let used = ratio.clamp(-1.0, 1.0);
            context.budget.warn(format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_value(*ratio),
                format_value(used)
            ));
        }
    }
    for row in &mut rows {
        let place = super::info::hash(&row.labels) as f64 / u64::MAX as f64;
        for (value, ratio) in row.values.iter_mut().zip(ratios) {
            let ratio = ratio.clamp(-1.0, 1.0);
            let inside = if ratio >= 0.0 {
                place < ratio
            } else {
                place >= 1.0 + ratio
            };
            if !inside {
                *value = super::selector::no_value();
            }
        }
    }
    Ok(rows)
}

fn count_values(context: &Context<'_>, aggregate: &AggregateExpr) -> Result<Vec<Row>, QueryError> {
    let name = text(param(aggregate)?)?.into_owned();
    if !is_label_name(&name, context.dialect) {
        return Err(QueryError::Execution(format!(
            "invalid label name {}",
            crate::labels::quoted(&name)
        )));
    }
    let modifier = aggregate.modifier.as_ref();
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<Row> = Vec::new();
    each_row(context, &aggregate.expr, &mut |row| {
        let group = group_labels(&row.labels, modifier);
        for (step, &value) in row.values.iter().enumerate() {
            if !here(value) {
                continue;
            }
            let labels = group.with(&name, &format_value(value));
            let at = match known.get(&labels) {
                Some(at) => *at,
                None => {
                    out.push(Row {
                        labels: labels.clone(),
                        values: context.holes()?,
                    });
                    known.insert(labels, out.len() - 1);
                    out.len() - 1
                }
            };
            let slot = &mut out[at].values[step];
            *slot = if here(*slot) { *slot + 1.0 } else { 1.0 };
        }
        context.budget.give_back(row.values.len());
        Ok(())
    })?;
    Ok(out)
}
