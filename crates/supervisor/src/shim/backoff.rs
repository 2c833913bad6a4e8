//! The pauses before an app is started again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause: an app that cannot run costs next to nothing, and comes back soon after its trouble ends.
const LONGEST: Duration = Duration::from_secs(300);
/// A run of this length counts as healthy: the next pause is the first one again.
const HEALTHY: Duration = Duration::from_secs(600);

/// How long to wait after the next exit.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a run of this length.
    pub(super) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST)
    }

    /// Forgets the failures: a person asked for a restart.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests;
