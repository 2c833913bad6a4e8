//! Runs a plan: stages in threads, commands in processes, everything that happens in the spool.
//!
//! One thread waits for one command: it polls the command's output, its end, and what may stop it (a cancel, a time
//! limit, a failed neighbour). No thread polls by the clock but the one that looks for the cancel file where inotify is missing.
//!
//! **Invariants.** A secret's value is written nowhere: log lines, events and problems all pass the [`mask`]. Whatever a
//! build started is gone when [`run_build`] returns, unless it asked to live by Jenkins' own cookie.

use std::path::Path;
use std::process::ExitCode;

use crate::runner::Surroundings;

mod asking;
mod build;
mod cancel;
mod checkout;
mod command;
mod condition;
mod credentials;
mod dependency_check;
mod environment;
mod failure;
mod guise;
mod html_report;
mod input;
mod layer;
mod log;
mod make;
mod mask;
mod memory;
mod preflight;
pub(crate) mod processes;
mod recorded;
mod results;
mod script;
mod services;
mod spool;
mod stages;
mod stand_ins;
mod steps;
mod stop;
mod units;

/// Runs the build of a folder; see [`crate::runner::run`].
pub(crate) fn run_build(folder: &Path, surroundings: Surroundings) -> ExitCode {
    match build::run(folder, surroundings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(folder = %folder.display(), %error, "the build's spool could not be written");
            ExitCode::FAILURE
        }
    }
}
