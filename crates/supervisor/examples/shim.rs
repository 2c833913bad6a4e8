//! A program with the role of a shim alone, for this crate's tests and measurements: `shim FOLDER`, or `shim shim FOLDER` as the
//! product's binary is called.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = std::env::args_os().next_back().unwrap_or_default();
    launchway_supervisor::shim::run(Path::new(&folder))
}
