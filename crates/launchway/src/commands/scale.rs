//! `launchway scale`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use launchway_model::ProcessType;
use launchway_model::api::{ChangeAccepted, ScaleRequest};

use super::{OfApp, await_change};
use crate::cli::Context;

/// Change how many instances of each process type run.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// Process types with their new numbers, such as `web=3 worker=1`
    #[arg(required = true, value_name = "TYPE=NUMBER")]
    formation: Vec<Share>,
    #[command(flatten)]
    of: OfApp,
}

/// One process type with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    process: ProcessType,
    instances: u32,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (process, instances) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` must read TYPE=NUMBER, such as web=3"))?;
        Ok(Self {
            process: process.parse().map_err(|error| format!("{error}"))?,
            instances: instances
                .parse()
                .map_err(|_| format!("`{instances}` is not a whole number"))?,
        })
    }
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Scale) -> anyhow::Result<ExitCode> {
    let formation: BTreeMap<ProcessType, u32> = args
        .formation
        .into_iter()
        .map(|share| (share.process, share.instances))
        .collect();
    let client = context.client()?;
    let change: ChangeAccepted =
        client.put(&args.of.path("formation")?, &ScaleRequest { formation })?;
    await_change(context, &client, &change, "scaled")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_or_says_how_it_should() {
        assert_eq!("web=3".parse::<Share>().unwrap().instances, 3);
        assert!("web".parse::<Share>().unwrap_err().contains("web=3"));
        assert!(
            "web=-1"
                .parse::<Share>()
                .unwrap_err()
                .contains("whole number")
        );
        assert!("Web=1".parse::<Share>().unwrap_err().contains("lower-case"));
    }
}
