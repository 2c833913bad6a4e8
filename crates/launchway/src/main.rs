//! The binary: it chooses the role, wires the parts, and prints.
//!
//! The role is read from the first argument before anything else happens: `shim` and `runner` are started by control in
//! numbers, so they pay neither for an argument parser nor for an async runtime. Everything else is a command for
//! people, one file each under `commands/`.
//!
//! **Invariant:** no decision about apps is taken here. A command asks control over its HTTP API ([`client`]), or reads
//! local files (`plan`, `init`, `scan`, `doctor`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod client;
mod commands;
mod failure;
mod output;
mod platform;
mod progress;
mod repository;
mod roles;
mod settings;
mod up;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|role| role.to_str()) {
        Some("shim") => roles::shim(arguments.next()),
        Some("runner") => roles::runner(arguments.next()),
        Some("terminal") => launchway_supervisor::terminal::run(&arguments.collect::<Vec<_>>()),
        _ => cli::main(),
    }
}
