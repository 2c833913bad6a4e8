//! `launchway config`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use launchway_model::Problem;
use launchway_model::api;

use super::{OfApp, await_change};
use crate::cli::Context;
use crate::output::Table;

/// Read and change an app's configuration: the variables of its environment.
///
/// A change makes a new release, which comes into service as a deploy does.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Set variables
    Set {
        /// Variables with their values
        #[arg(required = true, value_name = "NAME=VALUE")]
        vars: Vec<Variable>,
        #[command(flatten)]
        of: OfApp,
    },
    /// Print one variable's value
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        of: OfApp,
    },
    /// Remove variables
    Unset {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        of: OfApp,
    },
    /// List the variables with their values
    List {
        #[command(flatten)]
        of: OfApp,
    },
}

/// A variable with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` must read NAME=VALUE"))?;
        let mut characters = name.chars();
        let good = characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            return Err(format!(
                "`{name}` cannot be a variable's name: letters, digits and _, no digit first"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Config) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what {
        What::Set { vars, of } => {
            let set = vars.into_iter().map(|var| (var.name, var.value)).collect();
            change(
                context,
                &of,
                &api::ConfigChange {
                    set,
                    unset: Vec::new(),
                },
            )?;
        }
        What::Unset { names, of } => {
            change(
                context,
                &of,
                &api::ConfigChange {
                    set: BTreeMap::new(),
                    unset: names,
                },
            )?;
        }
        What::Get { name, of } => {
            let config: api::Config = client.get(&of.path("config")?)?;
            let Some(value) = config.vars.get(&name) else {
                let mut problem = Problem::not_found(format!("`{name}` is not set"));
                problem.hint = launchway_model::suggest::did_you_mean(
                    &name,
                    config.vars.keys().map(String::as_str),
                );
                return Err(problem.into());
            };
            context
                .output
                .result(value, |output| Ok(output.line(value)?))?;
        }
        What::List { of } => {
            let config: api::Config = client.get(&of.path("config")?)?;
            context.output.result(&config, |output| {
                let mut table = Table::new(&["name", "value"]);
                for (name, value) in &config.vars {
                    table.row([name.clone(), value.clone()]);
                }
                Ok(output.table(&table)?)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn change(context: &Context, of: &OfApp, change: &api::ConfigChange) -> anyhow::Result<()> {
    let client = context.client()?;
    let (_, deploy) = client.change_config(&of.path("config")?, change)?;
    let accepted = api::ChangeAccepted {
        deploy,
        release: None,
    };
    await_change(context, &client, &accepted, "kept for the next release")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_anything_and_a_name_may_not() {
        let variable: Variable = "DATABASE_URL=sqlite:///a?b=c".parse().unwrap();
        assert_eq!(variable.value, "sqlite:///a?b=c");
        assert_eq!("EMPTY=".parse::<Variable>().unwrap().value, "");
        assert!("NO".parse::<Variable>().is_err());
        assert!("1A=b".parse::<Variable>().is_err());
        assert!("A-B=c".parse::<Variable>().is_err());
    }
}
