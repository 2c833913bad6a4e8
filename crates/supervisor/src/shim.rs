//! The role `launchway shim FOLDER`: owns one app instance until it is told to stop.
//!
//! A shim is one process with one thread and no async runtime. It leads a process namespace where the host gives one, so
//! that the kernel itself ends everything of the app when the shim dies; elsewhere a guard process is its parent
//! and does that. It knows nothing of releases, routes or health.
//!
//! - `daemon`: from the command that control started to a process that stands by itself;
//! - `command`: from the fork to the app's first instruction;
//! - `supervision`: the loop and the states of the app;
//! - `log`: the app's output, into files of a bounded size;
//! - `connection`: one client of the socket;
//! - `tree`: the app's processes;
//! - `backoff`: the pauses before another start.
//!
//! **Invariants:** nothing here allocates by the amount of what the app writes; no wait has no deadline but the one for
//! events; an error of the disk is never an error of the app.

use std::path::Path;
use std::process::ExitCode;

mod backoff;
mod command;
mod connection;
mod daemon;
mod log;
mod supervision;
pub(crate) mod tree;

/// The name of the file in an instance's folder on which its shim holds a lock.
pub(crate) const LOCK_FILE: &str = "lock";
/// The name of the file in an instance's folder with what the shim itself has to say when it fails.
pub(crate) const ERROR_FILE: &str = "shim.err";
/// The folder in an instance's folder that lies behind the app's private `/tmp`.
pub(crate) const TMP_FOLDER: &str = "tmp";
/// The line that a shim writes to its standard output once its socket answers.
pub(crate) const READY: &str = "ready";
/// The variable, in the environment of every process of an app, that names the instance's folder: by it, processes that
/// outlived both shim and guard are found.
pub(crate) const FOLDER_VARIABLE: &str = "LAUNCHWAY_INSTANCE_FOLDER";

/// Runs the shim of the instance in `folder`. The calling process must have one thread: it forks, and the shim goes on by
/// itself in a session of its own. The line `ready` on standard output says that its socket answers; until then,
/// errors go to standard error and make the exit code 1.
#[expect(
    clippy::print_stderr,
    reason = "the shim's start is reported to whoever ran the command"
)]
pub fn run(folder: &Path) -> ExitCode {
    match daemon::start(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
