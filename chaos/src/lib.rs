//! Breaks what can break, by a seed, under constant load through the proxy, and says what it hurt.
//!
//! A [`Run`] starts an installation with an application of its own, keeps clients of four kinds asking (HTTP/1.1, HTTP/2,
//! WebSocket, slow uploads), and carries out a schedule that the seed alone decides: deploys good and broken, rollbacks,
//! scales, restarts, killed and halted processes, upgrades, a full disk, a clock that jumps. It then asserts what is
//! promised: no request failed but those in flight on a process that was itself killed with -9; the right release serves;
//! nothing acknowledged is lost; no process is left over; memory and open files are flat.
//!
//! It drives the real binary from outside, as the end-to-end tests do, and ends only processes of its own installation.
//!
//! **Invariant:** the schedule depends on the seed alone, never on how long anything took: a seed replays.

// Everything here is a test of the platform: what cannot go on panics with its reason.
#![allow(clippy::unwrap_used, reason = "a broken rig ends the run")]

mod actions;
mod app;
mod checks;
mod clients;
mod ledger;
mod random;
mod run;
mod schedule;
mod world;

pub use run::{Outcome, Plan, run};
pub use schedule::{Action, Broken, Victim};
