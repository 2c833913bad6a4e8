//! Control with real repositories, real processes under real shims, and a real store; the proxy's side of the protocol
//! is the test's own.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod administration;
mod alerting;
mod building;
mod clocks;
mod confining;
mod credentials;
mod deploying;
mod going_wrong;
mod monitoring;
mod networks;
mod noticing;
mod phases;
mod refusing;
mod scanning;
mod sources;
mod surviving;
mod triggers;
mod world;
