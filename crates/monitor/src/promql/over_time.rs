//! The arithmetic of range functions: from one window to one value. Formulas follow Prometheus' `promql/functions.go`.

use super::selector::{OverWindow, Window};
use super::sum::{Mean, quantile, sum, variance};
use super::{Dialect, QueryError};
use crate::labels::Labels;

#[cfg(test)]
mod tests;

/// `rate`, `increase` and `delta`.
pub(super) struct Extrapolated {
    pub(super) counter: bool,
    pub(super) per_second: bool,
    pub(super) dialect: Dialect,
    /// How many resets the series has up to each sample, so that a window without any needs no look at its samples.
    pub(super) resets: Vec<u32>,
}

impl OverWindow for Extrapolated {
    fn begin(&mut self, _labels: &Labels, _times: &[i64], values: &[f64]) {
        if self.counter {
            self.resets.clear();
            self.resets.push(0);
            let mut resets = 0;
            for pair in values.windows(2) {
                resets += u32::from(pair[1] < pair[0]);
                self.resets.push(resets);
            }
        }
    }

    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        let Window {
            times,
            values,
            first,
            from,
            to,
            ..
        } = window;
        let last = values.len() - 1;
        if last == 0 {
            return None;
        }
        let mut result = values[last] - values[0];
        if self.counter && self.resets[first + last] != self.resets[first] {
            let mut before = values[0];
            for &value in &values[1..] {
                if value < before {
                    result += before;
                }
                before = value;
            }
        }
        let sampled = (times[last] - times[0]) as f64 / 1e3;
        let average = sampled / last as f64;
        let threshold = average * 1.1;
        let to_end = (to - times[last]) as f64 / 1e3;
        let mut to_start = (times[0] - from) as f64 / 1e3;
        // A counter cannot have been below zero: the extrapolation ends where it would be.
        let zero = (self.counter && result > 0.0 && values[0] >= 0.0)
            .then(|| sampled * (values[0] / result));
        match self.dialect {
            Dialect::Prometheus2 => {
                to_start = zero.map_or(to_start, |zero| zero.min(to_start));
                if to_start >= threshold {
                    to_start = average / 2.0;
                }
            }
            Dialect::Prometheus3 => {
                if to_start >= threshold {
                    to_start = average / 2.0;
                }
                to_start = zero.map_or(to_start, |zero| zero.min(to_start));
            }
        }
        let to_end = if to_end >= threshold {
            average / 2.0
        } else {
            to_end
        };
        let mut factor = (sampled + to_start + to_end) / sampled;
        if self.per_second {
            factor /= (to - from) as f64 / 1e3;
        }
        Some(result * factor)
    }
}

/// `irate` and `idelta`: the last two samples.
pub(super) fn last_two(window: Window<'_>, rate: bool) -> Option<f64> {
    let Window { times, values, .. } = window;
    let last = values.len().checked_sub(1).filter(|last| *last > 0)?;
    let (before, now) = (values[last - 1], values[last]);
    let interval = times[last] - times[last - 1];
    if interval == 0 {
        return None;
    }
    if !rate {
        return Some(now - before);
    }
    let difference = if now < before { now } else { now - before };
    Some(difference / (interval as f64 / 1e3))
}

/// Least squares: slope per second, and the value at `at`.
pub(super) fn regression(times: &[i64], values: &[f64], at: i64) -> (f64, f64) {
    if values.iter().all(|value| *value == values[0]) {
        return if values[0].is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, values[0])
        };
    }
    let count = values.len() as f64;
    let seconds = || times.iter().map(|time| (time - at) as f64 / 1e3);
    let (x, y) = (sum(seconds()), sum(values.iter().copied()));
    let xy = sum(seconds().zip(values).map(|(x, y)| x * y));
    let xx = sum(seconds().map(|x| x * x));
    let covariance = xy - x * y / count;
    let slope = covariance / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

/// `double_exponential_smoothing`.
pub(super) fn smoothed(values: &[f64], smoothing: f64, trend: f64) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let (mut before, mut now, mut slope) = (0.0, values[0], values[1] - values[0]);
    for (at, value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            slope = trend * (now - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (now + slope);
        before = now;
        now = next;
    }
    Some(now)
}

/// The error for a factor that is not between zero and one.
pub(super) fn check_factor(name: &str, short: &str, factor: f64) -> Result<(), QueryError> {
    if factor > 0.0 && factor < 1.0 {
        return Ok(());
    }
    Err(QueryError::Execution(format!(
        "invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:.6}"
    )))
}

pub(super) fn mean(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    values.iter().for_each(|value| mean.add(*value));
    mean.mean()
}

/// The smallest value; a NaN gives way to any number.
pub(super) fn smallest(values: &[f64]) -> f64 {
    values[1..].iter().fold(values[0], |least, value| {
        if *value < least || least.is_nan() {
            *value
        } else {
            least
        }
    })
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values[1..].iter().fold(values[0], |most, value| {
        if *value > most || most.is_nan() {
            *value
        } else {
            most
        }
    })
}

/// The time in seconds of the last sample that has the smallest (or largest) value.
pub(super) fn time_of(times: &[i64], values: &[f64], better: fn(f64, f64) -> bool) -> f64 {
    let mut at = 0;
    for (index, value) in values.iter().enumerate() {
        if better(*value, values[at]) || *value == values[at] || values[at].is_nan() {
            at = index;
        }
    }
    times[at] as f64 / 1e3
}

pub(super) fn changes(values: &[f64]) -> f64 {
    values
        .windows(2)
        .filter(|pair| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan()))
        .count() as f64
}

pub(super) fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64
}

/// The variance; 2.42 lost what overflowed and answered NaN.
pub(super) fn variance_in(dialect: Dialect, values: &[f64]) -> f64 {
    let variance = variance(values);
    if variance.is_infinite() && dialect == Dialect::Prometheus2 {
        f64::NAN
    } else {
        variance
    }
}

/// The median of the distances from the median.
pub(super) fn median_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = quantile(0.5, scratch);
    scratch
        .iter_mut()
        .for_each(|value| *value = (*value - median).abs());
    quantile(0.5, scratch)
}
