//! Ids, specifications, states and the messages between Launchway's processes.
//!
//! Every other crate of the platform (but the leaves `monitor` and `scanner`) speaks in these types, so they hold the
//! rules: a name that parsed is a valid name, a state enum carries the data that the state has and no other. This
//! crate does no I/O, starts nothing and knows no clock.
//!
//! **Invariant:** a message that crosses a process boundary carries [`PROTOCOL`], and a reader refuses a version that
//! it does not know with a word that names both.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod alert;
pub mod api;
pub mod app;
pub mod build;
pub mod cidr;
pub mod credential;
pub mod cron;
pub mod deploy;
pub mod disk;
pub mod home;
pub mod hook;
pub mod instance;
pub mod names;
pub mod notice;
pub mod problem;
pub mod request;
pub mod results;
pub mod route;
pub mod runner;
pub mod scan;
pub mod schedule;
pub mod shim;
pub mod suggest;
pub mod trigger;

pub use names::{AppName, BuildId, DeployId, InstanceId, ProcessType, ReleaseNumber};
pub use problem::{Problem, ProblemKind};

/// Version of the messages between control, proxy, shim and runner.
///
/// A field may be added with a serde default without raising it; a change of meaning raises it. Each process accepts
/// its own version and the one before, so that an upgrade can roll through the processes one by one.
pub const PROTOCOL: u32 = 1;
