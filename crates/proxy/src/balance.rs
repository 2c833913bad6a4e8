//! Choosing an instance: the less loaded of two that chance draws by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::target::Target;

/// The instances of a route with their shares.
#[derive(Debug, Default)]
pub(crate) struct Balanced {
    targets: Vec<Arc<Target>>,
    weights: Vec<u32>,
    /// Sums of the weights up to and with each target.
    sums: Vec<u32>,
}

impl Balanced {
    /// Targets of weight 0 take no new requests and are left out.
    pub(crate) fn new(targets: impl IntoIterator<Item = (Arc<Target>, u16)>) -> Self {
        let mut balanced = Self::default();
        let mut sum = 0;
        for (target, weight) in targets {
            if weight > 0 {
                sum += u32::from(weight);
                balanced.targets.push(target);
                balanced.weights.push(u32::from(weight));
                balanced.sums.push(sum);
            }
        }
        balanced
    }

    /// The target for a request that has tried those of `tried` already; `None` where no other is up.
    pub(crate) fn pick(&self, chance: &Chance, tried: &[Arc<Target>]) -> Option<&Arc<Target>> {
        let open = |index: usize| {
            let target = &self.targets[index];
            !target.is_down() && !tried.iter().any(|tried| Arc::ptr_eq(tried, target))
        };
        match self.targets.len() {
            0 => None,
            1 => open(0).then(|| &self.targets[0]),
            _ => {
                let first = self.draw(chance);
                let mut second = self.draw(chance);
                if first == second {
                    second = (first + 1) % self.targets.len();
                }
                let index = match (open(first), open(second)) {
                    (true, true) if self.load(second) < self.load(first) => second,
                    (true, _) => first,
                    (false, true) => second,
                    (false, false) => (0..self.targets.len())
                        .filter(|index| open(*index))
                        .min_by(|a, b| self.load(*a).total_cmp(&self.load(*b)))?,
                };
                Some(&self.targets[index])
            }
        }
    }

    /// The target with this mark, if it is up.
    pub(crate) fn marked(&self, mark: u64, tried: &[Arc<Target>]) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| {
            target.mark() == mark
                && !target.is_down()
                && !tried.iter().any(|tried| Arc::ptr_eq(tried, target))
        })
    }

    /// Any target at all, the least suspect first: what is left to try when none is up.
    pub(crate) fn last_resort(&self, chance: &Chance) -> Option<&Arc<Target>> {
        match self.targets.len() {
            0 => None,
            _ => {
                let drawn = self.draw(chance);
                self.targets
                    .iter()
                    .find(|target| !target.is_suspect())
                    .or_else(|| self.targets.get(drawn))
            }
        }
    }

    fn draw(&self, chance: &Chance) -> usize {
        let total = self.sums.last().copied().unwrap_or(1).max(1);
        let point = (chance.next() % u64::from(total)) as u32;
        self.sums.partition_point(|sum| *sum <= point)
    }

    fn load(&self, index: usize) -> f64 {
        (self.targets[index].in_flight() as f64 + 1.0) / f64::from(self.weights[index])
    }
}

/// How much a route may be tried again: a fifth of its requests and a hundred beyond that, so that trouble is not multiplied.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicI64);

impl RetryBudget {
    const EARNED: i64 = 1;
    const COST: i64 = 5;
    const MOST: i64 = 100 * Self::COST;

    /// A full budget.
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(Self::MOST))
    }

    /// Notes a request.
    pub(crate) fn earn(&self) {
        if self.0.load(Ordering::Relaxed) < Self::MOST {
            self.0.fetch_add(Self::EARNED, Ordering::Relaxed);
        }
    }

    /// Takes one more try, if there is one left.
    pub(crate) fn spend(&self) -> bool {
        let take = |left: i64| (left >= Self::COST).then_some(left - Self::COST);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// A worker's source of chance: quick, not secret.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// SplitMix64, by Steele, Lea and Flood.
    pub(crate) fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
