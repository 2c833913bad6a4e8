//! Binary operators: arithmetic, comparison, and sets; between numbers, vectors, and both.

use super::eval::{Context, evaluate as evaluate_node, type_name, wrong_type};
use super::matching::{Groups, Matching};
use super::series::{Evaluated, Row, here, hole, join_equal};
use super::{Dialect, QueryError};
use crate::labels::Labels;
use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD,
    T_MUL, T_NEQ, T_POW, T_SUB, TokenId,
};
use promql_parser::parser::{BinModifier, BinaryExpr, VectorMatchCardinality};
use std::collections::HashMap;

fn is_comparison(operator: TokenId) -> bool {
    matches!(operator, T_EQLC | T_NEQ | T_GTR | T_LSS | T_GTE | T_LTE)
}

/// The value of an operation, and for comparisons whether it holds.
fn apply(operator: TokenId, left: f64, right: f64) -> (f64, bool) {
    match operator {
        T_ADD => (left + right, true),
        T_SUB => (left - right, true),
        T_MUL => (left * right, true),
        T_DIV => (left / right, true),
        T_MOD => (left % right, true),
        T_POW => (left.powf(right), true),
        T_ATAN2 => (left.atan2(right), true),
        T_EQLC => (left, left == right),
        T_NEQ => (left, left != right),
        T_GTR => (left, left > right),
        T_LSS => (left, left < right),
        T_GTE => (left, left >= right),
        T_LTE => (left, left <= right),
        _ => (f64::NAN, false),
    }
}

/// One operation with its modifiers.
struct Operation<'a> {
    operator: TokenId,
    modifier: Option<&'a BinModifier>,
    /// A comparison that answers 0 or 1 instead of filtering.
    as_bool: bool,
    drops_name: bool,
}

impl Operation<'_> {
    /// The result for two values, or `None` where a comparison filters it out.
    #[inline]
    fn value(&self, left: f64, right: f64) -> Option<f64> {
        let (value, holds) = apply(self.operator, left, right);
        if self.as_bool {
            Some(f64::from(u8::from(holds)))
        } else {
            holds.then_some(value)
        }
    }

    fn labels(&self, labels: &Labels) -> Labels {
        if self.drops_name {
            labels.without_name()
        } else {
            labels.clone()
        }
    }
}

pub(super) fn evaluate(
    context: &Context<'_>,
    binary: &BinaryExpr,
) -> Result<Evaluated, QueryError> {
    let operator = binary.op.id();
    let modifier = binary.modifier.as_ref();
    let as_bool = modifier.is_some_and(|modifier| modifier.return_bool);
    let keeps =
        is_comparison(operator) || (operator == T_ATAN2 && context.dialect == Dialect::Prometheus2);
    let operation = Operation {
        operator,
        modifier,
        as_bool,
        drops_name: !keeps || as_bool,
    };
    let left = evaluate_node(context, &binary.lhs)?;
    let right = evaluate_node(context, &binary.rhs)?;
    match (left, right) {
        (Evaluated::Scalar(left), Evaluated::Scalar(right)) => {
            let values = left.iter().zip(&right).map(|(left, right)| {
                let (value, holds) = apply(operator, *left, *right);
                if is_comparison(operator) {
                    f64::from(u8::from(holds))
                } else {
                    value
                }
            });
            Ok(Evaluated::Scalar(values.collect()))
        }
        (Evaluated::Vector(rows), Evaluated::Scalar(numbers)) => {
            one_sided(&operation, rows, |value, step| {
                operation.value(value, numbers[step])
            })
        }
        (Evaluated::Scalar(numbers), Evaluated::Vector(rows)) => {
            one_sided(&operation, rows, |value, step| {
                let result = operation.value(numbers[step], value)?;
                // A filter keeps the vector's value, on whichever side it is.
                Some(if is_comparison(operator) && !as_bool {
                    value
                } else {
                    result
                })
            })
        }
        (Evaluated::Vector(left), Evaluated::Vector(right)) => {
            let rows = if matches!(operator, T_LAND | T_LOR | T_LUNLESS) {
                sets(context, &operation, left, right)?
            } else {
                pairs(context, &operation, left, right)?
            };
            Ok(Evaluated::Vector(rows))
        }
        _ => Err(wrong_type(
            "only scalar and instant vector types in a binary expression",
            type_name(promql_parser::parser::value::ValueType::String),
        )),
    }
}

