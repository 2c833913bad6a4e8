//! Counters of routes: one shard a worker, so that cores don't fight over a cache line.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use launchway_model::route::{DURATION_BUCKETS, RouteStats};

/// Counters of one route.
#[derive(Debug)]
pub(crate) struct RouteMeter {
    name: String,
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    by_class: [AtomicU64; 5],
    in_flight: AtomicI64,
    nanos: AtomicU64,
    // The last bucket is for what is longer than every bound.
    buckets: [AtomicU64; DURATION_BUCKETS.len() + 1],
    cut: AtomicU64,
}

impl RouteMeter {
    pub(crate) fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Counts a request that began at this moment in flight until the guard goes.
    pub(crate) fn begin(self: &Arc<Self>, worker: usize, begun: Instant) -> Measured {
        let shard = worker % self.shards.len();
        self.shards[shard].in_flight.fetch_add(1, Ordering::Relaxed);
        Measured {
            meter: Arc::clone(self),
            shard,
            begun,
            status: 0,
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        let sum: i64 = self.sum_signed();
        u64::try_from(sum).unwrap_or(0)
    }

    fn sum_signed(&self) -> i64 {
        self.shards
            .iter()
            .map(|shard| shard.in_flight.load(Ordering::Relaxed))
            .sum()
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards
            .iter()
            .map(|shard| counter(shard).load(Ordering::Relaxed))
            .sum()
    }

    /// Requests whose client went away, or whose answer broke off.
    pub(crate) fn cut(&self) -> u64 {
        self.sum(|shard| &shard.cut)
    }

    pub(crate) fn stats(&self) -> RouteStats {
        let mut buckets = Vec::with_capacity(DURATION_BUCKETS.len());
        let mut below = 0;
        for bucket in 0..DURATION_BUCKETS.len() {
            below += self.sum(|shard| &shard.buckets[bucket]);
            buckets.push(below);
        }
        RouteStats {
            route: self.name.clone(),
            by_class: std::array::from_fn(|class| self.sum(|shard| &shard.by_class[class])),
            in_flight: self.in_flight(),
            seconds: Duration::from_nanos(self.sum(|shard| &shard.nanos)).as_secs_f64(),
            buckets,
        }
    }

    /// Answered requests per bucket, each counted once, the last being those longer than every bound.
    pub(crate) fn histogram(&self) -> [u64; DURATION_BUCKETS.len() + 1] {
        std::array::from_fn(|bucket| self.sum(|shard| &shard.buckets[bucket]))
    }
}

/// A request in flight on a route; counted as answered when it goes with a status, as cut without one.
#[derive(Debug)]
pub(crate) struct Measured {
    meter: Arc<RouteMeter>,
    shard: usize,
    begun: Instant,
    status: u16,
}

impl Measured {
    /// The answer's status, once it is certain.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let shard = &self.meter.shards[self.shard];
        shard.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.status == 0 {
            shard.cut.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let class = usize::from(self.status / 100).clamp(1, 5) - 1;
        shard.by_class[class].fetch_add(1, Ordering::Relaxed);
        let took = self.begun.elapsed();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        shard.nanos.fetch_add(nanos, Ordering::Relaxed);
        shard.buckets[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }
}

/// The place of a duration among [`DURATION_BUCKETS`]; one behind the last for what is longer than every bound.
pub(crate) fn bucket(took: Duration) -> usize {
    let seconds = took.as_secs_f64();
    DURATION_BUCKETS
        .iter()
        .position(|bound| seconds <= *bound)
        .unwrap_or(DURATION_BUCKETS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_request_is_counted_once_in_every_figure() {
        let meter = Arc::new(RouteMeter::new("shop", 2));
        let mut first = meter.begin(0, Instant::now());
        let second = meter.begin(1, Instant::now());
        assert_eq!(meter.in_flight(), 2);
        first.answered(204);
        drop(first);
        drop(second);
        let stats = meter.stats();
        assert_eq!(stats.in_flight, 0);
        assert_eq!(stats.by_class, [0, 1, 0, 0, 0]);
        assert_eq!(stats.buckets.last(), Some(&1));
        assert_eq!(meter.cut(), 1);
        assert_eq!(meter.histogram().iter().sum::<u64>(), 1);
    }
}
