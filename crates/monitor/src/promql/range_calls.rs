//! Functions of range vectors: which arithmetic of `over_time` a name stands for.

use super::QueryError;
use super::eval::{Context, scalar};
use super::over_time::{
    Extrapolated, changes, check_factor, largest, last_two, mean, median_deviation, regression,
    resets, smallest, smoothed, time_of, variance_in,
};
use super::selector::{OverWindow, Window, over_windows};
use super::series::{Row, same_labels};
use super::sum::{quantile, sum};
use crate::labels::Labels;
use promql_parser::parser::{Call, Expr};
use std::collections::HashSet;

/// Whether a call is a range function, whose rows can be given one by one.
pub(super) fn streams(call: &Call) -> bool {
    matches!(
        call.func.name,
        "rate"
            | "increase"
            | "delta"
            | "irate"
            | "idelta"
            | "deriv"
            | "predict_linear"
            | "double_exponential_smoothing"
            | "changes"
            | "resets"
            | "sum_over_time"
            | "avg_over_time"
            | "min_over_time"
            | "max_over_time"
            | "count_over_time"
            | "present_over_time"
            | "stddev_over_time"
            | "stdvar_over_time"
            | "last_over_time"
            | "first_over_time"
            | "quantile_over_time"
            | "mad_over_time"
            | "ts_of_first_over_time"
            | "ts_of_last_over_time"
            | "ts_of_max_over_time"
            | "ts_of_min_over_time"
    )
}

/// Evaluates a range function for which [`streams`] holds.
pub(super) fn each_row(
    context: &Context<'_>,
    call: &Call,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let arguments = &call.args.args;
    let range = &arguments[0];
    let dialect = context.dialect;
    match call.func.name {
        "rate" | "increase" | "delta" => {
            let name = call.func.name;
            let counter = name != "delta";
            let rate = Extrapolated {
                counter,
                per_second: name == "rate",
                dialect,
                resets: Vec::new(),
            };
            if counter {
                run(
                    context,
                    range,
                    &mut NamedCounter { context, rate },
                    false,
                    take,
                )
            } else {
                let mut rate = rate;
                run(context, range, &mut rate, false, take)
            }
        }
        "irate" => plain(context, range, take, |w| last_two(w, true)),
        "idelta" => plain(context, range, take, |w| last_two(w, false)),
        "deriv" => plain(context, range, take, |w| {
            (w.values.len() > 1).then(|| regression(w.times, w.values, w.times[0]).0)
        }),
        "predict_linear" => {
            let ahead = scalar(context, &arguments[1])?;
            run(context, range, &mut Predict { ahead }, false, take)
        }
        "double_exponential_smoothing" => {
            let (smoothing, trend) = (
                scalar(context, &arguments[1])?,
                scalar(context, &arguments[2])?,
            );
            let mut function = Smooth {
                smoothing,
                trend,
                wrong: None,
            };
            let outcome = run(context, range, &mut function, false, take);
            function.wrong.map_or(outcome, Err)
        }
        "changes" => plain(context, range, take, |w| Some(changes(w.values))),
        "resets" => plain(context, range, take, |w| Some(resets(w.values))),
        "sum_over_time" => plain(context, range, take, |w| {
            Some(sum(w.values.iter().copied()))
        }),
        "avg_over_time" => plain(context, range, take, |w| Some(mean(w.values))),
        "min_over_time" => plain(context, range, take, |w| Some(smallest(w.values))),
        "max_over_time" => plain(context, range, take, |w| Some(largest(w.values))),
        "count_over_time" => plain(context, range, take, |w| Some(w.values.len() as f64)),
        "present_over_time" => plain(context, range, take, |_| Some(1.0)),
        "stddev_over_time" => plain(context, range, take, |w| {
            Some(variance_in(dialect, w.values).sqrt())
        }),
        "stdvar_over_time" => plain(context, range, take, |w| {
            Some(variance_in(dialect, w.values))
        }),
        "ts_of_first_over_time" => plain(context, range, take, |w| Some(w.times[0] as f64 / 1e3)),
        "ts_of_last_over_time" => plain(context, range, take, |w| {
            Some(w.times[w.times.len() - 1] as f64 / 1e3)
        }),
        "ts_of_max_over_time" => plain(context, range, take, |w| {
            Some(time_of(w.times, w.values, |a, b| a > b))
        }),
        "ts_of_min_over_time" => plain(context, range, take, |w| {
            Some(time_of(w.times, w.values, |a, b| a < b))
        }),
        "mad_over_time" => {
            let mut scratch = Vec::new();
            plain(context, range, take, |w| {
                Some(median_deviation(w.values, &mut scratch))
            })
        }
        "first_over_time" => run(
            context,
            range,
            &mut |w: Window<'_>| Some(w.values[0]),
            true,
            take,
        ),
        "last_over_time" => run(
            context,
            range,
            &mut |w: Window<'_>| Some(w.values[w.values.len() - 1]),
            true,
            take,
        ),
        "quantile_over_time" => {
            let quantiles = scalar(context, &arguments[0])?;
            warn_of_quantiles(context, &quantiles);
            run(
                context,
                &arguments[1],
                &mut Quantile {
                    quantiles,
                    scratch: Vec::new(),
                },
                false,
                take,
            )
        }
        name => Err(QueryError::Execution(format!(
            "{name} is not a range function"
        ))),
    }
}

