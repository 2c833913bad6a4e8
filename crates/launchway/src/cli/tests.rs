//! The grammar is sound, and every command says what it does.

use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does() {
    fn check(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let name = format!("{path} {}", sub.get_name());
            if sub.get_name() == "help" {
                continue;
            }
            assert!(sub.get_about().is_some(), "`{name}` has no help");
            for argument in sub.get_arguments() {
                assert!(
                    argument.get_help().is_some() || argument.is_hide_set(),
                    "`{name}` does not explain {}",
                    argument.get_id()
                );
            }
            check(sub, &name);
        }
    }
    check(&Cli::command(), "launchway");
}

#[test]
fn run_takes_the_app_before_the_dashes_and_the_command_after() {
    let cli = Cli::parse_from(["launchway", "run", "shop", "--", "python", "-m", "shop"]);
    let Command::Run(run) = cli.command else {
        panic!("another command")
    };
    assert_eq!(
        run.app.as_ref().map(ToString::to_string),
        Some("shop".to_owned())
    );
    assert_eq!(run.command, ["python", "-m", "shop"]);

    let cli = Cli::parse_from(["launchway", "run", "--", "ls"]);
    let Command::Run(run) = cli.command else {
        panic!("another command")
    };
    assert_eq!(run.app, None);
    assert_eq!(run.command, ["ls"]);
}

#[test]
fn a_bad_app_name_is_refused_with_the_rule() {
    let error = Cli::try_parse_from(["launchway", "ps", "--app", "Shop!"])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("must start with a lower-case letter"),
        "{error}"
    );
}
