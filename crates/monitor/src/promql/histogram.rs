//! Quantiles and fractions of classic histograms: series with cumulative counts and an upper bound `le`.

use super::QueryError;
use super::eval::{Context, scalar, text, vector};
use super::format_value;
use super::range_calls::warn_of_quantiles;
use super::series::{Row, here, join_equal};
use crate::labels::{Labels, METRIC_NAME};
use promql_parser::parser::{Call, Expr};
use std::collections::HashMap;

#[cfg(test)]
mod tests;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";
/// Counts that differ by less than this part are taken as equal (Prometheus' `smallDeltaTolerance`).
const TOLERANCE: f64 = 1e-12;

/// A bucket: upper bound and cumulative count.
type Bucket = (f64, f64);

/// The buckets of one histogram: its labels without `le`, and its rows.
struct Histogram {
    name: String,
    labels: Labels,
    buckets: Vec<(f64, Row)>,
}

fn histograms(context: &Context<'_>, expression: &Expr) -> Result<Vec<Histogram>, QueryError> {
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut all: Vec<Histogram> = Vec::new();
    for row in vector(context, expression)? {
        let bound = row.labels.get(BOUND).unwrap_or("");
        let Some(bound) = parse_bound(bound) else {
            context.budget.warn(format!(
                "bucket label \"{BOUND}\" is missing or has a malformed value of {}{}",
                crate::labels::quoted(bound),
                of_metric(row.labels.metric_name())
            ));
            continue;
        };
        let labels = row
            .labels
            .filtered(|name| name != BOUND && name != METRIC_NAME);
        let at = *known.entry(labels).or_insert_with_key(|labels| {
            let name = row.labels.metric_name().to_owned();
            all.push(Histogram {
                name,
                labels: labels.clone(),
                buckets: Vec::new(),
            });
            all.len() - 1
        });
        all[at].buckets.push((bound, row));
    }
    Ok(all)
}

fn of_metric(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" for metric name {}", crate::labels::quoted(name))
    }
}

fn parse_bound(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "+inf" | "inf" | "+infinity" | "infinity" => Some(f64::INFINITY),
        text => text.parse().ok(),
    }
}

/// Calls `value` with the buckets that are there at each step, by bound; it may change them.
fn each_step(
    context: &Context<'_>,
    histograms: &[Histogram],
    mut value: impl FnMut(&Histogram, &mut Vec<Bucket>, usize) -> f64,
) -> Result<Vec<Row>, QueryError> {
    let mut rows = Vec::with_capacity(histograms.len());
    let mut buckets: Vec<Bucket> = Vec::new();
    for histogram in histograms {
        let mut values = context.holes()?;
        for (step, slot) in values.iter_mut().enumerate() {
            buckets.clear();
            let present = histogram
                .buckets
                .iter()
                .map(|(bound, row)| (*bound, row.values[step]));
            buckets.extend(present.filter(|(_, count)| here(*count)));
            if !buckets.is_empty() {
                *slot = value(histogram, &mut buckets, step);
            }
        }
        rows.push(Row {
            labels: histogram.labels.clone(),
            values,
        });
    }
    join_equal(rows)
}

/// `histogram_quantile(φ, buckets)`.
pub(super) fn quantile_call(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let quantiles = scalar(context, &call.args.args[0])?;
    let histograms = histograms(context, &call.args.args[1])?;
    if !histograms.is_empty() {
        warn_of_quantiles(context, &quantiles);
    }
    each_step(context, &histograms, |histogram, buckets, step| {
        quantile_with_remark(context, histogram, buckets, quantiles[step])
    })
}

fn quantile_with_remark(
    context: &Context<'_>,
    histogram: &Histogram,
    buckets: &mut Vec<Bucket>,
    q: f64,
) -> f64 {
    let (value, forced) = bucket_quantile(q, buckets);
    if forced {
        context.budget.inform(format!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            of_metric(&histogram.name)
        ));
    }
    value
}

