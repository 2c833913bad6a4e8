//! Tests of the crate from outside: against references, real processes and other programs.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

mod beside;
mod dataset;
mod full_disk;
mod kill;
mod node;
mod reference;
