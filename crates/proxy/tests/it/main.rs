//! The proxy from outside: real sockets, real apps in this process, bytes as they go over the wire.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod compression;
mod control;
mod differential;
mod drivers;
mod files;
mod forwarding;
mod harness;
mod hostile;
mod http2;
mod http2_floods;
mod load;
mod rules;
mod trouble;
