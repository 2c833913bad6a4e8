//! What the workers share about one instance: its load, its health, its idle connections.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use launchway_model::InstanceId;
use launchway_model::instance::TargetAddress;
use launchway_model::route::{DURATION_BUCKETS, TargetStats};

use crate::meter::bucket;
use crate::stream::Stream;

/// One instance, kept from table to table while any names it or a request is in flight on it.
pub(crate) struct Target {
    instance: InstanceId,
    /// What a sticky cookie says for the instance.
    mark: u64,
    address: TargetAddress,
    in_flight: AtomicU64,
    retired: AtomicBool,
    epoch: Instant,
    /// Milliseconds since `epoch` until which the target is passed over.
    down_until: AtomicU64,
    refusals: AtomicU32,
    requests: AtomicU64,
    server_errors: AtomicU64,
    failures: AtomicU64,
    /// Answers by the time to their head; the last are those longer than every bound.
    durations: [AtomicU64; DURATION_BUCKETS.len() + 1],
    /// Idle connections, per worker: a connection belongs to the runtime that opened it.
    pools: Box<[Mutex<Vec<Idle>>]>,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl Target {
    pub(crate) fn new(instance: InstanceId, address: TargetAddress, workers: usize) -> Self {
        Self {
            mark: mark_of(&instance),
            instance,
            address,
            in_flight: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            epoch: Instant::now(),
            down_until: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            server_errors: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            durations: Default::default(),
            pools: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn instance(&self) -> &InstanceId {
        &self.instance
    }

    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    pub(crate) fn address(&self) -> &TargetAddress {
        &self.address
    }

    pub(crate) fn in_flight(&self) -> u64 {
        // Paired with `begin`: whoever retires a target and then reads 0 knows that no request will start on it.
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts a request in flight until the guard goes; `None` where the target has left the table meanwhile.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<OnTarget> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let guard = OnTarget {
            target: Arc::clone(self),
        };
        (!self.retired.load(Ordering::SeqCst)).then_some(guard)
    }

    /// Whether the target refused connections a moment ago.
    pub(crate) fn is_down(&self) -> bool {
        let until = self.down_until.load(Ordering::Relaxed);
        until != 0 && self.millis() < until
    }

    /// Whether it refused its last connection, even if it is time to try again.
    pub(crate) fn is_suspect(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) != 0
    }

    /// Notes that a connection was refused; the target is passed over for `base`, twice as long each time, eight times at most.
    pub(crate) fn refused(&self, base: Duration) {
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        let base = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
        let pause = base.saturating_mul(1 << before.min(3));
        self.down_until.store(
            self.millis().saturating_add(pause).max(1),
            Ordering::Relaxed,
        );
    }

    /// Notes that a connection was made.
    pub(crate) fn reached(&self) {
        if self.refusals.load(Ordering::Relaxed) != 0 {
            self.refusals.store(0, Ordering::Relaxed);
            self.down_until.store(0, Ordering::Relaxed);
        }
    }

    /// Notes an answer and how long its head took.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.durations[bucket(took)].fetch_add(1, Ordering::Relaxed);
        if status >= 500 {
            self.server_errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes a request that was not answered.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// An idle connection that is still open and has been idle for less than `max_idle`.
    pub(crate) fn take(&self, worker: usize, max_idle: Duration) -> Option<Stream> {
        let mut pool = self.pool(worker);
        while let Some(idle) = pool.pop() {
            // Reads nothing from the kernel unless it has flagged the connection since it was put here.
            if idle.since.elapsed() < max_idle && idle.stream.is_quiet() {
                return Some(idle.stream);
            }
        }
        None
    }

    /// Keeps a connection for later, unless the target has left the table.
    pub(crate) fn give(&self, worker: usize, stream: Stream, limit: usize) {
        stream.watch();
        let mut pool = self.pool(worker);
        if !self.retired.load(Ordering::SeqCst) && pool.len() < limit {
            pool.push(Idle {
                stream,
                since: Instant::now(),
            });
        }
    }

    /// Closes connections that the app has closed or that have been idle for too long.
    pub(crate) fn sweep(&self, worker: usize, max_idle: Duration) {
        self.pool(worker)
            .retain(|idle| idle.since.elapsed() < max_idle && idle.stream.is_quiet());
    }

    /// Takes the target out of service: no request starts on it any more, idle connections are closed.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        for worker in 0..self.pools.len() {
            self.pool(worker).clear();
        }
    }

    /// Brings a retired target back, when a newer table names it again.
    pub(crate) fn revive(&self) {
        self.retired.store(false, Ordering::SeqCst);
    }

    pub(crate) fn stats(&self) -> TargetStats {
        TargetStats {
            instance: self.instance.clone(),
            requests: self.requests.load(Ordering::Relaxed),
            server_errors: self.server_errors.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            in_flight: self.in_flight(),
            buckets: self.durations[..DURATION_BUCKETS.len()]
                .iter()
                .scan(0, |below, bucket| {
                    *below += bucket.load(Ordering::Relaxed);
                    Some(*below)
                })
                .collect(),
        }
    }

    fn pool(&self, worker: usize) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // A panic while the lock was held leaves a list of connections, which is never half-written.
        self.pools[worker % self.pools.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// FNV-1a of the instance's id: the same in every process, and it gives no id away.
fn mark_of(instance: &InstanceId) -> u64 {
    let text = instance.to_string();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |mark, byte| {
        (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("instance", &self.instance)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A request in flight on a target.
#[derive(Debug)]
pub(crate) struct OnTarget {
    target: Arc<Target>,
}

impl OnTarget {
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }
}

impl Drop for OnTarget {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
