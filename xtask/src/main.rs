//! Repository chores: `cargo xtask tidy` checks what compilers do not, `cargo xtask docs` writes docs/commands.md.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore prints what it finds"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod docs;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let root = root();
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("tidy") => {
            let faults = tidy::check(&root)?;
            for fault in &faults {
                eprintln!("{fault}");
            }
            if faults.is_empty() {
                println!("tidy: all is well");
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("tidy: {} to mend", faults.len());
            Ok(ExitCode::FAILURE)
        }
        Some("docs") => {
            docs::write(&root)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!(
                "cargo xtask tidy   check imports between crates, file sizes, names, the dependency tree"
            );
            eprintln!("cargo xtask docs   write docs/commands.md from the program's own help");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The repository's root: the folder above this package.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}
