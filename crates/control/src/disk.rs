//! The disk: what takes it, keeping each growth within its budget, and what happens when it is full.
//!
//! A full disk stops what is new (builds, deploys, backups fail with that word) and nothing that serves. A reserve, a file
//! of zeros, is given up then, so that control can still write its records and raise the alert; it is taken back when
//! there is room. What builds and ended instances leave is kept within its budget by `builds::sweep`; this module keeps
//! build caches and repositories within theirs.
//!
//! **Invariant:** nothing that a rollback needs and nothing that an app wrote is removed, however full the disk is.

mod sweep;
mod usage;
mod watch;

use launchway_model::Problem;
use launchway_model::disk::DiskUsage;

use crate::Control;

pub(crate) use sweep::once as sweep;
pub(crate) use watch::run;

/// What takes how much, by kind and app.
///
/// # Errors
/// The store fails, or the home cannot be read.
pub async fn usage(control: &Control) -> Result<DiskUsage, Problem> {
    usage::get(control).await
}

/// The free and the whole size of the disk that a path is on, in bytes, for whom this process runs as.
fn room(path: &std::path::Path) -> std::io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(path)?;
    Ok((
        found.f_bavail * found.f_frsize,
        found.f_blocks * found.f_frsize,
    ))
}

/// Runs what waits for the disk at the side.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Problem::internal("looking at the disk ended badly").cause(error)),
    }
}

#[cfg(test)]
mod tests;
