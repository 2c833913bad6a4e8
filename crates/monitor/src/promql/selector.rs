//! Selectors: from stored samples to values at steps, and to the windows that range functions see.

use super::check::selector_matchers;
use super::eval::{Context, evaluate, wrong_type};
use super::series::{Evaluated, Row, here, hole};
use super::{QueryError, Series};
use crate::labels::{Labels, is_stale_nan};
use crate::storage::Selection;
use promql_parser::parser::{AtModifier, Expr, Offset, VectorSelector};
use std::time::{Duration, SystemTime};

/// A duration in ms. Larger than any time that is accepted would be of no use.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .min(i64::MAX / 4096)
}

fn offset_of(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => milliseconds(*duration),
        Some(Offset::Neg(duration)) => -milliseconds(*duration),
    }
}

fn at_of(context: &Context<'_>, at: Option<&AtModifier>) -> Option<i64> {
    Some(match at? {
        AtModifier::Start => context.query_start,
        AtModifier::End => context.query_end,
        AtModifier::At(time) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => milliseconds(after),
            Err(before) => -milliseconds(before.duration()),
        },
    })
}

/// Where a selector looks: `@` and `offset`.
pub(super) struct Shift {
    offset: i64,
    fixed: Option<i64>,
}

impl Shift {
    fn new(context: &Context<'_>, offset: Option<&Offset>, at: Option<&AtModifier>) -> Self {
        Self {
            offset: offset_of(offset),
            fixed: at_of(context, at),
        }
    }

    /// Whether it looks at the same time whatever the step.
    pub(super) fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// The time looked at for an evaluation at `time`.
    #[inline]
    fn apply(&self, time: i64) -> i64 {
        self.fixed.unwrap_or(time) - self.offset
    }

    fn bounds(&self, context: &Context<'_>) -> (i64, i64) {
        (self.apply(context.start), self.apply(context.end()))
    }
}

fn note_damage(context: &Context<'_>, selection: &Selection) {
    if selection.damaged() > 0 {
        context.budget.warn(format!(
            "{} stretches of stored data are damaged and left out",
            selection.damaged()
        ));
    }
}

/// The newest sample within the look-back at each step; with `times` its time in seconds instead of its value.
pub(super) fn instant_rows(
    context: &Context<'_>,
    selector: &VectorSelector,
    times: bool,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let shift = Shift::new(context, selector.offset.as_ref(), selector.at.as_ref());
    let (low, high) = shift.bounds(context);
    let matchers = selector_matchers(selector)?;
    let mut selection = context
        .store
        .select(&matchers, low.saturating_sub(context.lookback), high);
    while let Some(series) = selection.next_series() {
        context.budget.read(series.times.len())?;
        let mut values = context.holes()?;
        let mut next = 0;
        let mut any = false;
        for (step, slot) in values.iter_mut().enumerate() {
            let time = shift.apply(context.time(step));
            while next < series.times.len() && series.times[next] <= time {
                next += 1;
            }
            if next == 0 || is_stale_nan(series.values[next - 1]) {
                continue;
            }
            let age = time - series.times[next - 1];
            if age < context.lookback || (age == context.lookback && !context.left_open()) {
                *slot = if times {
                    series.times[next - 1] as f64 / 1e3
                } else {
                    series.values[next - 1]
                };
                any = true;
            }
        }
        if any {
            take(Row {
                labels: series.labels.clone(),
                values,
            })?;
        } else {
            context.budget.give_back(values.len());
        }
    }
    note_damage(context, &selection);
    Ok(())
}

/// What a range function sees of one series at one step.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    /// Times, ms; at least one.
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    /// Index of the first of them within the series, for functions that prepared something per series.
    pub(super) first: usize,
    /// The time of the evaluation, and the borders of the window.
    pub(super) at: i64,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) step: usize,
}

/// A function over windows. It is told of each series before its windows come.
pub(super) trait OverWindow {
    fn begin(&mut self, _labels: &Labels, _times: &[i64], _values: &[f64]) {}
    fn value(&mut self, window: Window<'_>) -> Option<f64>;
    /// Whether the value depends on the step by more than the window.
    fn depends_on_step(&self) -> bool {
        false
    }
}

impl<F: FnMut(Window<'_>) -> Option<f64>> OverWindow for F {
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        self(window)
    }
}

