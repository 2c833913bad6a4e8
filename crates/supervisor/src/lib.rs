//! The shim that owns one app instance, and the client that starts, adopts and stops shims.
//!
//! Six parts, which share only the messages in `launchway_model::shim`:
//!
//! - [`shim`]: the role `launchway shim FOLDER`. One thread, no async runtime, no logging framework: it is resident once per
//!   instance, so that its memory counts most.
//! - [`sandbox`]: what keeps a command apart from the rest of the machine; for shims and for builds.
//! - [`room`]: the sandbox in which a build's runner works;
//! - [`network`]: the private networks of instances, where Launchway is root;
//! - [`client`]: what control uses to start, adopt, watch and stop shims; async.
//! - [`observe`]: what a tree of processes uses and on which ports it listens, read from `/proc`.
//!
//! This crate decides nothing about releases, health or routes, and it never reads the store.
//!
//! **Invariants:** an app never outlives its shim, however the shim ends; a shim never depends on control; the app never
//! waits for its log.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cgroup;
pub mod client;
mod error;
mod namespaces;
pub mod network;
pub mod observe;
pub mod ownership;
pub mod room;
pub mod sandbox;
pub mod shim;
mod sys;
pub mod terminal;

pub use client::{Adopted, DeadShim, ShimHandle, ShimLink, ShimView, Supervisor};
pub use error::SupervisorError;
