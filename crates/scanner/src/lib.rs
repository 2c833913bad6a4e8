//! Lock files to packages to advisories to reports.
//!
//! The scanner matches the exact packages that lock files, manifests and installed environments name against
//! OSV records from a local copy: no key, no network during a scan, no guessing by name. [`command::run`] is the
//! whole of `launchway scan`; the parts stand alone as well.
//!
//! ```text
//! walk -> lockfile -> package -> matching (index) -> finding -> policy -> report -> output
//!                                          ^ advisory sources, update
//! ```
//!
//! **Invariant**: what can't be known is never reported as clean. An ecosystem without advisory data, or with
//! data older than the policy allows, ends in [`ExitCode::NoData`]; a file that can't be read in [`ExitCode::Errors`].
//! **Invariant**: nothing here starts a process, writes outside its database folder and the outputs that were
//! asked for, or imports another crate of ours.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod advisory;
pub mod command;
pub mod database;
pub mod dependency_check;
pub mod ecosystem;
pub mod error;
pub mod finding;
pub mod index;
pub mod located;
pub mod lockfile;
pub mod matching;
pub mod output;
pub mod package;
pub mod policy;
pub mod report;
pub mod scan;
pub mod severity;
pub mod update;
pub mod version;
pub mod walk;

pub use error::ScanError;
pub use report::{ExitCode, Report};
