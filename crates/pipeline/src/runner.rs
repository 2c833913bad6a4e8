//! The role `launchway runner FOLDER`: one build, from `job.json` to the last event of the spool.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

/// Runs the build whose folder this is (see [`launchway_model::runner`] for its files) and gives the process's exit
/// code: 0 if and only if the spool's last event was written, however the build itself ended.
///
/// Takes over the process: it lowers its priority, makes itself the reaper of all that the build starts, and ends all
/// of it before it returns. Call it first thing in `main`, before any other thread exists.
pub fn run(folder: &Path, surroundings: Surroundings) -> ExitCode {
    crate::engine::run_build(folder, surroundings)
}

/// What a runner is told by the process that made its room.
#[derive(Debug)]
pub struct Surroundings {
    /// The process id by which control knows the runner: its own, or that of the process outside its room.
    pub known_as: u32,
    /// Where the runner works in a room: the tree's and the cache's folders as they are outside it.
    pub outside: Option<Outside>,
}

/// Folders as they are outside a runner's room.
#[derive(Debug)]
pub struct Outside {
    /// The tree.
    pub tree: OwnedFd,
    /// The app's build cache.
    pub cache: OwnedFd,
}

impl Default for Surroundings {
    /// Those of a runner without a room.
    fn default() -> Self {
        Self {
            known_as: std::process::id(),
            outside: None,
        }
    }
}

/// Ends what a runner that died left running: every process whose environment names the build's folder. Gives their
/// number.
pub fn end_leftovers(folder: &Path) -> usize {
    crate::engine::processes::end_marked(folder)
}
