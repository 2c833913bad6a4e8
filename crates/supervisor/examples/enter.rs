//! Runs a command in a sandbox, as a build does: `enter SANDBOX-AS-JSON TREE COMMAND…`. For this crate's tests.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use launchway_supervisor::sandbox;

#[expect(clippy::print_stderr, reason = "this is a program for tests")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [description, tree, command, rest @ ..] = &arguments[..] else {
        return ExitCode::from(2);
    };
    let entered = serde_json::from_str(description)
        .map_err(std::io::Error::from)
        .and_then(|description| sandbox::enter(&description, Path::new(tree)))
        .and_then(|()| sandbox::drop_privileges(None));
    let error = match entered {
        Ok(()) => Command::new(command).args(rest).exec(),
        Err(error) => error,
    };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
