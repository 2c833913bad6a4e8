//! `launchway command-reference`: the source of docs/commands.md

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Context};

/// Print docs/commands.md; `cargo xtask docs` writes it.
#[derive(Debug, clap::Args)]
pub(crate) struct CommandReference {}

/// Runs the command.
pub(crate) fn run(context: &Context, _: CommandReference) -> anyhow::Result<ExitCode> {
    context.output.line(text().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn text() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Made by `cargo xtask docs` from the program's own help. Every command takes `--json` and `--home`.\n",
    );
    // What every command takes is said once, at the top.
    let mut root = ["json", "home"].iter().fold(Cli::command(), |root, name| {
        root.mut_arg(name, |arg| arg.hide(true))
    });
    root = root.term_width(100);
    root.build();
    for command in root.get_subcommands_mut() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        describe(&mut text, "launchway", command, 2);
    }
    text
}

fn describe(text: &mut String, path: &str, command: &mut clap::Command, level: usize) {
    let name = format!("{path} {}", command.get_name());
    let help = command.render_long_help().to_string();
    let help: String = help
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    let _ = write!(
        text,
        "\n{} `{name}`\n\n```text\n{}\n```\n",
        "#".repeat(level),
        help.trim()
    );
    for sub in command.get_subcommands_mut() {
        if !sub.is_hide_set() && sub.get_name() != "help" {
            describe(text, &name, sub, level + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_of_the_commands_is_what_their_help_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written.trim_end() == text().trim_end(),
            "docs/commands.md is old: run `cargo xtask docs`"
        );
    }
}
