//! From launchway.toml, a Procfile or a Jenkinsfile to one plan, and the engine that runs it.
//!
//! - [`describe`] reads a tree's files (never anything outside the tree) and makes an [`launchway_model::app::AppSpec`]
//!   and a [`plan::Plan`] of them.
//! - [`runner`] is the role `launchway runner FOLDER`: it checks a commit out, describes the tree, runs the plan and
//!   appends what happens to a spool.
//! - [`spool`] reads such a spool from the other side.
//!
//! The crate sees no SQL and no network, and it has no async runtime: a runner is a few threads that wait for pipes.
//!
//! **Invariant:** no text of a repository makes the parsers panic or hang; what is wrong is a [`DescribeError`] with
//! its place.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(
    clippy::result_large_err,
    reason = "a problem ends a stage or a build; it is made once, not on any path that must be fast"
)]

pub mod dependency_check;
pub mod describe;
mod engine;
pub mod error;
pub mod glob;
pub mod groovy;
pub mod issues;
pub mod jenkinsfile;
pub mod junit;
pub mod local;
pub mod persist;
pub mod plan;
pub mod runner;
pub mod search_path;
pub mod spool;

pub use describe::{Described, read};
pub use error::DescribeError;
