//! Waiting for a condition, with a deadline that a loaded machine still meets.

use std::time::{Duration, Instant};

/// The longest that any condition is waited for.
pub const LONGEST: Duration = Duration::from_secs(120);

/// Waits until `what` holds.
///
/// # Panics
/// It does not hold within [`LONGEST`].
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// Waits until `what` is there, and gives it.
///
/// # Panics
/// It is not there within [`LONGEST`].
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONGEST;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {LONGEST:?} in vain: {what}"
        );
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
