//! The data plane: routes, TLS, balancing, health and draining.
//!
//! A proxy is a process of its own. It serves from the last table that control applied, kept as a snapshot, so it starts and
//! serves without control; control speaks to it over a Unix socket ([`launchway_model::route`]). Each core has one thread with
//! its own runtime, listening sockets and connections to apps; the threads share the route table, swapped as a whole. Bytes are
//! moved by io_uring where the machine allows it, by readiness elsewhere; everything above that is the same code.
//!
//! HTTP/1.1 is our own, from bytes up ([`h1`]); HTTP/2 to clients is hyper's. Apps are spoken to over HTTP/1.1 on TCP or Unix
//! sockets.
//!
//! What it does not do: start or stop instances, probe them, decide anything, read the database.
//!
//! **Invariants**
//! - A request in flight ends on the instance it began on, whatever tables come; a table never takes effect in part.
//! - No request starts on an instance after the table that dropped it was acknowledged.
//! - Once the head of an answer has left, nothing is tried again, and an answer that breaks off is cut, never ended as if whole.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod access;
mod admin;
mod balance;
mod client_h1;
mod client_h2;
mod compress;
mod control;
mod dispatch;
mod dress;
mod error;
mod exchange;
mod files;
pub mod h1;
mod handover;
mod lease;
mod listen;
mod meter;
mod metrics;
pub mod options;
mod page;
mod ring;
mod rules;
mod server;
mod snapshot;
mod socket;
mod splice;
mod stream;
mod table;
mod target;
mod tls;
mod tunnel;
mod unix_path;
mod worker;

pub use error::ProxyError;
pub use options::Options;
pub use ring::available as io_uring_available;
pub use server::{Running, run, start};
