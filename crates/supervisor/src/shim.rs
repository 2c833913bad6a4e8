//! The role `launchway shim FOLDER`.

use std::path::Path;
use std::process::ExitCode;

/// Runs the shim of the instance in `folder`. The calling process must have one thread: it forks.
pub fn run(_folder: &Path) -> ExitCode {
    unimplemented!()
}
