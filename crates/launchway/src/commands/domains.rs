//! `launchway domains`

use std::process::ExitCode;

use launchway_model::api::Domain;
use ureq::http::Method;

use super::{OfApp, app_path};
use crate::cli::Context;
use crate::client::segment;

/// Add, remove and list an app's host names.
#[derive(Debug, clap::Args)]
pub(crate) struct Domains {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Answer requests for a host name with this app
    Add {
        /// A host name, or `*.` and a host name
        domain: String,
        #[command(flatten)]
        of: OfApp,
    },
    /// Answer them no more
    Remove {
        /// The host name
        domain: String,
        #[command(flatten)]
        of: OfApp,
    },
    /// List the host names
    List {
        #[command(flatten)]
        of: OfApp,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Domains) -> anyhow::Result<ExitCode> {
    let client = context.client()?;
    match args.what {
        What::Add { domain, of } => {
            let app = of.name()?;
            client.send(
                Method::POST,
                &app_path(&app, "domains"),
                Some(&Domain {
                    domain: domain.clone(),
                }),
            )?;
            if !context.output.is_json() {
                context.output.line(format!("{app} answers for {domain}"))?;
            }
        }
        What::Remove { domain, of } => {
            let app = of.name()?;
            client.delete(&app_path(&app, &format!("domains/{}", segment(&domain))))?;
            if !context.output.is_json() {
                context
                    .output
                    .line(format!("{app} answers for {domain} no more"))?;
            }
        }
        What::List { of } => {
            let domains: Vec<Domain> = client.get(&of.path("domains")?)?;
            context.output.result(&domains, |output| {
                for domain in &domains {
                    output.line(&domain.domain)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
