//! The role `launchway runner FOLDER`: one build, from `job.json` to the last event of the spool.

use std::path::Path;
use std::process::ExitCode;

/// Runs the build whose folder this is (see [`launchway_model::runner`] for its files) and gives the process's exit
/// code: 0 if and only if the spool's last event was written, however the build itself ended.
///
/// Takes over the process: it lowers its priority, makes itself the reaper of all that the build starts, and ends all
/// of it before it returns. Call it first thing in `main`, before any other thread exists.
pub fn run(folder: &Path) -> ExitCode {
    crate::engine::run_build(folder)
}

/// Ends what a runner that died left running: every process whose environment names the build's folder. Gives their
/// number.
pub fn end_leftovers(folder: &Path) -> usize {
    crate::engine::processes::end_marked(folder)
}
