//! Real shims over real processes: what they promise is tried by killing, flooding and starving them.
//!
//! Each test that ends things runs on every kind of host that the tests' own user can make: root with all privileges, root
//! without the one for namespaces (as in many containers), and an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on shall fail, and says what it leaves out"
)]

mod adopting;
mod ending;
mod logging;
mod networking;
mod observing;
mod sandboxing;
mod starting;
mod support;
