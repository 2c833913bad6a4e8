//! `launchway agents`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::agent::{Agent, AgentState, CreateAgent, NewAgent, SwitchAgent};
use ureq::http::Method;

use crate::cli::Context;
use crate::client::segment;
use crate::output::Table;
use crate::words;

/// List the machines that take builds for this server, make and revoke their tokens, switch them.
#[derive(Debug, clap::Args)]
pub(crate) struct Agents {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the agents (as without a word)
    List,
    /// Make an agent's token; it is printed this once
    CreateToken {
        /// The agent's name
        name: String,
        /// A label that it has whatever it says itself; may be given several times
        #[arg(long = "label", value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// Revoke an agent's token: it is cut off at once, and the builds that it runs are lost
    Revoke {
        /// The agent's name
        name: String,
    },
    /// Give an agent no more builds; what it runs it ends
    Drain {
        /// The agent's name
        name: String,
    },
    /// Give a drained agent builds again
    Online {
        /// The agent's name
        name: String,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Agents) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    let path = |name: &str| format!("/agents/{}", segment(name));
    match args.what.unwrap_or(What::List) {
        What::List => {
            let agents: Vec<Agent> = client.get("/agents")?;
            context.output.result(&agents, |output| {
                let now = Timestamp::now();
                let mut table = Table::new(&[
                    "name", "state", "busy", "builds", "labels", "machine", "version", "seen",
                ]);
                for agent in &agents {
                    table.row(row(agent, now));
                }
                Ok(output.table(&table)?)
            })?;
            if agents.is_empty() {
                context
                    .output
                    .note("no agents yet; `launchway agents create-token NAME` makes the first one's token");
            }
        }
        What::CreateToken { name, labels } => {
            let request = CreateAgent {
                name,
                labels: labels.into_iter().collect(),
            };
            let made: NewAgent = client.post("/agents", &request)?;
            context
                .output
                .result(&made, |output| Ok(output.line(&made.token)?))?;
            let server = made.server.unwrap_or_else(|| {
                "https://THIS-MACHINE:7071 (start this server with `--agents 0.0.0.0:7071` first)".to_owned()
            });
            context.output.note(format!(
                "put it into a file on the agent's machine, and start there: launchway agent --server {server} --token-file FILE"
            ));
        }
        What::Revoke { name } => {
            client.delete(&path(&name))?;
            context.output.note(format!("agent {name} is revoked"));
        }
        What::Drain { name } => switch(context, &client, &path(&name), &name, false)?,
        What::Online { name } => switch(context, &client, &path(&name), &name, true)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn switch(
    context: &Context,
    client: &crate::client::Client,
    path: &str,
    name: &str,
    online: bool,
) -> anyhow::Result<()> {
    client.send(
        Method::PUT,
        &format!("{path}/state"),
        Some(&SwitchAgent { online }),
    )?;
    context.output.note(if online {
        format!("agent {name} takes builds")
    } else {
        format!("agent {name} is drained: it ends what it runs and takes no more")
    });
    Ok(())
}

fn row(agent: &Agent, now: Timestamp) -> [String; 8] {
    let builds: Vec<String> = agent
        .builds
        .iter()
        .map(|build| format!("#{build}"))
        .collect();
    let labels: Vec<&str> = agent.labels.iter().map(String::as_str).collect();
    [
        agent.name.clone(),
        match agent.state {
            AgentState::Online => "online",
            AgentState::Drained => "drained",
            AgentState::Away => "away",
        }
        .to_owned(),
        format!("{}/{}", agent.builds.len(), agent.executors),
        builds.join(" "),
        labels.join(" "),
        agent.host.clone().unwrap_or_default(),
        agent.version.clone().unwrap_or_default(),
        agent.seen.map_or_else(
            || "never".to_owned(),
            |seen| format!("{} ago", words::age(seen, now)),
        ),
    ]
}
