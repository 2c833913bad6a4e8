//! The edge over real connections: a real control with its store, real git, a runner of the tests' own that takes
//! repositories as static files (`examples/runner.rs`), and a stand-in for the proxy.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod access;
mod alerts;
mod hooks;
mod interface;
mod monitoring;
mod pages;
mod pushing;
mod world;
