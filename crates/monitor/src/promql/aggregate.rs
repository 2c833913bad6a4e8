//! Aggregations: many series to few.

use super::eval::{Context, each_row, scalar, text, vector};
use super::range_calls::warn_of_quantiles;
use super::series::{Row, here, is_label_name};
use super::sum::{Mean, Sum, quantile};
use super::{QueryError, format_value};
use crate::labels::{Labels, METRIC_NAME};
use promql_parser::parser::token::{
    T_AVG, T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_GROUP, T_LIMIT_RATIO, T_LIMITK, T_MAX, T_MIN,
    T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM, T_TOPK, TokenId,
};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};
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
        T_TOPK | T_BOTTOMK => {
            let counts = scalar(context, param(aggregate)?)?;
            choose_best(
                context,
                grouped(context, aggregate)?,
                &counts,
                operator == T_TOPK,
            )?
        }
        T_LIMITK => {
            let counts = scalar(context, param(aggregate)?)?;
            choose_first(context, grouped(context, aggregate)?, &counts)?
        }
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
    Squares { mean: Vec<f64>, root: bool },
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
                State::Squares { mean, .. } => {
                    if first {
                        mean[step] = value;
                        *slot = if value.is_finite() { 0.0 } else { f64::NAN };
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

/// The parameter of `topk` and its like as a number of series.
fn to_count(parameter: f64, most: usize) -> Result<usize, QueryError> {
    let fail = |what: &str| Err(QueryError::Execution(what.to_owned()));
    if parameter.is_nan() {
        return fail("Parameter value is NaN");
    }
    if parameter >= 9.223_372_036_854_776e18 {
        return fail(&format!(
            "Scalar value {} overflows int64",
            format_value(parameter)
        ));
    }
    if parameter <= -9.223_372_036_854_776e18 {
        return fail(&format!(
            "Scalar value {} underflows int64",
            format_value(parameter)
        ));
    }
    Ok((parameter as i64).clamp(0, most as i64) as usize)
}

fn choose_best(
    context: &Context<'_>,
    groups: Vec<(Labels, Vec<Row>)>,
    counts: &[f64],
    top: bool,
) -> Result<Vec<Row>, QueryError> {
    let better = |a: f64, b: f64| {
        if top {
            a > b || (b.is_nan() && !a.is_nan())
        } else {
            a < b || (b.is_nan() && !a.is_nan())
        }
    };
    let mut out = Vec::new();
    for (_, mut rows) in groups {
        let mut kept: Vec<Vec<bool>> = vec![Vec::new(); rows.len()];
        let mut chosen: Vec<usize> = Vec::new();
        for step in 0..context.steps {
            let count = to_count(counts[step], rows.len())?;
            chosen.clear();
            for at in 0..rows.len() {
                let value = rows[at].values[step];
                if !here(value) || count == 0 {
                    continue;
                }
                if chosen.len() < count {
                    chosen.push(at);
                    continue;
                }
                // The worst of the chosen gives way to a strictly better one.
                let worst = (0..chosen.len()).reduce(|a, b| {
                    if better(rows[chosen[a]].values[step], rows[chosen[b]].values[step]) {
                        b
                    } else {
                        a
                    }
                });
                if let Some(worst) = worst
                    && better(value, rows[chosen[worst]].values[step])
                {
                    chosen[worst] = at;
                }
            }
            for &at in &chosen {
                if kept[at].is_empty() {
                    kept[at] = vec![false; context.steps];
                }
                kept[at][step] = true;
            }
        }
        if context.steps == 1 {
            // An instant answer comes best first.
            sort_best_first(&mut rows, &mut kept, &better);
        }
        keep_marked(rows, kept, &mut out);
    }
    Ok(out)
}

fn sort_best_first(
    rows: &mut Vec<Row>,
    kept: &mut Vec<Vec<bool>>,
    better: &impl Fn(f64, f64) -> bool,
) {
    let mut both: Vec<_> = std::mem::take(rows)
        .into_iter()
        .zip(std::mem::take(kept))
        .collect();
    both.sort_by(|(a, _), (b, _)| {
        let (a, b) = (a.values[0], b.values[0]);
        better(b, a).cmp(&better(a, b))
    });
    (*rows, *kept) = both.into_iter().unzip();
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
    counts: &[f64],
) -> Result<Vec<Row>, QueryError> {
    let mut out = Vec::new();
    for (_, rows) in groups {
        let mut kept = vec![vec![false; context.steps]; rows.len()];
        for step in 0..context.steps {
            let count = to_count(counts[step], rows.len())?;
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