/// `histogram_quantiles(buckets, label, φ…)`: one row a quantile, told apart by the label.
pub(super) fn quantiles_call(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let arguments = &call.args.args;
    let label = text(&arguments[1])?.into_owned();
    if !super::series::is_label_name(&label, context.dialect) {
        return Err(QueryError::Execution(format!(
            "invalid label name {}",
            crate::labels::quoted(&label)
        )));
    }
    let histograms = histograms(context, &arguments[0])?;
    let mut all = Vec::new();
    for argument in &arguments[2..] {
        let quantiles = scalar(context, argument)?;
        warn_of_quantiles(context, &quantiles);
        let rows = each_step(context, &histograms, |histogram, buckets, step| {
            quantile_with_remark(context, histogram, buckets, quantiles[step])
        })?;
        let value = format_value(quantiles[0]);
        all.extend(rows.into_iter().map(|row| Row {
            labels: row.labels.with(&label, &value),
            ..row
        }));
    }
    join_equal(all)
}

/// `histogram_fraction(lower, upper, buckets)`.
pub(super) fn fraction_call(context: &Context<'_>, call: &Call) -> Result<Vec<Row>, QueryError> {
    let arguments = &call.args.args;
    let (lower, upper) = (
        scalar(context, &arguments[0])?,
        scalar(context, &arguments[1])?,
    );
    let histograms = histograms(context, &arguments[2])?;
    each_step(context, &histograms, |_, buckets, step| {
        bucket_fraction(lower[step], upper[step], buckets)
    })
}

/// Sorts by bound and adds up buckets with one bound. `false` where there is none up to infinity.
fn prepare(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets.last().is_none_or(|last| last.0 != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    true
}

/// Whether two counts differ by rounding only.
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Makes counts grow. Returns whether a difference was larger than rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let mut before = buckets[0].1;
    for bucket in &mut buckets[1..] {
        if bucket.1 == before {
            continue;
        }
        if almost_equal(before, bucket.1) {
            bucket.1 = before;
        } else if bucket.1 < before {
            bucket.1 = before;
            forced = true;
        } else {
            before = bucket.1;
        }
    }
    forced
}

/// Whether a count is at least the rank; one that is no number never is.
fn reaches(count: f64, rank: f64) -> bool {
    count >= rank
}

/// The quantile, and whether the counts had to be made monotonic.
fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if !(0.0..=1.0).contains(&q) {
        return (
            if q < 0.0 {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            },
            false,
        );
    }
    if !prepare(buckets) {
        return (f64::NAN, false);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].1;
    if last == 0 || observations == 0.0 || observations.is_nan() {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let at = buckets[..last].partition_point(|bucket| !reaches(bucket.1, rank));
    if at == last {
        return (buckets[last - 1].0, forced);
    }
    if at == 0 && buckets[0].0 <= 0.0 {
        return (buckets[0].0, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[at].0, buckets[at].1);
    if at > 0 {
        start = buckets[at - 1].0;
        count -= buckets[at - 1].1;
        rank -= buckets[at - 1].1;
    }
    (start + (end - start) * (rank / count), forced)
}

/// The part of the observations between two values.
fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].1;
    if total == 0.0 || total.is_nan() || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / total
}

/// How many observations are at most `value`, by interpolation within its bucket.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let mut before = (f64::NEG_INFINITY, 0.0);
    for (at, &(bound, count)) in buckets.iter().enumerate() {
        let mut start = before.0;
        if at == 0 && bound > 0.0 {
            // As for quantiles, the first bucket begins at zero if it does not lie below.
            start = 0.0;
        }
        if value <= start {
            return before.1;
        }
        if value < bound {
            if start.is_infinite() {
                return count;
            }
            if bound.is_infinite() {
                return before.1;
            }
            return before.1 + (count - before.1) * (value - start) / (bound - start);
        }
        before = (bound, count);
    }
    before.1
}