/// Evaluates a range-vector argument and calls the function for each window of each series; `take` gets the rows, still
/// with their names.
pub(super) fn over_windows(
    context: &Context<'_>,
    argument: &Expr,
    function: &mut dyn OverWindow,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    each_series(
        context,
        argument,
        &mut |labels, times, samples, shift, range| {
            function.begin(labels, times, samples);
            let mut values = context.holes()?;
            let (mut first, mut last) = (0, 0);
            let mut any = false;
            let once = shift.is_fixed() && !function.depends_on_step();
            for step in 0..context.steps {
                let at = context.time(step);
                let to = shift.apply(at);
                let from = to - range;
                while last < times.len() && times[last] <= to {
                    last += 1;
                }
                while first < last
                    && (times[first] < from || (times[first] == from && context.left_open()))
                {
                    first += 1;
                }
                if first < last {
                    let (times, samples) = (&times[first..last], &samples[first..last]);
                    if let Some(value) = function.value(Window {
                        times,
                        values: samples,
                        first,
                        at,
                        from,
                        to,
                        step,
                    }) {
                        values[step] = value;
                        any = true;
                    }
                }
                if once {
                    let value = values[0];
                    values.fill(value);
                    break;
                }
                if step % 4096 == 4095 {
                    context.budget.check()?;
                }
            }
            if any {
                take(Row {
                    labels: labels.clone(),
                    values,
                })
            } else {
                context.budget.give_back(values.len());
                Ok(())
            }
        },
    )
}

type TakeSeries<'f> =
    dyn FnMut(&Labels, &[i64], &[f64], &Shift, i64) -> Result<(), QueryError> + 'f;

/// Gives each series of a range-vector argument with the samples that its windows need, staleness markers removed.
fn each_series(
    context: &Context<'_>,
    argument: &Expr,
    take: &mut TakeSeries<'_>,
) -> Result<(), QueryError> {
    match argument {
        Expr::Paren(paren) => each_series(context, &paren.expr, take),
        Expr::MatrixSelector(matrix) => {
            let selector = &matrix.vs;
            let shift = Shift::new(context, selector.offset.as_ref(), selector.at.as_ref());
            let range = milliseconds(matrix.range);
            let (low, high) = shift.bounds(context);
            let matchers = selector_matchers(selector)?;
            let mut selection = context
                .store
                .select(&matchers, low.saturating_sub(range), high);
            let (mut live_times, mut live_values) = (Vec::new(), Vec::new());
            while let Some(series) = selection.next_series() {
                context.budget.read(series.times.len())?;
                if !series.values.iter().any(|value| is_stale_nan(*value)) {
                    take(series.labels, series.times, series.values, &shift, range)?;
                    continue;
                }
                live_times.clear();
                live_values.clear();
                for (time, value) in series.times.iter().zip(series.values) {
                    if !is_stale_nan(*value) {
                        live_times.push(*time);
                        live_values.push(*value);
                    }
                }
                if !live_times.is_empty() {
                    take(series.labels, &live_times, &live_values, &shift, range)?;
                }
            }
            note_damage(context, &selection);
            Ok(())
        }
        Expr::Subquery(subquery) => {
            let shift = Shift::new(context, subquery.offset.as_ref(), subquery.at.as_ref());
            let range = milliseconds(subquery.range);
            let step = subquery
                .step
                .map(milliseconds)
                .filter(|step| *step > 0)
                .unwrap_or(context.subquery_step);
            let (low, high) = shift.bounds(context);
            let from = low - range;
            // The steps of a subquery are aligned to its own step, not to the query's.
            let mut first = step * (from / step);
            if first < from || (first == from && context.left_open()) {
                first += step;
            }
            if first > high {
                return Ok(());
            }
            let inner = Context {
                start: first,
                step,
                steps: ((high - first) / step + 1) as usize,
                ..*context
            };
            let rows = match evaluate(&inner, &subquery.expr)? {
                Evaluated::Vector(rows) => rows,
                Evaluated::Scalar(values) => vec![Row {
                    labels: Labels::empty(),
                    values,
                }],
                Evaluated::Text(_) => return Err(wrong_type("an instant vector", "a string")),
            };
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for row in rows {
                times.clear();
                values.clear();
                for (step, value) in row
                    .values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| here(**value))
                {
                    times.push(inner.time(step));
                    values.push(*value);
                }
                context.budget.give_back(row.values.len());
                if !times.is_empty() {
                    take(&row.labels, &times, &values, &shift, range)?;
                }
            }
            Ok(())
        }
        _ => Err(wrong_type(
            "a range vector",
            super::eval::type_name(argument.value_type()),
        )),
    }
}

/// The samples of a range vector as they are, for an instant query that asks for a range.
pub(super) fn raw_series(
    context: &Context<'_>,
    expression: &Expr,
) -> Result<Vec<Series>, QueryError> {
    let mut all = Vec::new();
    each_series(
        context,
        expression,
        &mut |labels, times, values, shift, range| {
            let to = shift.apply(context.start);
            let from = to - range;
            let inside =
                |time: i64| time <= to && (time > from || (time == from && !context.left_open()));
            let points: Vec<_> = times
                .iter()
                .copied()
                .zip(values.iter().copied())
                .filter(|(time, _)| inside(*time))
                .collect();
            context.budget.take(points.len())?;
            if !points.is_empty() {
                all.push(Series {
                    labels: labels.clone(),
                    points,
                });
            }
            Ok(())
        },
    )?;
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(all)
}

/// Marks a step as having no value.
pub(super) fn no_value() -> f64 {
    hole()
}
