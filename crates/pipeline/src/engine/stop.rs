//! What can end a command before it ends by itself: a cancel, a failed neighbour, a time limit.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

/// A switch that is turned once; threads wait for it together with other things.
#[derive(Debug)]
pub(crate) struct Stop {
    event: OwnedFd,
    reason: Mutex<Option<StopReason>>,
}

/// Why it was turned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Somebody cancelled the build, for this reason.
    Cancelled(String),
    /// A stage beside this one failed.
    Neighbour(String),
}

impl Stop {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            reason: Mutex::new(None),
        })
    }

    /// Turns it; the first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
        // The counter is never read, so the descriptor stays readable for everyone who waits; it cannot overflow by few writes.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// A time limit and what it limits.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// Such as "the stage `Test`".
    pub(crate) what: String,
    /// The limit, in milliseconds.
    pub(crate) limit_ms: u64,
}

impl Deadline {
    pub(crate) fn new(what: impl Into<String>, limit_ms: u64) -> Self {
        let now = Instant::now();
        let limit = std::time::Duration::from_millis(limit_ms);
        Self {
            at: now
                .checked_add(limit)
                .unwrap_or(now + std::time::Duration::from_secs(1 << 30)),
            what: what.into(),
            limit_ms,
        }
    }
}
