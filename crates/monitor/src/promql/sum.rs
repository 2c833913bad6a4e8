//! Sums that keep what rounding loses (Kahan, as improved by Neumaier), and what is built on them.

/// A compensated sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) value: f64,
    pub(super) lost: f64,
}

impl Sum {
    pub(super) fn starting_with(value: f64) -> Self {
        Self { value, lost: 0.0 }
    }

    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        let total = self.value + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.value.abs() >= value.abs() {
            self.lost += (self.value - total) + value;
        } else {
            self.lost += (value - total) + self.value;
        }
        self.value = total;
    }

    #[inline]
    pub(super) fn total(self) -> f64 {
        if self.value.is_infinite() {
            self.value
        } else {
            self.value + self.lost
        }
    }
}

pub(super) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.into_iter().for_each(|value| sum.add(value));
    sum.total()
}

/// A mean that is a plain sum until that would overflow, then goes on incrementally, as Prometheus 3 has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if self.count == 1.0 || !next.value.is_infinite() {
                self.sum = next;
                return;
            }
            self.incremental = true;
            self.sum.value /= self.count - 1.0;
            self.sum.lost /= self.count - 1.0;
        }
        let keep = (self.count - 1.0) / self.count;
        let mut next = Sum {
            value: keep * self.sum.value,
            lost: keep * self.sum.lost,
        };
        next.add(value / self.count);
        self.sum = next;
    }

    pub(super) fn mean(self) -> f64 {
        if self.incremental {
            self.sum.total()
        } else {
            self.sum.value / self.count + self.sum.lost / self.count
        }
    }
}

/// The mean of squared distances from the mean, by Welford.
pub(super) fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for &value in values {
        count += 1.0;
        let distance = value - (mean.value + mean.lost);
        mean.add(distance / count);
        squares.add(distance * (value - (mean.value + mean.lost)));
    }
    (squares.value + squares.lost) / count
}

/// The `q`-quantile by linear interpolation. Sorts the values, NaN first.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| {
        b.is_nan()
            .cmp(&a.is_nan())
            .then_with(|| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    });
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}