/// Warns of quantiles that are not between zero and one.
pub(super) fn warn_of_quantiles(context: &Context<'_>, quantiles: &[f64]) {
    if let Some(wrong) = quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        context.budget.warn(format!(
            "quantile value should be between 0 and 1, got {}",
            super::format_value(*wrong)
        ));
    }
}

fn plain(
    context: &Context<'_>,
    range: &Expr,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
    mut function: impl FnMut(Window<'_>) -> Option<f64>,
) -> Result<(), QueryError> {
    run(context, range, &mut function, false, take)
}

fn run(
    context: &Context<'_>,
    range: &Expr,
    function: &mut dyn OverWindow,
    keep_name: bool,
    take: &mut dyn FnMut(Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let mut known: HashSet<Labels> = HashSet::new();
    over_windows(context, range, function, &mut |mut row| {
        if !keep_name {
            row.labels = row.labels.without_name();
        }
        // Without their names two series may be one; Prometheus refuses that even where their steps differ.
        if !known.insert(row.labels.clone()) {
            return Err(same_labels());
        }
        take(row)
    })
}

/// A rate that says when it is taken of something that does not look like a counter.
struct NamedCounter<'a> {
    context: &'a Context<'a>,
    rate: Extrapolated,
}

impl OverWindow for NamedCounter<'_> {
    fn begin(&mut self, labels: &Labels, times: &[i64], values: &[f64]) {
        let name = labels.metric_name();
        if !name.is_empty()
            && !["_total", "_sum", "_count", "_bucket"]
                .iter()
                .any(|end| name.ends_with(end))
        {
            self.context.budget.inform(format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                crate::labels::quoted(name)
            ));
        }
        self.rate.begin(labels, times, values);
    }

    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        self.rate.value(window)
    }
}

struct Predict {
    ahead: Vec<f64>,
}

impl OverWindow for Predict {
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        if window.values.len() < 2 {
            return None;
        }
        let (slope, now) = regression(window.times, window.values, window.at);
        Some(slope * self.ahead[window.step] + now)
    }

    fn depends_on_step(&self) -> bool {
        true
    }
}

struct Smooth {
    smoothing: Vec<f64>,
    trend: Vec<f64>,
    wrong: Option<QueryError>,
}

impl OverWindow for Smooth {
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        let (smoothing, trend) = (self.smoothing[window.step], self.trend[window.step]);
        let checked = check_factor("smoothing", "sf", smoothing)
            .and_then(|()| check_factor("trend", "tf", trend));
        if let Err(error) = checked {
            self.wrong.get_or_insert(error);
            return None;
        }
        smoothed(window.values, smoothing, trend)
    }

    fn depends_on_step(&self) -> bool {
        true
    }
}

struct Quantile {
    quantiles: Vec<f64>,
    scratch: Vec<f64>,
}

impl OverWindow for Quantile {
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        self.scratch.clear();
        self.scratch.extend_from_slice(window.values);
        Some(quantile(self.quantiles[window.step], &mut self.scratch))
    }

    fn depends_on_step(&self) -> bool {
        true
    }
}
