//! Functions that change or sort by labels.

use super::QueryError;
use super::eval::{Context, text, vector};
use super::series::{Row, here, is_label_name, join_equal};
use crate::storage::anchored;
use promql_parser::parser::{Call, Expr};
use std::cmp::Ordering;

#[cfg(test)]
mod tests;

/// `label_replace(v, dst, replacement, src, regex)`.
pub(super) fn replace(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let arguments = &call.args.args;
    let (target, replacement) = (text(&arguments[1])?, text(&arguments[2])?);
    let (source, pattern) = (text(&arguments[3])?, text(&arguments[4])?);
    let regex = anchored(&pattern).map_err(|_| {
        QueryError::Execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })?;
    if !is_label_name(&target, context.dialect) {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_replace(): {target}"
        )));
    }
    let mut rows = vector(context, &arguments[0])?;
    for row in &mut rows {
        if let Some(found) = regex.captures(row.labels.get(&source).unwrap_or("")) {
            let mut value = String::new();
            found.expand(&replacement, &mut value);
            row.labels = row.labels.with(&target, &value);
        }
    }
    join_equal(rows)
}

/// `label_join(v, dst, separator, src…)`.
pub(super) fn join(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let arguments = &call.args.args;
    let (target, separator) = (text(&arguments[1])?, text(&arguments[2])?);
    let sources: Vec<_> = arguments[3..]
        .iter()
        .map(|source| text(source))
        .collect::<Result<_, _>>()?;
    if !is_label_name(&target, context.dialect) {
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_join(): {target}"
        )));
    }
    if let Some(wrong) = sources
        .iter()
        .find(|source| !is_label_name(source, context.dialect))
    {
        return Err(QueryError::Execution(format!(
            "invalid source label name in label_join(): {wrong}"
        )));
    }
    let mut rows = vector(context, &arguments[0])?;
    for row in &mut rows {
        let values: Vec<&str> = sources
            .iter()
            .map(|source| row.labels.get(source).unwrap_or(""))
            .collect();
        row.labels = row.labels.with(&target, &values.join(&separator));
    }
    join_equal(rows)
}

/// `sort` and `sort_desc`: only an instant answer has an order. NaN comes last.
pub(super) fn sort_by_value(
    context: &Context<'_>,
    call: &Call,
    descending: bool,
) -> Result<Vec<Row>, QueryError> {
    let mut rows = vector(context, &call.args.args[0])?;
    if context.steps == 1 {
        rows.retain(|row| here(row.values[0]));
        rows.sort_by(|a, b| {
            let (a, b) = (a.values[0], b.values[0]);
            a.is_nan().cmp(&b.is_nan()).then_with(|| {
                let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
                if descending { order.reverse() } else { order }
            })
        });
    }
    Ok(rows)
}

/// `sort_by_label` and `sort_by_label_desc`, digits by their number.
pub(super) fn sort_by_label(
    context: &Context<'_>,
    call: &Call,
    descending: bool,
) -> Result<Vec<Row>, QueryError> {
    let names: Vec<_> = call.args.args[1..]
        .iter()
        .map(|name| text(name))
        .collect::<Result<_, _>>()?;
    let mut rows = vector(context, &call.args.args[0])?;
    rows.sort_by(|a, b| {
        let by_names = names.iter().map(|name| {
            natural_order(
                a.labels.get(name).unwrap_or(""),
                b.labels.get(name).unwrap_or(""),
            )
        });
        let order = by_names
            .into_iter()
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(rows)
}

/// Compares texts piece by piece, pieces of digits as numbers: `node9` before `node10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some((left, left_rest)), Some((right, right_rest))) = (piece(a), piece(b)) else {
            return a.len().cmp(&b.len());
        };
        let digits = |text: &str| text.as_bytes()[0].is_ascii_digit();
        let order = if digits(left) && digits(right) {
            let (x, y) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            x.len()
                .cmp(&y.len())
                .then_with(|| x.cmp(y))
                .then_with(|| left.len().cmp(&right.len()))
        } else {
            left.cmp(right)
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (left_rest, right_rest);
    }
}

/// The first run of digits or of other characters.
fn piece(text: &str) -> Option<(&str, &str)> {
    let digit = text.bytes().next()?.is_ascii_digit();
    let end = text
        .bytes()
        .position(|byte| byte.is_ascii_digit() != digit)
        .unwrap_or(text.len());
    Some(text.split_at(end))
}

/// The labels of `absent(v)`: those that the selector fixes by equality, once each.
pub(super) fn absent_labels(expression: &Expr) -> crate::labels::Labels {
    let selector = match expression {
        Expr::VectorSelector(selector) => selector,
        Expr::MatrixSelector(matrix) => &matrix.vs,
        Expr::Paren(paren) => return absent_labels(&paren.expr),
        _ => return crate::labels::Labels::empty(),
    };
    let mut labels = crate::labels::LabelsBuilder::default();
    let mut seen = Vec::new();
    for matcher in &selector.matchers.matchers {
        if matcher.name == crate::labels::METRIC_NAME {
            continue;
        }
        let equal = matches!(matcher.op, promql_parser::label::MatchOp::Equal);
        if equal && !seen.contains(&&matcher.name) {
            labels.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            labels.remove(&matcher.name);
        }
    }
    labels.build()
}
