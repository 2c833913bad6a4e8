//! Functions of instant vectors and numbers, and the way to those that have a file of their own.

use super::dates::Date;
use super::eval::{Context, map_rows, scalar, vector};
use super::selector::{instant_rows, no_value};
use super::series::{Evaluated, Row, here, join_equal};
use super::{QueryError, histogram, info, label_calls, range_calls};
use crate::labels::Labels;
use promql_parser::parser::{Call, Expr};
use std::f64::consts::PI;

pub(super) fn evaluate(context: &Context<'_>, call: &Call) -> Result<Evaluated, QueryError> {
    let name = call.func.name;
    let arguments = &call.args.args;
    if range_calls::streams(call) {
        let mut rows = Vec::new();
        range_calls::each_row(context, call, &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        return Ok(Evaluated::Vector(rows));
    }
    if let Some(function) = of_one_number(name) {
        return Ok(Evaluated::Vector(join_equal(map_rows(
            vector(context, &arguments[0])?,
            |v, _| function(v),
        ))?));
    }
    if let Some(part) = of_date(name) {
        return Ok(Evaluated::Vector(dates(context, arguments, part)?));
    }
    let rows = match name {
        "time" | "pi" | "scalar" | "start" | "end" | "range" | "step" | "max_of" | "min_of" => {
            return Ok(Evaluated::Scalar(numbers(context, name, arguments)?));
        }
        "vector" => vec![Row {
            labels: Labels::empty(),
            values: scalar(context, &arguments[0])?,
        }],
        "absent" => {
            let rows = vector(context, &arguments[0])?;
            absent(context, &arguments[0], &rows)?
        }
        "absent_over_time" => {
            let mut rows = Vec::new();
            let mut present = |_: super::selector::Window<'_>| Some(1.0);
            super::selector::over_windows(context, &arguments[0], &mut present, &mut |row| {
                rows.push(row);
                Ok(())
            })?;
            absent(context, &arguments[0], &rows)?
        }
        "round" => {
            let to = if arguments.len() > 1 {
                scalar(context, &arguments[1])?
            } else {
                context.filled(1.0)?
            };
            let rows = vector(context, &arguments[0])?;
            join_equal(map_rows(rows, |value, step| {
                // Multiplying by the inverse is what Prometheus does; dividing would round differently.
                let inverse = 1.0 / to[step];
                (value * inverse + 0.5).floor() / inverse
            }))?
        }
        "clamp" => {
            let (low, high) = (
                scalar(context, &arguments[1])?,
                scalar(context, &arguments[2])?,
            );
            let rows = vector(context, &arguments[0])?;
            let clamp = |value, step: usize| {
                if low[step] > high[step] {
                    no_value()
                } else {
                    larger(low[step], smaller(high[step], value))
                }
            };
            join_equal(map_rows(rows, clamp))?
        }
        "clamp_min" => {
            let low = scalar(context, &arguments[1])?;
            join_equal(map_rows(vector(context, &arguments[0])?, |value, step| {
                larger(low[step], value)
            }))?
        }
        "clamp_max" => {
            let high = scalar(context, &arguments[1])?;
            join_equal(map_rows(vector(context, &arguments[0])?, |value, step| {
                smaller(high[step], value)
            }))?
        }
        "timestamp" => timestamps(context, &arguments[0])?,
        "sort" => label_calls::sort_by_value(context, call, false)?,
        "sort_desc" => label_calls::sort_by_value(context, call, true)?,
        "sort_by_label" => label_calls::sort_by_label(context, call, false)?,
        "sort_by_label_desc" => label_calls::sort_by_label(context, call, true)?,
        "label_replace" => label_calls::replace(context, call)?,
        "label_join" => label_calls::join(context, call)?,
        "histogram_quantile" => histogram::quantile_call(context, call)?,
        "histogram_quantiles" => histogram::quantiles_call(context, call)?,
        "histogram_fraction" => histogram::fraction_call(context, call)?,
        // These are about native histograms; floats are left out of their answers.
        "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev"
        | "histogram_stdvar" => {
            vector(context, &arguments[0])?;
            Vec::new()
        }
        "info" => info::evaluate(context, call)?,
        _ => {
            return Err(QueryError::Execution(format!(
                "function {name} is not supported by this store"
            )));
        }
    };
    Ok(Evaluated::Vector(rows))
}

fn of_one_number(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "deg" => |value| value * 180.0 / PI,
        "rad" => |value| value * PI / 180.0,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

fn of_date(name: &str) -> Option<fn(Date) -> f64> {
    Some(match name {
        "minute" => |date| f64::from(date.minute),
        "hour" => |date| f64::from(date.hour),
        "day_of_month" => |date| f64::from(date.day),
        "day_of_week" => |date| f64::from(date.weekday),
        "day_of_year" => |date| f64::from(date.day_of_year),
        "days_in_month" => |date| f64::from(date.days_in_month()),
        "month" => |date| f64::from(date.month),
        "year" => |date| date.year as f64,
        _ => return None,
    })
}

fn dates(
    context: &Context<'_>,
    arguments: &[Box<Expr>],
    part: fn(Date) -> f64,
) -> Result<Vec<Row>, QueryError> {
    let of_seconds = |seconds: f64| part(Date::from_seconds(seconds));
    match arguments.first() {
        Some(argument) => join_equal(map_rows(vector(context, argument)?, |value, _| {
            of_seconds(value)
        })),
        None => {
            let mut values = context.holes()?;
            for (step, value) in values.iter_mut().enumerate() {
                *value = of_seconds(context.time(step).div_euclid(1000) as f64);
            }
            Ok(vec![Row {
                labels: Labels::empty(),
                values,
            }])
        }
    }
}

fn numbers(
    context: &Context<'_>,
    name: &str,
    arguments: &[Box<Expr>],
) -> Result<Vec<f64>, QueryError> {
    let seconds = |milliseconds: i64| milliseconds as f64 / 1e3;
    match name {
        "pi" => context.filled(PI),
        "start" => context.filled(seconds(context.query_start)),
        "end" => context.filled(seconds(context.query_end)),
        "range" => context.filled(seconds(context.query_end - context.query_start)),
        "step" => context.filled(seconds(if context.query_start == context.query_end {
            0
        } else {
            context.query_step
        })),
        "time" => {
            let mut values = context.holes()?;
            values
                .iter_mut()
                .enumerate()
                .for_each(|(step, value)| *value = seconds(context.time(step)));
            Ok(values)
        }
        "max_of" | "min_of" => {
            let (left, right) = (
                scalar(context, &arguments[0])?,
                scalar(context, &arguments[1])?,
            );
            let choose = if name == "max_of" { larger } else { smaller };
            Ok(left
                .iter()
                .zip(&right)
                .map(|(left, right)| choose(*left, *right))
                .collect())
        }
        _ => {
            let rows = vector(context, &arguments[0])?;
            let mut values = context.filled(f64::NAN)?;
            for (step, value) in values.iter_mut().enumerate() {
                let mut present = rows
                    .iter()
                    .map(|row| row.values[step])
                    .filter(|value| here(*value));
                if let (Some(only), None) = (present.next(), present.next()) {
                    *value = only;
                }
            }
            Ok(values)
        }
    }
}

fn absent(context: &Context<'_>, argument: &Expr, rows: &[Row]) -> Result<Vec<Row>, QueryError> {
    let mut values = context.holes()?;
    for (step, value) in values.iter_mut().enumerate() {
        if !rows.iter().any(|row| here(row.values[step])) {
            *value = 1.0;
        }
    }
    join_equal(vec![Row {
        labels: label_calls::absent_labels(argument),
        values,
    }])
}

fn timestamps(context: &Context<'_>, argument: &Expr) -> Result<Vec<Row>, QueryError> {
    let mut inner = argument;
    while let Expr::Paren(paren) = inner {
        inner = &paren.expr;
    }
    if let Expr::VectorSelector(selector) = inner {
        let mut rows = Vec::new();
        instant_rows(context, selector, true, &mut |row| {
            rows.push(Row {
                labels: row.labels.without_name(),
                values: row.values,
            });
            Ok(())
        })?;
        return join_equal(rows);
    }
    join_equal(map_rows(vector(context, argument)?, |_, step| {
        context.time(step) as f64 / 1e3
    }))
}

/// Go's `math.Max`: infinity wins, then NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: minus infinity wins, then NaN.
fn smaller(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}
