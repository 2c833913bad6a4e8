//! As whom a build touches files and runs commands, where the runner is root.
//!
//! The runner stays root, so that no command of the build can write the build's record or end the runner. What it does in the
//! tree by itself (`writeFile`, reading reports, the cache) it does with the file rights of the app's user: a link that a build
//! lays to a file of the system leads it no further than the build's own commands.

#![expect(
    unsafe_code,
    reason = "setfsuid and setfsgid have no safe wrapper; they take effect for one thread"
)]

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use launchway_model::runner::RunnerJob;

/// Takes on the file rights of the job's user, for the calling thread and those that it starts. Nothing happens without a user
/// in the job; who gave it one has made the folders that user's.
pub(super) fn put_on(job: &RunnerJob) {
    let Some(who) = job.user else { return };
    // SAFETY: both take a number and change the calling thread's rights alone.
    unsafe {
        libc::setfsgid(who.record_group);
        libc::setfsuid(who.user);
    }
}

/// Folders as they were reached before the room was entered. There, tree and cache are mounts of their own, between which no
/// file can have two names; through these both lie in one.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) tree: (PathBuf, OwnedFd),
    pub(crate) cache: (PathBuf, OwnedFd),
}

impl Doors {
    /// The same file, by the way outside the room where there is one.
    pub(crate) fn through(&self, path: &Path) -> PathBuf {
        for (place, door) in [&self.tree, &self.cache] {
            if let Ok(below) = path.strip_prefix(place) {
                return PathBuf::from(format!("/proc/self/fd/{}", door.as_raw_fd())).join(below);
            }
        }
        path.to_owned()
    }
}
