//! `launchway tokens`

use std::process::ExitCode;

use jiff::Timestamp;
use launchway_model::api::{CreateToken, NewToken, Token};

use crate::cli::Context;
use crate::output::Table;
use crate::words;

/// List, make and revoke the tokens that open the API and the git remote.
#[derive(Debug, clap::Args)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the tokens (as without a word)
    List,
    /// Make a token; it is printed this once
    Create {
        /// What it is for, such as `ci` or `laptop`
        name: String,
    },
    /// Revoke a token
    Revoke {
        /// Its id, as `list` shows it
        id: u64,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Tokens) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what.unwrap_or(What::List) {
        What::List => {
            let tokens: Vec<Token> = client.get("/tokens")?;
            context.output.result(&tokens, |output| {
                let now = Timestamp::now();
                let mut table = Table::new(&["id", "name", "age"]);
                for token in &tokens {
                    table.row([
                        token.id.to_string(),
                        token.name.clone(),
                        words::age(token.created, now),
                    ]);
                }
                Ok(output.table(&table)?)
            })?;
        }
        What::Create { name } => {
            let token: NewToken = client.post("/tokens", &CreateToken { name })?;
            context
                .output
                .result(&token, |output| Ok(output.line(&token.token)?))?;
        }
        What::Revoke { id } => {
            client.delete(&format!("/tokens/{id}"))?;
            context.output.note(format!("token {id} is revoked"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
