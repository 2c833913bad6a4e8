//! `launchway login`

use std::process::ExitCode;

use anyhow::Context as _;
use launchway_model::Problem;
use launchway_model::api::{ClientFile, Status};

use crate::cli::Context;
use crate::client::Client;
use crate::settings;

/// Remember a server and its token for later commands.
///
/// The token is checked first, then kept in ~/.config/launchway/client.json, readable by you alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The server's address, such as https://launchway.example.org
    url: String,
    /// The token; without it, the first line of standard input
    #[arg(long, env = "LAUNCHWAY_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Login) -> anyhow::Result<ExitCode> {
    let token = match args.token {
        Some(token) => token,
        None => {
            use std::io::{BufRead as _, IsTerminal as _};
            if std::io::stdin().is_terminal() {
                context
                    .output
                    .note("Paste the token (`launchway tokens create` on the server makes one):");
            }
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line
        }
    };
    let token = token.trim().to_owned();
    if token.is_empty() {
        return Err(Problem::invalid("no token was given")
            .hint("`launchway tokens create` on the server makes one.")
            .into());
    }
    let server = ClientFile {
        url: settings::base_url(&args.url)?,
        token,
    };
    let status: Status = Client::new(server.clone()).get("/status")?;
    let file = settings::login_file().context("this user has no home folder")?;
    settings::write_client_file(&file, &server)?;
    context.output.result(&status, |output| {
        Ok(output.line(format!(
            "logged in to {}, Launchway {}",
            server.url, status.version
        ))?)
    })?;
    Ok(ExitCode::SUCCESS)
}
