//! `launchway hash-password`

use std::io::{BufRead, IsTerminal};
use std::process::{Command, ExitCode, Stdio};

use launchway_model::Problem;
use sha2::{Digest, Sha256};

use crate::cli::Context;

/// Print the line of `[http] users` that lets somebody in with a password.
///
/// The password is read from the terminal, unseen, or from standard input. It should be long and random: whoever reads the
/// line can try passwords against it.
#[derive(Debug, clap::Args)]
pub(crate) struct HashPassword {
    /// The user's name
    name: String,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: HashPassword) -> anyhow::Result<ExitCode> {
    let name = args.name.trim().to_owned();
    if name.is_empty() || name.contains(':') {
        return Err(Problem::invalid(format!("`{name}` is no name of a user"))
            .hint("A name is not empty and has no colon.")
            .into());
    }
    let stdin = std::io::stdin();
    let hidden = stdin.is_terminal();
    if hidden {
        context.output.note(format!("password for {name}: "));
        echo(false);
    }
    let mut password = String::new();
    let read = stdin.lock().read_line(&mut password);
    if hidden {
        echo(true);
    }
    read?;
    let password = password.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Problem::invalid("the password is empty").into());
    }
    let line = line(&name, password);
    context.output.result(&line, |output| {
        output.line(&line)?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `NAME = "sha256:…"`
fn line(name: &str, password: &str) -> String {
    let hash = Sha256::digest(format!("{name}:{password}"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} = \"sha256:{hex}\"")
}

/// Switches the terminal's echo; where that fails the password is seen, which is no reason to refuse it.
fn echo(on: bool) {
    let _ = Command::new("stty")
        .arg(if on { "echo" } else { "-echo" })
        .stdin(Stdio::inherit())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_what_the_proxy_compares_with() {
        assert_eq!(
            line("anna", "secret"),
            "anna = \"sha256:8f7fa0cafc81d43376104eaf79e53c80d0d1ffe16849d4ebfa33c3bf50a8d5b9\""
        );
    }
}
