//! Builds with real processes, a real git and real files.

#![allow(clippy::unwrap_used, missing_docs)]

mod asking;
mod bench;
mod builds;
mod cache;
mod commands;
mod corpus;
mod credentials;
mod dependency_check;
mod examples;
mod jenkins;
mod mutations;
mod site;

/// Not a test by itself: the process in which [`site::Site`] runs a build, since a runner takes its process over.
#[test]
fn runner_process() {
    if let Some(folder) = std::env::var_os(site::RUNNER_FOLDER) {
        let _ = launchway_pipeline::runner::run(std::path::Path::new(&folder), Default::default());
        std::process::exit(0);
    }
}
