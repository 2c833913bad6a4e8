//! What the clients met, and which blows may excuse it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many failures are kept word by word.
const KEPT: usize = 200;

/// The kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http1,
    Http2,
    Socket,
    Upload,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Socket, Self::Upload];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Socket => "WebSocket",
            Self::Upload => "upload",
        }
    }

    /// Whether a request may be sent again without harm.
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }
}

/// A request that was not answered as it should have been.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// From the last sign of life of its connection to the failure.
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) why: String,
    /// Whether the same request succeeded when it was sent once more; none where it may not be.
    pub(crate) again: Option<bool>,
    /// Whether another release answered than may.
    pub(crate) wrong_release: bool,
}

/// A process that was killed with -9 and may have had requests in flight.
#[derive(Debug, Clone)]
struct Blow {
    at: Duration,
    what: String,
}

/// Shared by the clients and the actions.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Instant,
    ended: AtomicBool,
    answered: [AtomicU64; 4],
    failed: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    blows: Mutex<Vec<Blow>>,
    allowed: Mutex<BTreeSet<u32>>,
}

impl Ledger {
    pub(crate) fn new(version: u32) -> Self {
        Self {
            began: Instant::now(),
            ended: AtomicBool::new(false),
            answered: [const { AtomicU64::new(0) }; 4],
            failed: AtomicU64::new(0),
            failures: Mutex::default(),
            blows: Mutex::default(),
            allowed: Mutex::new(BTreeSet::from([version])),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn answered(&self, kind: Kind) -> u64 {
        self.answered[kind as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, kind: Kind) {
        self.answered[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut failures = lock(&self.failures);
        if failures.len() < KEPT {
            failures.push(failure);
        }
    }

    pub(crate) fn blow(&self, what: String) {
        let at = self.now();
        lock(&self.blows).push(Blow { at, what });
    }

    /// The versions that may answer now.
    pub(crate) fn allowed(&self) -> BTreeSet<u32> {
        lock(&self.allowed).clone()
    }

    pub(crate) fn allow(&self, version: u32) {
        lock(&self.allowed).insert(version);
    }

    pub(crate) fn allow_only(&self, version: u32) {
        *lock(&self.allowed) = BTreeSet::from([version]);
    }

    /// The failures that nothing excuses, and how many a killed process does.
    pub(crate) fn judge(&self) -> (Vec<Failure>, u64) {
        let blows = lock(&self.blows).clone();
        let failures = lock(&self.failures).clone();
        let all = self.failed.load(Ordering::Relaxed);
        let (excused, guilty): (Vec<_>, Vec<_>) = failures.into_iter().partition(|failure| {
            let in_flight = blows
                .iter()
                .any(|blow| failure.from <= blow.at && failure.to >= blow.at);
            in_flight && !failure.wrong_release && failure.again != Some(false)
        });
        let unknown = all.saturating_sub((excused.len() + guilty.len()) as u64);
        (guilty, excused.len() as u64 + unknown)
    }

    /// What was killed around a moment, for the report.
    pub(crate) fn blows_near(&self, at: Duration) -> Vec<String> {
        lock(&self.blows)
            .iter()
            .filter(|blow| blow.at.abs_diff(at) < Duration::from_secs(4))
            .map(|blow| format!("{} at {:.2} s", blow.what, blow.at.as_secs_f64()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(from: u64, to: u64, again: Option<bool>) -> Failure {
        Failure {
            kind: Kind::Http1,
            from: Duration::from_millis(from),
            to: Duration::from_millis(to),
            why: "cut".to_owned(),
            again,
            wrong_release: false,
        }
    }

    #[test]
    fn only_a_request_in_flight_on_a_killed_process_is_excused() {
        let ledger = Ledger::new(1);
        lock(&ledger.blows).push(Blow {
            at: Duration::from_millis(500),
            what: "the proxy".to_owned(),
        });
        ledger.fail(failure(400, 510, Some(true)));
        ledger.fail(failure(400, 510, Some(false)));
        ledger.fail(failure(600, 700, Some(true)));
        let (guilty, excused) = ledger.judge();
        assert_eq!((guilty.len(), excused), (2, 1), "{guilty:?}");
    }
}