fn one_sided(
    operation: &Operation<'_>,
    mut rows: Vec<Row>,
    value: impl Fn(f64, usize) -> Option<f64>,
) -> Result<Evaluated, QueryError> {
    for row in &mut rows {
        for (step, slot) in row.values.iter_mut().enumerate() {
            if here(*slot) {
                *slot = value(*slot, step).unwrap_or_else(hole);
            }
        }
        row.labels = operation.labels(&row.labels);
    }
    if operation.drops_name {
        return Ok(Evaluated::Vector(join_equal(rows)?));
    }
    rows.retain(|row| !row.is_empty());
    Ok(Evaluated::Vector(rows))
}

fn matching<'a>(operation: &Operation<'a>) -> Matching<'a> {
    Matching::new(
        operation
            .modifier
            .and_then(|modifier| modifier.matching.as_ref()),
    )
}

/// `and`, `or`, `unless`: at each step a match group is there on the other side or not.
fn sets(
    context: &Context<'_>,
    operation: &Operation<'_>,
    left: Vec<Row>,
    right: Vec<Row>,
) -> Result<Vec<Row>, QueryError> {
    let groups = Groups::new(matching(operation), &left, &right);
    let is_or = operation.operator == T_LOR;
    let (deciding, deciding_groups) = if is_or {
        (&left, &groups.left)
    } else {
        (&right, &groups.right)
    };
    context
        .budget
        .take(groups.len().saturating_mul(context.steps) / 8)?;
    let mut present = vec![false; groups.len() * context.steps];
    for (row, group) in deciding.iter().zip(deciding_groups) {
        for (step, value) in row.values.iter().enumerate() {
            present[group * context.steps + step] |= here(*value);
        }
    }
    let wanted = operation.operator == T_LAND;
    let filter = |rows: Vec<Row>, numbers: &[usize]| -> Vec<Row> {
        let filtered = rows.into_iter().zip(numbers).map(|(mut row, group)| {
            for (step, value) in row.values.iter_mut().enumerate() {
                if present[group * context.steps + step] != wanted {
                    *value = hole();
                }
            }
            row
        });
        filtered.filter(|row| !row.is_empty()).collect()
    };
    if is_or {
        let added = filter(right, &groups.right);
        let mut all = left;
        all.extend(added);
        join_equal(all)
    } else {
        Ok(filter(left, &groups.left))
    }
}

fn many_to_many(group: &Labels, side: &str, first: &Labels, second: &Labels) -> QueryError {
    QueryError::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{second}, {first}];\
         many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}

