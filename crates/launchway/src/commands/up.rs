//! `launchway up`

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use crate::cli::Context;
use crate::roles::{BuildPlaces, Parent};
use crate::up;

/// Start Launchway in the foreground: control (API and pages) and the proxy.
///
/// Uses the ports 8080 (apps) and 7070 (pages and API) where they are free, and the same ports again at the next start.
/// Prints the addresses and a one-time login link. Ctrl-C or SIGTERM stops all; the next start goes on where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// The port of the apps
    #[arg(short, long)]
    port: Option<u16>,
    /// The port of the pages and the API
    #[arg(long)]
    api_port: Option<u16>,
    /// The address to listen on: this machine alone by default, 0.0.0.0 for all
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
    /// Leave the apps running when this stops
    #[arg(long)]
    keep_apps: bool,
    #[command(flatten)]
    places: BuildPlaces,
    #[command(flatten)]
    parent: Parent,
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: Up) -> anyhow::Result<ExitCode> {
    args.parent.tie()?;
    let options = up::Options {
        home: context.settings()?.home().clone(),
        bind: args.bind,
        port: args.port,
        api_port: args.api_port,
        keep_apps: args.keep_apps,
        control: args.places.arguments(),
    };
    up::run(context.output, options)?;
    Ok(ExitCode::SUCCESS)
}
