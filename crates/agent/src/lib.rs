//! The agent: a process on another machine that takes builds from control and runs them there.
//!
//! It connects outwards only ([`link`]), starts one runner a build as control does on its own machine ([`build`]), and sends what
//! the runner writes upward as it comes ([`ship`]). The runner does not know the difference, and neither the runner nor the
//! agent needs the link: a build goes on without it and is delivered when it is back, also by an agent that was started anew.
//!
//! It decides nothing about builds, keeps no history, and listens nowhere.
//!
//! **Invariants:** control's certificate is the one that was pinned, or nothing is said; a job's secrets are written nowhere; what
//! control has acknowledged is never sent again, and what it has not is never removed; a lease that is no more leaves no process
//! and no file.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(
    clippy::result_large_err,
    reason = "an error of the link carries control's problem, and is made once for a request that failed"
)]

pub mod build;
pub mod folder;
pub mod host;
pub mod link;
pub mod ship;
pub mod source;

mod agent;
mod archive;
mod pin;

use std::collections::BTreeSet;
use std::path::PathBuf;

use launchway_model::Problem;

pub use agent::run;
pub use link::{Link, LinkError, Server};

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where control is, and how it is known.
    pub server: Server,
    /// The agent's token.
    pub token: String,
    /// Labels beside those that follow from the machine.
    pub labels: BTreeSet<String>,
    /// The machine's name for people.
    pub host: String,
    /// How many builds run at once.
    pub executors: u32,
    /// The agent's own folder.
    pub folder: PathBuf,
    /// The binary whose role `runner` is started: `BINARY runner FOLDER`.
    pub binary: PathBuf,
}

/// Why an agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Control does not want it: a revoked token, another version, a second agent with its token.
    #[error("the server refuses this agent: {0}")]
    Refused(Problem),
    /// Control is not who it should be, or cannot be spoken to at all.
    #[error("{0}")]
    Server(Problem),
    /// Its folder cannot be used.
    #[error("{0}")]
    Folder(Problem),
}

impl AgentError {
    /// The error for people.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Refused(mut problem) => {
                problem.message = format!("the server refuses this agent: {}", problem.message);
                problem
            }
            Self::Server(problem) | Self::Folder(problem) => problem,
        }
    }
}
