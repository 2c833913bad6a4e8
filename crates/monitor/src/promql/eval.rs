//! The walk over an expression: each node for all steps at once, streaming where that saves memory.

use super::budget::Budget;
use super::check::ParseError;
use super::selector::{instant_rows, raw_series};
use super::series::{Evaluated, Row, here, join_equal};
use super::{Answer, Cancellation, Dialect, Engine, QueryError, Series, Value};
use super::{aggregate, binary, calls};
use crate::labels::Labels;
use crate::storage::Store;
use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;
use std::borrow::Cow;

/// Most steps that one evaluation may have; the HTTP API has a lower limit of its own.
const MAX_STEPS: i64 = 10_000_000;

/// The times that a node is evaluated at, and all that it may use.
pub(super) struct Context<'a> {
    pub(super) store: &'a Store,
    pub(super) budget: &'a Budget<'a>,
    pub(super) dialect: Dialect,
    pub(super) lookback: i64,
    pub(super) subquery_step: i64,
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) steps: usize,
    /// The whole query's times, for `@ start()` and `@ end()`.
    pub(super) query_start: i64,
    pub(super) query_end: i64,
    pub(super) query_step: i64,
}

impl Context<'_> {
    /// The time of a step, ms.
    #[inline]
    pub(super) fn time(&self, step: usize) -> i64 {
        self.start + step as i64 * self.step
    }

    /// The time of the last step, ms.
    pub(super) fn end(&self) -> i64 {
        self.time(self.steps - 1)
    }

    pub(super) fn left_open(&self) -> bool {
        self.dialect == Dialect::Prometheus3
    }

    /// Room for one value a step, all holes.
    pub(super) fn holes(&self) -> Result<Vec<f64>, QueryError> {
        self.filled(super::series::hole())
    }

    /// Room for one value a step, all the same.
    pub(super) fn filled(&self, value: f64) -> Result<Vec<f64>, QueryError> {
        self.budget.take(self.steps)?;
        Ok(vec![value; self.steps])
    }
}

fn context<'a>(
    engine: &Engine,
    store: &'a Store,
    budget: &'a Budget<'a>,
    (start, end, step): (i64, i64, i64),
) -> Result<Context<'a>, QueryError> {
    let steps = if start == end {
        1
    } else {
        end.saturating_sub(start) / step + 1
    };
    if steps > MAX_STEPS {
        return Err(QueryError::Execution(format!(
            "{steps} steps are more than {MAX_STEPS}"
        )));
    }
    Ok(Context {
        store,
        budget,
        dialect: engine.dialect,
        lookback: engine.lookback.as_millis() as i64,
        subquery_step: (engine.subquery_step.as_millis() as i64).max(1),
        start,
        step,
        steps: steps as usize,
        query_start: start,
        query_end: end,
        query_step: step,
    })
}

/// Times beyond this (the year 285 million) are refused, so that no sum of times overflows.
const LARGEST_TIME: i64 = i64::MAX / 1024;

fn check_time(time: i64) -> Result<(), QueryError> {
    if time.unsigned_abs() > LARGEST_TIME as u64 {
        return Err(QueryError::Execution(format!(
            "time {time} is out of range"
        )));
    }
    Ok(())
}

pub(super) fn instant(
    engine: &Engine,
    store: &Store,
    expression: &Expr,
    time: i64,
    cancellation: &Cancellation,
) -> Result<Answer, QueryError> {
    check_time(time)?;
    let budget = Budget::new(&engine.limits, cancellation);
    let context = context(engine, store, &budget, (time, time, 1))?;
    let value = if expression.value_type() == ValueType::Matrix {
        Value::Matrix(raw_series(&context, expression)?)
    } else {
        match evaluate(&context, expression)? {
            Evaluated::Scalar(values) => Value::Scalar(time, values[0]),
            Evaluated::Text(text) => Value::Text(time, text),
            Evaluated::Vector(rows) => Value::Vector(
                rows.into_iter()
                    .filter(|row| here(row.values[0]))
                    .map(|row| Series {
                        labels: row.labels,
                        points: vec![(time, row.values[0])],
                    })
                    .collect(),
            ),
        }
    };
    let samples = budget.samples();
    let (warnings, infos) = budget.remarks();
    Ok(Answer {
        value,
        warnings,
        infos,
        samples,
    })
}

