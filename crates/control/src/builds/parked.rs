//! Builds that run but only wait: for a person, or for another build. They take no place in the queue, or two builds that
//! wait for a third would keep it from ever beginning.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use launchway_model::BuildId;

/// The builds that wait, with the numbers of their requests.
#[derive(Debug, Default)]
pub(crate) struct Parked(Mutex<HashSet<(BuildId, u32)>>);

impl Parked {
    /// A build waits for a request.
    pub(crate) fn park(&self, build: BuildId, number: u32) {
        self.held().insert((build, number));
    }

    /// It waits for that request no more.
    pub(crate) fn unpark(&self, build: BuildId, number: u32) {
        self.held().remove(&(build, number));
    }

    /// A build has ended.
    pub(crate) fn free(&self, build: BuildId) {
        self.held().retain(|(other, _)| *other != build);
    }

    /// How many builds wait.
    pub(crate) fn count(&self) -> usize {
        let held = self.held();
        held.iter()
            .map(|(build, _)| build)
            .collect::<HashSet<_>>()
            .len()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashSet<(BuildId, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
