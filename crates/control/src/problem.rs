//! What the errors of the crates below become at control's edge.

use std::time::Duration;

use launchway_model::{AppName, Problem, ProblemKind};
use launchway_store::StoreError;
use launchway_supervisor::SupervisorError;

/// Tries until the store takes it: what ended has ended, and its record must say so, however full the disk is meanwhile.
pub(crate) struct Persist {
    what: &'static str,
    pause: Duration,
}

impl Persist {
    /// Names what is written.
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            pause: Duration::from_millis(100),
        }
    }

    /// Waits before the next try.
    pub(crate) async fn failed(&mut self, error: StoreError) {
        tracing::error!(error = %store(error), what = self.what, "it cannot be written and is tried again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(Duration::from_secs(5));
    }
}

/// The store could not do what was asked.
pub(crate) fn store(error: StoreError) -> Problem {
    let kind = match &error {
        StoreError::Query(_) if is_full(&error) => ProblemKind::Exhausted,
        _ => ProblemKind::Internal,
    };
    let problem = Problem::new(kind, "the database could not be used").caused_by(&error);
    match kind {
        ProblemKind::Exhausted => {
            problem.hint("Free some disk space; what serves goes on serving.")
        }
        _ => problem,
    }
}

/// A shim could not be started or stopped.
pub(crate) fn supervisor(error: &SupervisorError) -> Problem {
    Problem::internal("the app's supervisor failed").caused_by(error)
}

/// A file of ours could not be read or written.
pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Problem {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ProblemKind::Exhausted
        }
        _ => ProblemKind::Internal,
    };
    Problem::new(kind, format!("cannot {what} {}", path.display())).cause(error)
}

/// No app has that name.
pub(crate) fn no_app(name: &AppName) -> Problem {
    Problem::not_found(format!("there is no app `{name}`"))
        .hint("`launchway apps` lists all apps; `launchway deploy` makes one.")
}

fn is_full(error: &StoreError) -> bool {
    // SQLite's own words for SQLITE_FULL; sqlx keeps them in the source.
    std::error::Error::source(error)
        .is_some_and(|source| source.to_string().contains("disk is full"))
}