/// Arithmetic and comparison between two vectors.
fn pairs(
    context: &Context<'_>,
    operation: &Operation<'_>,
    left: Vec<Row>,
    right: Vec<Row>,
) -> Result<Vec<Row>, QueryError> {
    let matching = matching(operation);
    let groups = Groups::new(matching, &left, &right);
    let card = operation
        .modifier
        .map_or(&VectorMatchCardinality::OneToOne, |modifier| &modifier.card);
    let swapped = matches!(card, VectorMatchCardinality::OneToMany(_));
    let one_to_one = matches!(
        card,
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany
    );
    let include: &[String] = card.labels().map_or(&[], |labels| &labels.labels);
    let (many, many_groups, one, one_groups) = if swapped {
        (&right, &groups.right, &left, &groups.left)
    } else {
        (&left, &groups.left, &right, &groups.right)
    };
    let mut one_rows: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
    for (at, group) in one_groups.iter().enumerate() {
        one_rows[*group].push(at);
    }
    let side = if swapped { "left" } else { "right" };
    refuse_duplicates(context, &groups, many, one, &one_rows, side)?;
    let fill = operation
        .modifier
        .map(|modifier| modifier.fill_values.clone())
        .unwrap_or_default();
    let (fill_many, fill_one) = if swapped {
        (fill.rhs, fill.lhs)
    } else {
        (fill.lhs, fill.rhs)
    };
    let mut out = Output {
        context,
        rows: Vec::new(),
        known: HashMap::new(),
    };
    // One-to-one: at each step a group may be used once. Many-to-one: the group may be filled where nobody used it.
    let mut used = vec![false; groups.len() * context.steps];
    let compute = |many: f64, one: f64| {
        if swapped {
            operation.value(one, many)
        } else {
            operation.value(many, one)
        }
    };
    let result_labels = |many: &Labels, one: Option<&Labels>| {
        let mut labels = operation.labels(many);
        if one_to_one {
            labels = matching.of_result(&labels);
        }
        for name in include {
            labels = labels.with(name, one.and_then(|one| one.get(name)).unwrap_or(""));
        }
        labels
    };
    for (row, group) in many.iter().zip(many_groups) {
        context.budget.check()?;
        let mut matched = fill_one.map(|_| vec![false; context.steps]);
        for &at in &one_rows[*group] {
            let other = &one[at];
            let labels = result_labels(&row.labels, Some(&other.labels));
            let mut at = None;
            for step in 0..context.steps {
                let (a, b) = (row.values[step], other.values[step]);
                if !here(a) || !here(b) {
                    continue;
                }
                if let Some(matched) = &mut matched {
                    matched[step] = true;
                }
                let place = group * context.steps + step;
                let Some(value) = compute(a, b) else {
                    used[place] |= fill_many.is_some();
                    continue;
                };
                if one_to_one && used[place] {
                    return Err(QueryError::Execution(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                            .to_owned(),
                    ));
                }
                used[place] = true;
                out.put(&mut at, &labels, step, value)?;
            }
        }
        if let (Some(fill), Some(matched)) = (fill_one, matched) {
            let labels = result_labels(&row.labels, None);
            let mut at = None;
            for (step, matched) in matched.into_iter().enumerate() {
                if here(row.values[step])
                    && !matched
                    && let Some(value) = compute(row.values[step], fill)
                {
                    out.put(&mut at, &labels, step, value)?;
                }
            }
        }
    }
    if let Some(fill) = fill_many {
        let mut present = vec![false; groups.len() * context.steps];
        for (row, group) in many.iter().zip(many_groups) {
            for (step, value) in row.values.iter().enumerate() {
                present[group * context.steps + step] |= here(*value);
            }
        }
        for (row, group) in one.iter().zip(one_groups) {
            // The missing side has just the labels of its match group.
            let labels = result_labels(&groups.signatures[*group], Some(&row.labels));
            let mut at = None;
            for (step, &value) in row.values.iter().enumerate() {
                if here(value)
                    && !present[group * context.steps + step]
                    && let Some(value) = compute(fill, value)
                {
                    out.put(&mut at, &labels, step, value)?;
                }
            }
        }
    }
    join_equal(out.rows)
}

/// An error where two series of the "one" side are in one group at a step at which the other side has anything.
fn refuse_duplicates(
    context: &Context<'_>,
    groups: &Groups,
    many: &[Row],
    one: &[Row],
    one_rows: &[Vec<usize>],
    side: &str,
) -> Result<(), QueryError> {
    if one_rows.iter().all(|rows| rows.len() < 2) {
        return Ok(());
    }
    let any: Vec<bool> = (0..context.steps)
        .map(|step| many.iter().any(|row| here(row.values[step])))
        .collect();
    for (group, rows) in one_rows
        .iter()
        .enumerate()
        .filter(|(_, rows)| rows.len() > 1)
    {
        for step in (0..context.steps).filter(|step| any[*step]) {
            let mut present = rows.iter().filter(|at| here(one[**at].values[step]));
            if let (Some(first), Some(second)) = (present.next(), present.next()) {
                let signature = &groups.signatures[group];
                return Err(many_to_many(
                    signature,
                    side,
                    &one[*first].labels,
                    &one[*second].labels,
                ));
            }
        }
    }
    Ok(())
}

/// Results by labels.
struct Output<'a> {
    context: &'a Context<'a>,
    rows: Vec<Row>,
    known: HashMap<Labels, usize>,
}

impl Output<'_> {
    /// Sets a value; `row` remembers the row of the labels between calls.
    fn put(
        &mut self,
        row: &mut Option<usize>,
        labels: &Labels,
        step: usize,
        value: f64,
    ) -> Result<(), QueryError> {
        let at = match row.or_else(|| self.known.get(labels).copied()) {
            Some(at) => at,
            None => {
                self.rows.push(Row {
                    labels: labels.clone(),
                    values: self.context.holes()?,
                });
                self.known.insert(labels.clone(), self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        *row = Some(at);
        let slot = &mut self.rows[at].values[step];
        if here(*slot) {
            return Err(QueryError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches"
                    .to_owned(),
            ));
        }
        *slot = value;
        Ok(())
    }
}