pub(super) fn range(
    engine: &Engine,
    store: &Store,
    expression: &Expr,
    (start, end, step): (i64, i64, i64),
    cancellation: &Cancellation,
) -> Result<Answer, QueryError> {
    check_time(start)?;
    check_time(end)?;
    if end < start {
        return Err(QueryError::Execution(
            "end timestamp must not be before start time".to_owned(),
        ));
    }
    if step <= 0 {
        return Err(QueryError::Execution(
            "zero or negative query resolution step widths are not accepted".to_owned(),
        ));
    }
    let kind = expression.value_type();
    if kind != ValueType::Scalar && kind != ValueType::Vector {
        return Err(QueryError::Parse(ParseError::new(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            type_name(kind)
        ))));
    }
    let budget = Budget::new(&engine.limits, cancellation);
    let context = context(engine, store, &budget, (start, end, step))?;
    let rows = match evaluate(&context, expression)? {
        Evaluated::Scalar(values) => vec![Row {
            labels: Labels::empty(),
            values,
        }],
        Evaluated::Vector(rows) => rows,
        Evaluated::Text(_) => return Err(wrong_type("a number or vector", "a text")),
    };
    let mut matrix: Vec<Series> = rows
        .into_iter()
        .map(|row| {
            let points = row
                .values
                .iter()
                .enumerate()
                .filter(|(_, value)| here(**value));
            Series {
                points: points
                    .map(|(step, value)| (context.time(step), *value))
                    .collect(),
                labels: row.labels,
            }
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    let samples = budget.samples();
    let (warnings, infos) = budget.remarks();
    Ok(Answer {
        value: Value::Matrix(matrix),
        warnings,
        infos,
        samples,
    })
}

/// A type's name in messages.
pub(super) fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Vector => "instant vector",
        ValueType::Scalar => "scalar",
        ValueType::Matrix => "range vector",
        ValueType::String => "string",
    }
}

pub(super) fn wrong_type(expected: &str, got: &str) -> QueryError {
    QueryError::Execution(format!("expected {expected}, got {got}"))
}

/// Evaluates a node at every step of the context.
pub(super) fn evaluate(context: &Context<'_>, expression: &Expr) -> Result<Evaluated, QueryError> {
    context.budget.check()?;
    Ok(match expression {
        Expr::NumberLiteral(number) => Evaluated::Scalar(context.filled(number.val)?),
        Expr::StringLiteral(text) => Evaluated::Text(text.val.clone()),
        Expr::Paren(paren) => evaluate(context, &paren.expr)?,
        Expr::Unary(unary) => match evaluate(context, &unary.expr)? {
            Evaluated::Scalar(values) => {
                Evaluated::Scalar(values.into_iter().map(|value| -value).collect())
            }
            Evaluated::Vector(rows) => {
                Evaluated::Vector(join_equal(map_rows(rows, |value, _| -value))?)
            }
            Evaluated::Text(_) => return Err(wrong_type("a number or vector", "a text")),
        },
        Expr::VectorSelector(selector) => {
            let mut rows = Vec::new();
            instant_rows(context, selector, false, &mut |row| {
                rows.push(row);
                Ok(())
            })?;
            Evaluated::Vector(rows)
        }
        Expr::Aggregate(aggregate) => Evaluated::Vector(aggregate::evaluate(context, aggregate)?),
        Expr::Binary(binary) => binary::evaluate(context, binary)?,
        Expr::Call(call) => calls::evaluate(context, call)?,
        Expr::MatrixSelector(_) | Expr::Subquery(_) => {
            return Err(wrong_type("an instant vector", "a range vector"));
        }
        Expr::Extension(_) => return Err(wrong_type("a PromQL expression", "an extension")),
    })
}

/// Applies a function to every value and drops the names.
pub(super) fn map_rows(rows: Vec<Row>, apply: impl Fn(f64, usize) -> f64) -> Vec<Row> {
    rows.into_iter()
        .map(|mut row| {
            for (step, value) in row.values.iter_mut().enumerate() {
                if here(*value) {
                    *value = apply(*value, step);
                }
            }
            Row {
                labels: row.labels.without_name(),
                values: row.values,
            }
        })
        .collect()
}

/// Gives the rows of an instant vector one by one to `take`; selectors and range functions over them are not collected
/// for it.
pub(super) fn each_row(
    context: &Context<'_>,
    expression: &Expr,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    match expression {
        Expr::Paren(paren) => each_row(context, &paren.expr, take),
        Expr::VectorSelector(selector) => instant_rows(context, selector, false, take),
        Expr::Call(call) if super::range_calls::streams(call) => {
            super::range_calls::each_row(context, call, take)
        }
        _ => vector(context, expression)?.into_iter().try_for_each(take),
    }
}

/// Evaluates a node that has to be an instant vector.
pub(super) fn vector(context: &Context<'_>, expression: &Expr) -> Result<Vec<Row>, QueryError> {
    match evaluate(context, expression)? {
        Evaluated::Vector(rows) => Ok(rows),
        _ => Err(wrong_type(
            "an instant vector",
            type_name(expression.value_type()),
        )),
    }
}

/// Evaluates a node that has to be a number at each step.
pub(super) fn scalar(context: &Context<'_>, expression: &Expr) -> Result<Vec<f64>, QueryError> {
    match evaluate(context, expression)? {
        Evaluated::Scalar(values) => Ok(values),
        _ => Err(wrong_type("a scalar", type_name(expression.value_type()))),
    }
}

/// Evaluates a node that has to be a text.
pub(super) fn text(expression: &Expr) -> Result<Cow<'_, str>, QueryError> {
    match expression {
        Expr::StringLiteral(text) => Ok(Cow::Borrowed(&text.val)),
        Expr::Paren(paren) => text(&paren.expr),
        _ => Err(wrong_type("a string", type_name(expression.value_type()))),
    }
}
