//! Every decision of Launchway: what is built, released, deployed, kept running and routed.
//!
//! One [`Control`] owns the store, the tasks and the wanted state of all apps of one home. The edges (the crate `web`,
//! the binary) call plain functions of this crate's modules with it and get a value or a [`launchway_model::Problem`].
//! This crate speaks no HTTP to people, prints nothing, and never imports the proxy: they share the messages of
//! [`launchway_model::route`] alone.
//!
//! **Invariants:** only [`builds`] writes a build's state and only [`deploys`] a deploy's; the loop of `reconcile`
//! alone owns what is known of instances; nothing that serves is touched before a deploy's switch; ending control
//! hurts nothing that runs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agents;
pub mod alerts;
pub mod apps;
pub mod auth;
pub mod backup;
pub mod builds;
pub mod config;
mod confinement;
pub mod credentials;
pub mod cron;
pub mod deploys;
pub mod disk;
pub mod formation;
pub mod logs;
pub mod monitoring;
pub mod notices;
pub mod oneoff;
pub mod progress;
pub mod releases;
pub mod results;
pub mod scans;
pub mod settings;
pub mod source;
pub mod status;
pub mod triggers;

mod core;
mod git;
mod metrics;
mod networks;
mod ports;
mod probe;
mod problem;
mod recipe;
mod reconcile;
mod routes;
mod samples;
mod secrets;
pub mod strays;
mod task;
mod users;
mod wiring;

pub use crate::core::Control;
pub use crate::settings::Settings;
